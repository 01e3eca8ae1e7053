"""What an option costs in a month: processor, memory, network, rent; and its mileage.

Money knows no whole microseconds: only what has to fit into time is rounded.
"""

from dataclasses import dataclass

import numpy as np

from mutualedge.plan.options.columns import CloudColumn, NodeColumn, gateway_node
from mutualedge.plan.options.demands import US_PER_MS, Floats, TaskArrays
from mutualedge.plan.scenario import MONTH_S, Enterprise, Node, Tariff


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Parts of what an option costs, for every task of one enterprise, shape (tasks,).

    Attributes:
        cpu_usd_month: Energy of processors beyond what they draw idle.
        sent_usd_month: Of that, what sending and receiving takes at home.
        memory_usd_month: Energy of memory beyond what it draws unused.
        network_usd_month: Energy of the link.
        rent_usd_month: To the owner of a rented server.
        mileage_microcredits_month: To the partner whose node executes.
    """

    cpu_usd_month: Floats
    sent_usd_month: Floats
    memory_usd_month: Floats
    network_usd_month: Floats
    rent_usd_month: Floats
    mileage_microcredits_month: Floats

    @property
    def usd_month(self) -> Floats:
        """All parts but mileage, which one pays and another earns."""
        return (
            self.cpu_usd_month
            + self.memory_usd_month
            + self.network_usd_month
            + self.rent_usd_month
        )


def stay_money(tariff: Tariff, tasks: TaskArrays, column: NodeColumn) -> Money:
    """Return what a task costs on a node of its own enterprise."""
    nothing = np.zeros_like(tasks.wcet_us)
    return Money(
        cpu_usd_month=tariff.usd_month_per_w * _busy_w(tasks, column),
        sent_usd_month=nothing,
        memory_usd_month=tariff.usd_month_per_w * _memory_w(tasks, column),
        network_usd_month=nothing,
        rent_usd_month=nothing,
        mileage_microcredits_month=nothing,
    )


def lend_money(tariff: Tariff, home: Enterprise, tasks: TaskArrays, column: NodeColumn) -> Money:
    """Return what a task costs on a partner's node; the energy there counts as well."""
    sent = tariff.usd_month_per_w * _gateway_w(home, tasks)
    jobs_month = MONTH_S * 1e6 / tasks.period_us
    execution_ms = tasks.wcet_us / column.speed / US_PER_MS
    return Money(
        cpu_usd_month=tariff.usd_month_per_w * _busy_w(tasks, column) + sent,
        sent_usd_month=sent,
        memory_usd_month=tariff.usd_month_per_w * _memory_w(tasks, column),
        network_usd_month=tariff.usd_month_per_w * _network_w(home, tasks),
        rent_usd_month=np.zeros_like(tasks.wcet_us),
        mileage_microcredits_month=execution_ms * jobs_month * tariff.microcredits_per_ms,
    )


def rent_money(tariff: Tariff, home: Enterprise, tasks: TaskArrays, column: CloudColumn) -> Money:
    """Return what a task costs on a rented server, whose energy is in the rent."""
    nothing = np.zeros_like(tasks.wcet_us)
    sent = tariff.usd_month_per_w * _gateway_w(home, tasks)
    return Money(
        cpu_usd_month=sent,
        sent_usd_month=sent,
        memory_usd_month=nothing,
        network_usd_month=tariff.usd_month_per_w * _network_w(home, tasks),
        rent_usd_month=(
            column.cloud.rent_usd_month * tasks.wcet_us / column.cloud.speed / tasks.period_us
        ),
        mileage_microcredits_month=nothing,
    )


def fixed_memory_w(node: Node) -> float:
    """Return what a node's memories draw, used or not."""
    return sum(memory.capacity_mb * memory.idle_w_per_mb for memory in node.memories)


def _busy_w(tasks: TaskArrays, column: NodeColumn) -> Floats:
    above_idle_w = column.level.active_w - column.node.idle_w
    return above_idle_w * tasks.wcet_us / column.speed / tasks.period_us


def _memory_w(tasks: TaskArrays, column: NodeColumn) -> Floats:
    above_idle_w = column.memory.active_w_per_mb - column.memory.idle_w_per_mb
    return tasks.memory_mb * tasks.active_ratio * above_idle_w


def _gateway_w(home: Enterprise, tasks: TaskArrays) -> Floats:
    """Sending and receiving run at the gateway's first level."""
    node = gateway_node(home)
    if node is None:
        return np.zeros_like(tasks.wcet_us)
    above_idle_w = node.levels[0].active_w - node.idle_w
    return above_idle_w * (tasks.send_us + tasks.receive_us) / tasks.period_us


def _network_w(home: Enterprise, tasks: TaskArrays) -> Floats:
    return home.link.active_w * tasks.transfer_us / tasks.period_us
