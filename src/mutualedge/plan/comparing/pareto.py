"""Energy against money: what a kilowatt-hour less costs."""

from collections.abc import Sequence

import msgspec

from mutualedge.plan.choice import Part, Watch
from mutualedge.plan.plans import Costs, Plan
from mutualedge.plan.scenario import MONTH_S, Scenario
from mutualedge.plan.solving import solve
from mutualedge.plan.strategies import Strategy

WEIGHTS = tuple(2.0**power for power in range(-6, 11))
"""By which energy is made dearer while a plan is sought, from a 64th to a thousand times."""

GAP = 1e-5
PLAN_S_MAX = 5.0


class Compromise(msgspec.Struct, frozen=True, kw_only=True):
    """A plan than which none found is better in one and not worse in the other.

    Attributes:
        weight: By which energy was made dearer to find it.
        energy_kwh_month: Of all nodes and links; what servers for rent draw is not known.
        usd_month: At the real price of energy.
    """

    weight: float
    energy_kwh_month: float
    usd_month: float
    cost: Costs


def compromises(
    scenario: Scenario,
    strategy: Strategy,
    *,
    watch: Watch,
    weights: Sequence[float] = WEIGHTS,
) -> tuple[Compromise, ...]:
    """Return the plans between the cheapest and the most frugal, by rising energy.

    Args:
        scenario: Tasks, nodes and prices; energy must have one.
        strategy: With whom enterprises share.
        watch: Ends the search; what is not planned by then is left out.
        weights: By which to make energy dearer.
    """
    found = []
    for weight in weights:
        brief = Part.at_most(watch, PLAN_S_MAX)
        plan = solve(_weighted(scenario, weight), strategy, watch=brief, gap=GAP)
        if isinstance(plan, Plan):
            found.append(_compromise(scenario, plan, weight))
    return _undominated(found)


def _weighted(scenario: Scenario, weight: float) -> Scenario:
    tariff = msgspec.structs.replace(
        scenario.tariff, usd_per_kwh=scenario.tariff.usd_per_kwh * weight
    )
    return msgspec.structs.replace(scenario, tariff=tariff)


def _compromise(scenario: Scenario, plan: Plan, weight: float) -> Compromise:
    """Return a plan at the real price: rent and hardware as they are, energy by its weight less."""
    cost = Costs(
        cpu_usd_month=plan.cost.cpu_usd_month / weight,
        memory_usd_month=plan.cost.memory_usd_month / weight,
        network_usd_month=plan.cost.network_usd_month / weight,
        baseline_usd_month=plan.cost.baseline_usd_month / weight,
        hardware_usd_month=plan.cost.hardware_usd_month,
        rent_usd_month=plan.cost.rent_usd_month,
    )
    energy = cost.usd_month - cost.hardware_usd_month - cost.rent_usd_month
    watts = energy / scenario.tariff.usd_month_per_w
    return Compromise(
        weight=weight,
        energy_kwh_month=watts * MONTH_S / 3.6e6,
        usd_month=cost.usd_month,
        cost=cost,
    )


def _undominated(found: Sequence[Compromise]) -> tuple[Compromise, ...]:
    kept: list[Compromise] = []
    for each in sorted(found, key=lambda one: (one.energy_kwh_month, one.usd_month)):
        if not kept or each.usd_month < kept[-1].usd_month * (1 - 1e-12):
            kept.append(each)
    return tuple(kept)
