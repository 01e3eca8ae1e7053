"""Four strategies under the same load, in money a month, for each enterprise."""

from collections.abc import Iterable, Sequence

import msgspec

from mutualedge.plan.choice import Part, Watch
from mutualedge.plan.comparing.slots import COPIES_MAX, Slot, at_load, with_copies
from mutualedge.plan.period import PeriodPlan, solve_period
from mutualedge.plan.plans import Costs, NoPlan, Plan
from mutualedge.plan.scenario import Scenario
from mutualedge.plan.solving import solve, split_costs
from mutualedge.plan.strategies import Strategy

GAP = 1e-5
"""Of each plan: far below any difference between strategies."""

PLAN_S_MAX = 5.0
"""For one plan; what is not the best by then is told with its gap."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """One enterprise's part of a plan's money.

    Attributes:
        mileage_microcredits_month: What it earns; negative if it pays.
    """

    cost: Costs
    usd_month: float
    mileage_microcredits_month: float


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy in one slot.

    Attributes:
        loads: Of each enterprise.
        feasible: Whether there is a plan; without one there is no money either.
        gap: How far the plan may be from the best.
        lent: Share of a processor that each enterprise has at others': ``from>to``.
        reason: Why there is no plan; empty if there is one.
    """

    slot: str
    strategy: Strategy
    loads: dict[str, float]
    feasible: bool
    usd_month: float | None
    gap: float | None
    enterprises: dict[str, Share]
    lent: dict[str, float]
    utilisation: dict[str, float]
    reason: str


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy over all slots, each as long as the others.

    Attributes:
        copies: How many of each node it owns.
        feasible: Whether there is a plan in every slot.
    """

    strategy: Strategy
    copies: int
    feasible: bool
    usd_month: float | None
    enterprises: dict[str, Share]
    reason: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Every strategy in every slot, and over all."""

    totals: tuple[Total, ...]
    slots: tuple[Planned, ...]


def compare(
    scenario: Scenario,
    slots: Sequence[Slot],
    *,
    watch: Watch,
    strategies: Iterable[Strategy] = tuple(Strategy),
) -> Comparison:
    """Return what each strategy costs under the loads of these slots.

    Private owns as many of each node as its busiest slot asks for, all the time.

    Args:
        scenario: Tasks, nodes and prices; the slots say how often jobs come.
        slots: Equally long.
        watch: Ends the search; what is not planned by then has no plan.
        strategies: Which.
    """
    totals, planned = [], []
    for strategy in strategies:
        copies = _copies(scenario, slots, watch) if strategy is Strategy.PRIVATE else 1
        owned = with_copies(scenario, copies)
        rows = _planned(owned, slots, strategy, watch)
        totals.append(_total(strategy, copies, rows))
        planned += rows
    return Comparison(totals=tuple(totals), slots=tuple(planned))


def _copies(scenario: Scenario, slots: Sequence[Slot], watch: Watch) -> int:
    """Return how many of each node are enough alone for every slot; the most if none is."""
    copies = 1
    for slot in slots:
        while copies < COPIES_MAX and not _is_enough(scenario, slot, copies, watch):
            copies += 1
    return copies


def _is_enough(scenario: Scenario, slot: Slot, copies: int, watch: Watch) -> bool:
    owned = with_copies(at_load(scenario, slot), copies)
    brief = Part.at_most(watch, PLAN_S_MAX)
    return isinstance(solve(owned, Strategy.PRIVATE, watch=brief, gap=1.0), Plan)


def _planned(
    scenario: Scenario, slots: Sequence[Slot], strategy: Strategy, watch: Watch
) -> list[Planned]:
    """Return a plan for every slot; a limit of imbalance holds over all of them together."""
    at = [at_load(scenario, slot) for slot in slots]
    answers = _answers(at, strategy, watch)
    return [
        _row(slot, strategy, each, answer)
        for slot, each, answer in zip(slots, at, answers, strict=True)
    ]


def _answers(at: Sequence[Scenario], strategy: Strategy, watch: Watch) -> Sequence[Plan | NoPlan]:
    limits = [each.tariff.imbalance_max_microcredits for each in at]
    if not strategy.lends or None in limits or not at:
        return [
            solve(each, strategy, watch=Part.at_most(watch, PLAN_S_MAX), gap=GAP) for each in at
        ]
    found = solve_period(at, watch=Part.at_most(watch, PLAN_S_MAX * len(at)))
    return found.plans if isinstance(found, PeriodPlan) else [found] * len(at)


def _row(slot: Slot, strategy: Strategy, at: Scenario, answer: Plan | NoPlan) -> Planned:
    loads = {name: float(load) for name, load in slot.loads.items()}
    if isinstance(answer, NoPlan):
        return Planned(
            slot=slot.name,
            strategy=strategy,
            loads=loads,
            feasible=False,
            usd_month=None,
            gap=None,
            enterprises={},
            lent={},
            utilisation={},
            reason=" ".join(reason.sentence for reason in answer.reasons),
        )
    split = split_costs(at, answer)
    return Planned(
        slot=slot.name,
        strategy=strategy,
        loads=loads,
        feasible=True,
        usd_month=answer.objective_usd_month,
        gap=answer.gap,
        enterprises={
            name: Share(
                cost=cost,
                usd_month=cost.usd_month,
                mileage_microcredits_month=answer.mileage[name],
            )
            for name, cost in split.costs.items()
        },
        lent=split.lent,
        utilisation=answer.utilisation,
        reason="",
    )


def _total(strategy: Strategy, copies: int, rows: Sequence[Planned]) -> Total:
    reasons = [f"{row.slot}: {row.reason}" for row in rows if not row.feasible]
    if reasons or not rows:
        return Total(
            strategy=strategy,
            copies=copies,
            feasible=False,
            usd_month=None,
            enterprises={},
            reason=" ".join(reasons[:1]),
        )
    return Total(
        strategy=strategy,
        copies=copies,
        feasible=True,
        usd_month=sum(row.usd_month or 0.0 for row in rows) / len(rows),
        enterprises={
            name: _mean([row.enterprises[name] for row in rows]) for name in rows[0].enterprises
        },
        reason="",
    )


def _mean(shares: Sequence[Share]) -> Share:
    cost = Costs.mean([share.cost for share in shares])
    earned = sum(share.mileage_microcredits_month for share in shares) / len(shares)
    return Share(cost=cost, usd_month=cost.usd_month, mileage_microcredits_month=earned)
