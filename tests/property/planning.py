"""What tests of the planner share: a watch without a clock, and small scenarios of every kind."""

from hypothesis import strategies as st

from mutualedge.model import AssuranceLevel, Microcredits
from mutualedge.plan.scenario import (
    Cloud,
    Enterprise,
    Level,
    Link,
    Memory,
    Node,
    Scenario,
    Tariff,
    Task,
)

TIMES = st.integers(1, 200).map(float)


@st.composite
def tasks(draw: st.DrawFn, name: str) -> Task:
    period_ms = draw(TIMES)
    return Task(
        name=name,
        wcet_ms=draw(st.floats(0.001, 60)),
        period_ms=period_ms,
        deadline_ms=draw(st.none() | st.floats(0.001, period_ms)),
        memory_mb=draw(st.integers(0, 60)),
        input_kb=draw(st.integers(0, 40)),
        output_kb=draw(st.integers(0, 40)),
        send_ms=draw(st.sampled_from((0.0, 0.5, 3.0))),
        receive_ms=draw(st.sampled_from((0.0, 0.25, 2.0))),
        uplink_mbit=draw(st.none() | st.just(5.0)),
        offloadable=draw(st.booleans() | st.just(True)),
        assurance=draw(st.sampled_from(AssuranceLevel)),
    )


@st.composite
def nodes(draw: st.DrawFn, name: str) -> Node:
    return Node(
        name=name,
        speed=draw(st.sampled_from((0.5, 1.0, 3.0))),
        levels=(Level(scale=1.0, active_w=9.0), Level(scale=0.4, active_w=2.0)),
        memories=(
            Memory(name="dram", capacity_mb=100.0),
            Memory(name="nvram", capacity_mb=300.0, scale=0.8, active_w_per_mb=0.001),
        ),
        idle_w=draw(st.sampled_from((0.0, 0.5))),
        assurance=draw(st.sampled_from(AssuranceLevel)),
    )


@st.composite
def enterprises(draw: st.DrawFn, name: str) -> Enterprise:
    count = draw(st.integers(0, 2))
    return Enterprise(
        name=name,
        link=Link(latency_ms=draw(st.sampled_from((0.0, 1.5)))),
        nodes=tuple(draw(nodes(f"{name}-node{index}")) for index in range(count)),
        tasks=tuple(draw(tasks(f"t{index}")) for index in range(draw(st.integers(1, 4)))),
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    names = ("bakery", "harbour", "printer")[: draw(st.integers(1, 3))]
    limit = draw(st.none() | st.integers(0, 10**11).map(Microcredits))
    return Scenario(
        enterprises=tuple(draw(enterprises(name)) for name in names),
        clouds=tuple(draw(st.lists(st.just(Cloud(name="cloud", latency_ms=2.0)), max_size=1))),
        tariff=Tariff(imbalance_max_microcredits=limit),
    )


class Calm:
    """A watch on which no time passes."""

    def __init__(self, left_s: float = 60.0) -> None:
        self._left_s = left_s
        self.told: list[tuple[float, float]] = []

    def left_s(self) -> float:
        """Return the same each time."""
        return self._left_s

    def tell(self, cost_usd: float, bound_usd: float) -> None:
        """Remember what was told."""
        self.told.append((cost_usd, bound_usd))
