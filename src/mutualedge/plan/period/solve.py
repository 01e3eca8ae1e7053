"""Plans for the slots of a settlement period, balanced over all of it."""

from collections.abc import Sequence

import msgspec
import numpy as np

from mutualedge.plan.choice import NoChoice, Watch, prices_of
from mutualedge.plan.choice.problem import Floats
from mutualedge.plan.options import (
    lent_shares,
    list_options,
    microcredits_processor_month,
    pose_problem,
)
from mutualedge.plan.period.balancing import Priced, balance_plans, choose_plans
from mutualedge.plan.period.choosers import Slot
from mutualedge.plan.period.dual import PeriodDual, PeriodPoint, SlotProblem, price_period
from mutualedge.plan.plans import NoPlan, Plan
from mutualedge.plan.scenario import Scenario
from mutualedge.plan.solving import fixed_costs, solve

GAP = 1e-3
"""Of the whole cost."""

FINER = 10
"""Prices are sought ten times finer than plans."""

INSIDE = 1 - 1e-9
"""Share of the limit that sums in floating point may use."""

UNLIMITED = 1e6
"""Processors: more than any enterprise lends."""


class PeriodPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan for each slot, all equally long, and what they come to.

    Attributes:
        objective_usd_month: Mean over the slots.
        bound_usd_month: No plans of these slots that are balanced over them cost less.
        gap: Distance of the two as a share of the objective.
        mileage: What each enterprise earns in a month, microcredits; negative if it pays.
        plans: In the order of the slots. Their own bounds leave the balance out.
    """

    objective_usd_month: float
    bound_usd_month: float
    gap: float
    elapsed_s: float
    mileage: dict[str, float]
    plans: tuple[Plan, ...]


def solve_period(
    slots: Sequence[Scenario], *, watch: Watch, gap: float = GAP
) -> PeriodPlan | NoPlan:
    """Return plans for slots of equal length in which each enterprise's balance holds over all.

    The tariff's limit is on what an enterprise lends and borrows net in a month of such slots; in
    one of them it may lend as much as it likes.

    Args:
        slots: The same enterprises, nodes and prices under other loads; at least one.
        watch: Ends the search.
        gap: How far the cost may lie above its bound, as a share of it.

    Raises:
        UsageError: A task or node cannot be counted in microseconds.
    """
    began_s = watch.left_s()
    posed = []
    for scenario in slots:
        slot = _posed(scenario, gap, watch)
        if slot is None:
            alone = solve(_unlimited(scenario), watch=watch)
            assert isinstance(alone, NoPlan), "its prices said so"
            return alone
        posed.append(slot)
    limit = _limit(slots[0])
    dual = PeriodDual([each.asked for each in posed], limit)
    start = np.concatenate([np.zeros(2 * dual.enterprises), *(each.prices for each in posed)])
    whole = sum(each.alone + fixed_costs(each.table.scenario).usd_month for each in posed)
    point = price_period(dual, start, _scale(dual, posed), gap / FINER * whole, watch)
    priced = Priced(dual=dual, slots=posed, point=point, gap=gap, watch=watch)
    chosen = choose_plans(priced)
    if not isinstance(chosen, NoPlan):
        chosen = balance_plans(priced, chosen)
    if isinstance(chosen, NoPlan):
        return chosen
    return _answer(slots, posed, chosen, point, began_s - watch.left_s())


def _unlimited(scenario: Scenario) -> Scenario:
    tariff = msgspec.structs.replace(scenario.tariff, imbalance_max_microcredits=None)
    return msgspec.structs.replace(scenario, tariff=tariff)


def _limit(scenario: Scenario) -> float:
    """Return what an enterprise may lend or borrow net, in processors."""
    limit = scenario.tariff.imbalance_max_microcredits
    if limit is None:
        return UNLIMITED
    return INSIDE * limit / microcredits_processor_month(scenario.tariff)


def _posed(scenario: Scenario, gap: float, watch: Watch) -> Slot | None:
    """Return a slot with its prices as if it were alone; nothing if nothing holds in it."""
    table = list_options(_unlimited(scenario))
    problem = pose_problem(table)
    if not problem.groups:
        priced: tuple[float, Floats] | NoChoice = (0.0, np.zeros(len(problem.capacity)))
    else:
        priced = prices_of(problem, gap=gap / FINER, watch=watch)
    if isinstance(priced, NoChoice):
        return None
    asked = SlotProblem(problem=problem, lent=lent_shares(table))
    return Slot(table=table, asked=asked, alone=priced[0], prices=priced[1])


def _scale(dual: PeriodDual, posed: Sequence[Slot]) -> Floats:
    """Return a price per row, and per balance, that is of the order of the right one."""
    own = [_own_scale(each) for each in posed]
    shared = max((float(each.max(initial=0.0)) for each in own), default=1.0)
    return np.concatenate([np.full(2 * dual.enterprises, max(shared, 1e-9)), *own])


def _own_scale(slot: Slot) -> Floats:
    cost = slot.asked.problem.cost
    dearest = np.where(np.isfinite(cost), cost, -np.inf).max(axis=1, initial=-np.inf)
    spread = max(float(dearest.sum()) - slot.alone, 1e-9)
    guessed = spread / np.maximum(np.abs(slot.asked.problem.capacity), 1e-12) / 8
    scale: Floats = np.where(slot.prices > 0, slot.prices, guessed)
    return scale


def _answer(
    slots: Sequence[Scenario],
    posed: Sequence[Slot],
    plans: Sequence[Plan],
    point: PeriodPoint,
    elapsed_s: float,
) -> PeriodPlan:
    fixed = [fixed_costs(scenario).usd_month for scenario in slots]
    objective = sum(plan.objective_usd_month for plan in plans) / len(plans)
    bound = min((point.value + sum(fixed)) / len(plans), objective)
    names = plans[0].mileage
    return PeriodPlan(
        objective_usd_month=objective,
        bound_usd_month=bound,
        gap=(objective - bound) / objective if objective > bound else 0.0,
        elapsed_s=elapsed_s,
        mileage={name: sum(plan.mileage[name] for plan in plans) / len(plans) for name in names},
        plans=tuple(
            _bounded(plan, slot.alone + usd)
            for plan, slot, usd in zip(plans, posed, fixed, strict=True)
        ),
    )


def _bounded(plan: Plan, bound: float) -> Plan:
    bound = min(bound, plan.objective_usd_month)
    gap = (plan.objective_usd_month - bound) / plan.objective_usd_month if bound else 0.0
    return msgspec.structs.replace(plan, bound_usd_month=bound, gap=max(gap, 0.0))
