"""From the prices of a period to a plan of each slot, and to plans that are balanced."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mutualedge.plan.choice import Chooser, Part, Watch, choose
from mutualedge.plan.choice.problem import Floats, Options
from mutualedge.plan.period.choosers import Charging, Near, Slot
from mutualedge.plan.period.dual import PeriodDual, PeriodPoint
from mutualedge.plan.plans import NoPlan, Plan, Reason
from mutualedge.plan.solving import options_of, solve_table
from mutualedge.plan.strategies import Strategy

COARSER = 2
"""Plans are twice as fine as is asked for."""

COARSE = 1.0
"""Gap at which a slot's plan is what search alone finds; the worst of them are planned again."""

INSIDE = 1 - 1e-9
"""Share of the limit that sums in floating point may use."""

SHARES = (1.0, 0.5, 0.25)
"""Of what is out of balance, how much one slot is asked to put right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """The slots, and the best prices that were found for what couples them."""

    dual: PeriodDual
    slots: Sequence[Slot]
    point: PeriodPoint
    gap: float
    watch: Watch

    @property
    def lending(self) -> Floats:
        """Price of each enterprise's lending."""
        return self.dual.net(self.point.prices)

    def bound(self, number: int) -> float:
        """Return what no choice in a slot undercuts at these prices."""
        shared = float(self.point.prices[: 2 * self.dual.enterprises].sum())
        return self.point.values[number] + self.dual.limit * shared

    def near(self, number: int) -> Near:
        """Return what searches a slot at these prices."""
        own = self.dual.own(self.point.prices, number)
        slot = replace(self.slots[number], prices=own)
        return Near(slot=slot, lending=self.lending, bound=self.bound(number))

    def solve(self, number: int, chooser: Chooser, gap: float = COARSE) -> Plan | NoPlan:
        """Return a slot's plan as a chooser chooses, with its due part of the time."""
        brief = Part(self.watch, max(self.watch.left_s(), 0.0) / 2)
        return solve_table(self.slots[number].table, Strategy.MUTUAL, brief, gap, chooser)

    def options(self, number: int, plan: Plan) -> Options:
        """Return what a plan chooses in a slot."""
        return options_of(self.slots[number].table, plan)

    def regret(self, number: int, plan: Plan) -> float:
        """Return by how much a slot's plan lies above its bound at these prices."""
        options = self.options(number, plan)
        charged = self.slots[number].asked.charged(self.lending)
        cost = float(charged[np.arange(len(options)), options].sum())
        return cost - self.bound(number)

    def lent(self, number: int, plan: Plan) -> Floats:
        """Return what each enterprise lends net under a slot's plan."""
        return self.slots[number].asked.lent_by(self.options(number, plan))


def choose_plans(priced: Priced) -> list[Plan] | NoPlan:
    """Return a plan of each slot, such that all together are near enough to the bound."""
    plans = []
    for number in range(len(priced.slots)):
        plan = priced.solve(number, priced.near(number))
        if isinstance(plan, NoPlan):
            plan = priced.solve(number, choose, priced.gap)
        if isinstance(plan, NoPlan):
            return plan
        plans.append(plan)
    return _refined(priced, plans)


def _refined(priced: Priced, plans: list[Plan]) -> list[Plan]:
    """Plan those slots again that lie furthest above their bounds, while the sum is too much."""
    regrets = [priced.regret(number, plan) for number, plan in enumerate(plans)]
    whole = priced.gap * sum(plan.objective_usd_month for plan in plans) / COARSER
    for number in map(int, np.argsort(-np.array(regrets))):
        if sum(regrets) <= whole or priced.watch.left_s() <= 0:
            break
        charging = Charging(slot=priced.slots[number], lending=priced.lending)
        finer = priced.solve(number, charging, priced.gap / COARSER)
        if isinstance(finer, Plan) and priced.regret(number, finer) < regrets[number]:
            plans[number], regrets[number] = finer, priced.regret(number, finer)
    return plans


def balance_plans(priced: Priced, plans: list[Plan]) -> list[Plan] | NoPlan:
    """Have slots lend or borrow a little more, until what is out of balance is within the limit."""
    lent = np.array([priced.lent(number, plan) for number, plan in enumerate(plans)])
    whole = priced.dual.limit * len(plans)
    for share in SHARES:
        for number in map(int, np.argsort(-np.abs(lent).max(axis=1))):
            over = np.maximum(np.abs(lent.sum(axis=0)) - whole, 0.0)
            if not over.any():
                return plans
            others = lent.sum(axis=0) - lent[number]
            reach = whole + (1 - share) * over
            near = replace(
                priced.near(number),
                start=priced.options(number, plans[number]),
                low=-reach - others,
                high=reach - others,
            )
            moved = priced.solve(number, near)
            if isinstance(moved, Plan):
                plans[number], lent[number] = moved, priced.lent(number, moved)
    if (np.abs(lent.sum(axis=0)) <= whole).all():
        return plans
    return NoPlan(proven=False, elapsed_s=0.0, reasons=(_UNBALANCED,))


_UNBALANCED = Reason(
    code="plan.period.unbalanced",
    sentence=(
        "No plans were found under which every enterprise lends and borrows within the limit over "
        "all slots; allow a larger imbalance_max_microcredits."
    ),
)
