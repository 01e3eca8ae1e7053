"""Every option of every task: its money, its mileage, its demand; and the problem they make."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutualedge.plan.options.columns import CloudColumn, Column, Columns, list_columns
from mutualedge.plan.options.demands import (
    Demand,
    TaskArrays,
    arrange_tasks,
    lend_demand,
    rent_demand,
    stay_demand,
)
from mutualedge.plan.options.money import Money, lend_money, rent_money, stay_money
from mutualedge.plan.scenario import Enterprise, Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One column of one enterprise's tasks."""

    column: Column
    demand: Demand
    money: Money
    allowed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The options of one enterprise's tasks, a cell per column of the scenario."""

    enterprise: Enterprise
    tasks: TaskArrays
    gateway: int | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionTable:
    """All blocks, and what they share."""

    scenario: Scenario
    columns: Columns
    blocks: tuple[Block, ...]


def list_options(scenario: Scenario) -> OptionTable:
    """Return every option of every task of a scenario."""
    columns = list_columns(scenario)
    blocks = tuple(_block(scenario, columns, index) for index in range(len(scenario.enterprises)))
    return OptionTable(scenario=scenario, columns=columns, blocks=blocks)


def _block(scenario: Scenario, columns: Columns, owner: int) -> Block:
    enterprise = scenario.enterprises[owner]
    tasks = arrange_tasks(enterprise)
    cells = tuple(_cell(scenario, owner, tasks, column) for column in columns.columns)
    return Block(enterprise=enterprise, tasks=tasks, gateway=columns.gateways[owner], cells=cells)


def _cell(scenario: Scenario, owner: int, tasks: TaskArrays, column: Column) -> Cell:
    enterprise = scenario.enterprises[owner]
    if isinstance(column, CloudColumn):
        latency_ms = enterprise.link.latency_ms + column.cloud.latency_ms
        demand = rent_demand(tasks, column, latency_ms)
        money = rent_money(scenario.tariff, enterprise, tasks, column)
        allowed = _may_leave(tasks, column.cloud.assurance.rank)
    elif column.owner == owner:
        demand = stay_demand(tasks, column)
        money = stay_money(scenario.tariff, tasks, column)
        allowed = np.ones(len(enterprise.tasks), dtype=bool)
    else:
        latency_ms = enterprise.link.latency_ms + scenario.enterprises[column.owner].link.latency_ms
        demand = lend_demand(tasks, column, latency_ms)
        money = lend_money(scenario.tariff, enterprise, tasks, column)
        allowed = _may_leave(tasks, column.node.assurance.rank)
    return Cell(column=column, demand=demand, money=money, allowed=allowed & demand.fits)


def _may_leave(tasks: TaskArrays, rank: int) -> NDArray[np.bool_]:
    return tasks.offloadable & (tasks.assurance_rank <= rank)
