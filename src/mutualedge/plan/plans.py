"""What the planner answers: a plan with its money and its bound, or why there is none."""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from mutualedge.plan.scenario.ranges import Label
from mutualedge.plan.strategies import Strategy


def _without_unit(name: str) -> str:
    return name.removesuffix("_usd_month").removesuffix("_microcredits_month")


class Costs(msgspec.Struct, frozen=True, kw_only=True, rename=_without_unit):
    """Parts of the money of a month, which add up to the objective.

    Attributes:
        cpu_usd_month: Energy of processors, busy and idle; sending and receiving included.
        memory_usd_month: Energy of memory, used and unused.
        network_usd_month: Energy of links.
        baseline_usd_month: Energy of the rest of the machines.
        hardware_usd_month: Of the price of the machines.
        rent_usd_month: For rented servers.
    """

    cpu_usd_month: float = 0.0
    memory_usd_month: float = 0.0
    network_usd_month: float = 0.0
    baseline_usd_month: float = 0.0
    hardware_usd_month: float = 0.0
    rent_usd_month: float = 0.0

    @classmethod
    def add(cls, several: Iterable["Costs"]) -> "Costs":
        """Return the sum, part by part."""
        rows = [msgspec.structs.astuple(each) for each in several]
        return cls(
            **dict(zip(cls.__struct_fields__, map(sum, zip(*rows, strict=True)), strict=True))
        )

    @classmethod
    def mean(cls, several: Sequence["Costs"]) -> "Costs":
        """Return the average, part by part."""
        total = msgspec.structs.asdict(cls.add(several))
        return cls(**{name: usd_month / len(several) for name, usd_month in total.items()})

    @property
    def usd_month(self) -> float:
        """The sum of the parts."""
        return (
            self.cpu_usd_month
            + self.memory_usd_month
            + self.network_usd_month
            + self.baseline_usd_month
            + self.hardware_usd_month
            + self.rent_usd_month
        )


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how one task runs.

    Attributes:
        place: Name of a node or cloud.
        level: Index of the node's level; None in a cloud.
        memory: Name of the node's memory; None in a cloud.
    """

    enterprise: Label
    task: Label
    place: Label
    level: int | None
    memory: Label | None


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why something is not possible, or not better.

    Attributes:
        code: Stable dotted name.
        sentence: What does not fit, where, and what would make it fit.
        tasks: Those it is about, as enterprise/task.
        places: Nodes it is about.
    """

    code: str
    sentence: str
    tasks: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True, rename={"elapsed_s": "seconds"}):
    """Where every task runs; every deadline and capacity holds.

    Attributes:
        strategy: With whom enterprises share.
        objective_usd_month: What it costs all enterprises together.
        bound_usd_month: No plan costs less.
        gap: Difference of the two, as a share of the objective.
        method: What found it.
        elapsed_s: How long that took; 0 if nobody kept the time.
        mileage: What each enterprise earns in a month, in microcredits; negative if it pays.
        utilisation: Share of each node's processor that is asked for.
        reasons: What the reader should know besides.
    """

    feasible: Literal[True] = True
    strategy: Strategy = Strategy.MUTUAL
    objective_usd_month: float
    bound_usd_month: float
    gap: float
    method: str
    elapsed_s: float
    cost: Costs
    mileage: dict[str, float]
    utilisation: dict[str, float]
    choices: tuple[Chosen, ...]
    reasons: tuple[Reason, ...] = ()


class NoPlan(msgspec.Struct, frozen=True, kw_only=True, rename={"elapsed_s": "seconds"}):
    """No plan was found.

    Attributes:
        proven: Whether none exists; otherwise the time was too short to know.
        reasons: The smallest set of conflicting demands that was found.
    """

    feasible: Literal[False] = False
    proven: bool
    elapsed_s: float
    reasons: tuple[Reason, ...]
