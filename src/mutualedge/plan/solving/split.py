"""Whose money a plan's costs are: energy of who executes, way and rent of who sends."""

from dataclasses import dataclass

from mutualedge.plan.options import NodeColumn, Takers, list_options, takers
from mutualedge.plan.plans import Costs, Plan
from mutualedge.plan.scenario import Enterprise, Scenario
from mutualedge.plan.solving.answer import fixed_costs
from mutualedge.plan.solving.replay import options_of
from mutualedge.plan.strategies import restrict


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSplit:
    """A plan's money by enterprise.

    Attributes:
        costs: Of each enterprise; together those of the plan.
        lent: Share of a processor that one has at another's, by ``home>owner``.
    """

    costs: dict[str, Costs]
    lent: dict[str, float]


def split_costs(scenario: Scenario, plan: Plan) -> CostSplit:
    """Return what of a plan each enterprise pays; mileage comes on top and is not money.

    Raises:
        UsageError: The plan does not belong to the scenario.
    """
    table = list_options(restrict(scenario, plan.strategy))
    costs = {each.name: [_fixed(table.scenario, each)] for each in table.scenario.enterprises}
    lent: dict[str, float] = {}
    for each in takers(table, options_of(table, plan)):
        home, column = each.block.enterprise.name, each.cell.column
        owner = home
        if isinstance(column, NodeColumn):
            owner = table.scenario.enterprises[column.owner].name
        for name, cost in _shares(each, home, owner):
            costs[name].append(cost)
        if owner != home and len(each.tasks):
            lent[f"{home}>{owner}"] = lent.get(f"{home}>{owner}", 0.0) + _busy(each)
    return CostSplit(costs={name: Costs.add(parts) for name, parts in costs.items()}, lent=lent)


def _fixed(scenario: Scenario, enterprise: Enterprise) -> Costs:
    """Return what its nodes cost without any task."""
    alone = Scenario(enterprises=(enterprise,), tariff=scenario.tariff)
    return fixed_costs(alone)


def _shares(each: Takers, home: str, owner: str) -> list[tuple[str, Costs]]:
    """Return what of these tasks their owner pays and what the executing one does."""
    money, tasks = each.cell.money, each.tasks
    sent = float(money.sent_usd_month[tasks].sum())
    executed = float(money.cpu_usd_month[tasks].sum()) - sent
    at_home = Costs(
        cpu_usd_month=sent,
        network_usd_month=float(money.network_usd_month[tasks].sum()),
        rent_usd_month=float(money.rent_usd_month[tasks].sum()),
    )
    there = Costs(
        cpu_usd_month=executed, memory_usd_month=float(money.memory_usd_month[tasks].sum())
    )
    return [(home, at_home), (owner, there)]


def _busy(each: Takers) -> float:
    demand, tasks = each.cell.demand, each.tasks
    return float((demand.execution_us[tasks] / each.block.tasks.period_us[tasks]).sum())
