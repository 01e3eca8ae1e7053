"""A choice of options as a plan: in names, with its money, mileage and utilisation."""

import numpy as np
from numpy.typing import NDArray

from mutualedge.plan.options import (
    CloudColumn,
    Column,
    NodeColumn,
    OptionTable,
    fixed_memory_w,
    loads,
    takers,
)
from mutualedge.plan.plans import Chosen, Costs
from mutualedge.plan.scenario import Scenario


def list_choices(table: OptionTable, options: NDArray[np.intp]) -> tuple[Chosen, ...]:
    """Return where and how each task runs, in the order of the scenario."""
    labels = [label_column(column) for column in table.columns.columns]
    names = (
        (block.enterprise.name, task.name)
        for block in table.blocks
        for task in block.enterprise.tasks
    )
    return tuple(
        Chosen(enterprise=enterprise, task=task, place=place, level=level, memory=memory)
        for (enterprise, task), (place, level, memory) in zip(
            names, (labels[option] for option in options), strict=True
        )
    )


def label_column(column: Column) -> tuple[str, int | None, str | None]:
    """Return place, level and memory of a column, as plans name them."""
    match column:
        case NodeColumn():
            level = column.node.levels.index(column.level)
            return column.node.name, level, column.memory.name
        case CloudColumn():
            return column.cloud.name, None, None


def add_costs(table: OptionTable, options: NDArray[np.intp]) -> Costs:
    """Return the parts of a month's money: what the nodes cost anyway, and what the tasks add."""
    fixed = fixed_costs(table.scenario)
    parts = {"cpu": 0.0, "memory": 0.0, "network": 0.0, "rent": 0.0}
    for each in takers(table, options):
        money = each.cell.money
        parts["cpu"] += float(money.cpu_usd_month[each.tasks].sum())
        parts["memory"] += float(money.memory_usd_month[each.tasks].sum())
        parts["network"] += float(money.network_usd_month[each.tasks].sum())
        parts["rent"] += float(money.rent_usd_month[each.tasks].sum())
    return Costs(
        cpu_usd_month=fixed.cpu_usd_month + parts["cpu"],
        memory_usd_month=fixed.memory_usd_month + parts["memory"],
        network_usd_month=parts["network"],
        baseline_usd_month=fixed.baseline_usd_month,
        hardware_usd_month=fixed.hardware_usd_month,
        rent_usd_month=parts["rent"],
    )


def fixed_costs(scenario: Scenario) -> Costs:
    """Return what the nodes of a scenario cost without any task."""
    nodes = [node for _, node in scenario.nodes]
    usd_month_per_w = scenario.tariff.usd_month_per_w
    return Costs(
        cpu_usd_month=sum(node.idle_w for node in nodes) * usd_month_per_w,
        memory_usd_month=sum(map(fixed_memory_w, nodes)) * usd_month_per_w,
        network_usd_month=0.0,
        baseline_usd_month=sum(node.baseline_w for node in nodes) * usd_month_per_w,
        hardware_usd_month=sum(node.hardware_usd / node.lifetime_months for node in nodes),
        rent_usd_month=0.0,
    )


def add_mileage(table: OptionTable, options: NDArray[np.intp]) -> dict[str, float]:
    """Return what each enterprise earns in a month, in microcredits; all together earn nothing."""
    earned = dict.fromkeys((each.name for each in table.scenario.enterprises), 0.0)
    for each in takers(table, options):
        if isinstance(each.cell.column, NodeColumn):
            due = float(each.cell.money.mileage_microcredits_month[each.tasks].sum())
            earned[table.scenario.enterprises[each.cell.column.owner].name] += due
            earned[each.block.enterprise.name] -= due
    return earned


def utilisations(table: OptionTable, options: NDArray[np.intp]) -> dict[str, float]:
    """Return the share of each node's processor that is asked for."""
    return {
        table.columns.rows[row].place: float((load.execution_us / load.period_us).sum())
        for row, load in loads(table, options).items()
    }
