"""Processor time and deadlines of every option, in whole microseconds, rounded to the safe side."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutualedge.plan.options.columns import CloudColumn, NodeColumn
from mutualedge.plan.scenario import Enterprise, Task

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

US_PER_MS = 1_000
BYTES_PER_KB = 1_024
BITS_PER_BYTE = 8
ROUNDING_US = 1e-6
"""What a division may leave of a whole microsecond; far below what a clock resolves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskArrays:
    """The tasks of one enterprise, a column per property; times in microseconds, shape (tasks,)."""

    wcet_us: Floats
    period_us: Ints
    deadline_us: Ints
    send_us: Ints
    receive_us: Ints
    transfer_us: Floats
    memory_mb: Floats
    active_ratio: Floats
    offloadable: NDArray[np.bool_]
    assurance_rank: Ints


def arrange_tasks(enterprise: Enterprise) -> TaskArrays:
    """Return an enterprise's tasks as arrays; waiting times are rounded up, deadlines down."""
    tasks = enterprise.tasks
    return TaskArrays(
        wcet_us=np.array([task.wcet_ms * US_PER_MS for task in tasks]),
        period_us=_down([task.period_ms * US_PER_MS for task in tasks]),
        deadline_us=_down([task.relative_deadline_ms * US_PER_MS for task in tasks]),
        send_us=_up(np.array([task.send_ms * US_PER_MS for task in tasks])),
        receive_us=_up(np.array([task.receive_ms * US_PER_MS for task in tasks])),
        transfer_us=np.array([transfer_ms(task, enterprise) * US_PER_MS for task in tasks]),
        memory_mb=np.array([task.memory_mb for task in tasks]),
        active_ratio=np.array([task.active_ratio for task in tasks]),
        offloadable=np.array([task.offloadable for task in tasks], dtype=bool),
        assurance_rank=np.array([task.assurance.rank for task in tasks], dtype=np.int64),
    )


def transfer_ms(task: Task, enterprise: Enterprise) -> float:
    """Return how long a job's input and output are on the enterprise's link."""
    up_mbit = task.uplink_mbit or enterprise.link.uplink_mbit
    down_mbit = task.downlink_mbit or enterprise.link.downlink_mbit
    bits_per_kb = BYTES_PER_KB * BITS_PER_BYTE
    seconds = task.input_kb * bits_per_kb / (up_mbit * 1e6)
    seconds += task.output_kb * bits_per_kb / (down_mbit * 1e6)
    return seconds * 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one option asks of processors, for every task of one enterprise.

    A job that leaves is three jobs in a row: sending, executing, receiving. What its deadline
    leaves beyond them and the network is shared out in proportion to them, so that each part has
    a deadline of its own and no processor has to know of the others.

    Attributes:
        execution_us: Time of a job where it executes.
        deadline_us: Within which it executes, once its input is there.
        send_us: Time of its first part at home; 0 if it does not leave.
        send_deadline_us: Within which it is sent.
        receive_us: Time of its last part at home.
        receive_deadline_us: Within which it is received.
        fits: Whether the parts and the network fit into the deadline at all.
    """

    execution_us: Ints
    deadline_us: Ints
    send_us: Ints
    send_deadline_us: Ints
    receive_us: Ints
    receive_deadline_us: Ints
    fits: NDArray[np.bool_]


def stay_demand(tasks: TaskArrays, column: NodeColumn) -> Demand:
    """Return what an enterprise's own node has to do."""
    execution_us = _up(tasks.wcet_us / column.speed)
    nothing = np.zeros_like(execution_us)
    return Demand(
        execution_us=execution_us,
        deadline_us=tasks.deadline_us,
        send_us=nothing,
        send_deadline_us=tasks.deadline_us,
        receive_us=nothing,
        receive_deadline_us=tasks.deadline_us,
        fits=execution_us <= tasks.deadline_us,
    )


def lend_demand(tasks: TaskArrays, column: NodeColumn, latency_ms: float) -> Demand:
    """Return what gateway and partner have to do for jobs that leave for a partner's node.

    Args:
        tasks: Of the enterprise whose jobs leave.
        column: Where they execute, by a deadline of their own.
        latency_ms: One way, between the two.
    """
    execution_us = _up(tasks.wcet_us / column.speed)
    slack_us = tasks.deadline_us - _up(tasks.transfer_us + 2 * latency_ms * US_PER_MS)
    slack_us -= tasks.send_us + execution_us + tasks.receive_us
    work_us = tasks.send_us + execution_us + tasks.receive_us
    send_more_us = _share(tasks.send_us, work_us, slack_us)
    receive_more_us = _share(tasks.receive_us, work_us, slack_us)
    return Demand(
        execution_us=execution_us,
        deadline_us=execution_us + slack_us - send_more_us - receive_more_us,
        send_us=tasks.send_us,
        send_deadline_us=tasks.send_us + send_more_us,
        receive_us=tasks.receive_us,
        receive_deadline_us=tasks.receive_us + receive_more_us,
        fits=slack_us >= 0,
    )


def rent_demand(tasks: TaskArrays, column: CloudColumn, latency_ms: float) -> Demand:
    """Return what the gateway has to do for jobs that leave for a server that starts them at once.

    Args:
        tasks: Of the enterprise whose jobs leave.
        column: Where they execute.
        latency_ms: One way, between the two.
    """
    execution_us = _up(tasks.wcet_us / column.cloud.speed)
    slack_us = tasks.deadline_us - _up(tasks.transfer_us + 2 * latency_ms * US_PER_MS)
    slack_us -= tasks.send_us + execution_us + tasks.receive_us
    send_more_us = _share(tasks.send_us, tasks.send_us + tasks.receive_us, slack_us)
    return Demand(
        execution_us=execution_us,
        deadline_us=execution_us,
        send_us=tasks.send_us,
        send_deadline_us=tasks.send_us + send_more_us,
        receive_us=tasks.receive_us,
        receive_deadline_us=tasks.receive_us + slack_us - send_more_us,
        fits=slack_us >= 0,
    )


def _share(part_us: Ints, work_us: Ints, slack_us: Ints) -> Ints:
    """Return a part's share of the slack, rounded down; the last part is given the rest."""
    share = part_us / np.maximum(work_us, 1)
    return np.floor(np.maximum(slack_us, 0) * share).astype(np.int64)


def _up(us: Floats) -> Ints:
    return np.ceil(us - ROUNDING_US).astype(np.int64)


def _down(us: list[float]) -> Ints:
    return np.floor(np.array(us) + ROUNDING_US).astype(np.int64)
