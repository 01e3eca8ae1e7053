"""The money of a plan, added up task by task, and where it differs from what the plan says."""

from collections import defaultdict
from collections.abc import Iterator

import msgspec

from mutualedge.plan.checking.burdens import Journey, Seat, round_down_us
from mutualedge.plan.plans import Costs, Plan
from mutualedge.plan.scenario import MONTH_S, Cloud, Enterprise, Scenario, Task

TOLERANCE = 1e-9
SMALLEST = 1e-3
"""Relative; sums of 100,000 parts in another order differ by less."""

JOB_US_MONTH = MONTH_S * 1_000_000


class Ledger:
    """Adds up watts, rent and mileage."""

    def __init__(self, scenario: Scenario) -> None:
        self._tariff = scenario.tariff
        self._cpu_w = sum(node.idle_w for _, node in scenario.nodes)
        self._memory_w = sum(
            memory.capacity_mb * memory.idle_w_per_mb
            for _, node in scenario.nodes
            for memory in node.memories
        )
        self._network_w = 0.0
        self._rent_usd_month = 0.0
        self._nodes = [node for _, node in scenario.nodes]
        self._mileage: dict[str, float] = defaultdict(float)
        self._mileage.update({each.name: 0.0 for each in scenario.enterprises})

    def stay(self, task: Task, seat: Seat) -> None:
        """Book a task that runs at home."""
        self._execute(task, seat)

    def lend(self, home: Enterprise, seat: Seat, journey: Journey) -> None:
        """Book a task that runs at a partner."""
        self._execute(journey.task, seat)
        self._send(home, journey)
        jobs_month = JOB_US_MONTH / round_down_us(journey.task.period_ms)
        due = journey.task.wcet_ms / seat.speed * jobs_month * self._tariff.microcredits_per_ms
        self._mileage[seat.owner.name] += due
        self._mileage[home.name] -= due

    def rent(self, home: Enterprise, cloud: Cloud, journey: Journey) -> None:
        """Book a task that runs on a rented server."""
        self._send(home, journey)
        busy_us = journey.task.wcet_ms * 1_000 / cloud.speed
        share = busy_us / round_down_us(journey.task.period_ms)
        self._rent_usd_month += cloud.rent_usd_month * share

    @property
    def costs(self) -> Costs:
        """The parts so far."""
        usd_month_per_w = self._tariff.usd_month_per_w
        return Costs(
            cpu_usd_month=self._cpu_w * usd_month_per_w,
            memory_usd_month=self._memory_w * usd_month_per_w,
            network_usd_month=self._network_w * usd_month_per_w,
            baseline_usd_month=sum(node.baseline_w for node in self._nodes) * usd_month_per_w,
            hardware_usd_month=sum(
                node.hardware_usd / node.lifetime_months for node in self._nodes
            ),
            rent_usd_month=self._rent_usd_month,
        )

    @property
    def imbalance_max_microcredits(self) -> int | None:
        """By how much an enterprise may be out of balance in a month."""
        return self._tariff.imbalance_max_microcredits

    @property
    def mileage(self) -> dict[str, float]:
        """What each enterprise earns."""
        return dict(self._mileage)

    def _execute(self, task: Task, seat: Seat) -> None:
        busy = task.wcet_ms * 1_000 / seat.speed / round_down_us(task.period_ms)
        self._cpu_w += (seat.level.active_w - seat.node.idle_w) * busy
        more_w_per_mb = seat.memory.active_w_per_mb - seat.memory.idle_w_per_mb
        self._memory_w += task.memory_mb * task.active_ratio * more_w_per_mb

    def _send(self, home: Enterprise, journey: Journey) -> None:
        task = journey.task
        period_us = round_down_us(task.period_ms)
        if home.nodes:
            gateway = home.nodes[0]
            busy = (journey.send_us + journey.receive_us) / period_us
            self._cpu_w += (gateway.levels[0].active_w - gateway.idle_w) * busy
        bits = 8 * 1_024
        on_link_s = task.input_kb * bits / ((task.uplink_mbit or home.link.uplink_mbit) * 1e6)
        on_link_s += task.output_kb * bits / ((task.downlink_mbit or home.link.downlink_mbit) * 1e6)
        self._network_w += home.link.active_w * on_link_s * 1e6 / period_us


def differences(ledger: Ledger, plan: Plan) -> Iterator[str]:
    """Yield what a plan says of money that does not add up."""
    ours, theirs = msgspec.structs.asdict(ledger.costs), msgspec.structs.asdict(plan.cost)
    total, said = ledger.costs.usd_month, plan.objective_usd_month
    for part, usd_month in ours.items():
        if not _agree(usd_month, theirs[part], total):
            yield f"{part} is {usd_month:.9g}, not {theirs[part]:.9g}."
    if not _agree(total, said, total):
        yield f"The parts add up to {total:.9g}, not {said:.9g}."
    if not plan.bound_usd_month <= said:
        yield f"The bound {plan.bound_usd_month:.9g} lies above the objective."
    yield from _imbalances(ledger, plan)


def _imbalances(ledger: Ledger, plan: Plan) -> Iterator[str]:
    limit = ledger.imbalance_max_microcredits
    for name, microcredits in ledger.mileage.items():
        if not _agree(microcredits, plan.mileage.get(name, 0.0), microcredits):
            yield f"{name} earns {microcredits:.9g} microcredits, not {plan.mileage.get(name)}."
        if limit is not None and abs(microcredits) > limit + TOLERANCE * JOB_US_MONTH:
            yield f"{name} is {microcredits:.9g} microcredits out of balance; {limit} are allowed."


def _agree(ours: float, theirs: float, scale: float) -> bool:
    """Tell whether two sums are the same but for rounding; nothing agrees with NaN."""
    return abs(ours - theirs) <= TOLERANCE * max(abs(scale), SMALLEST)
