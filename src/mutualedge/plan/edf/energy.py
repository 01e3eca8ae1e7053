"""Power from processor time: what each task draws while it runs, while it rests, and when idle.

While a task runs at level (s, P, I) in memory (w, A, D) with a = 1/s and b = 1/w, its time is
split a : b between computing and waiting for memory, so the processor draws (P a + I b)/(a + b);
its memory M draws M (g A + (1 - g) D), and M D while it rests. With nothing to run the processor
draws the idle power of its slowest level. Source: the reference simulator simrts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutualedge.plan.edf.machine import Machine, Placement, Work

Watts = NDArray[np.float64]
"""One power for each task."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PowerTable:
    """What each task draws where it was placed.

    Attributes:
        computing_w: The processor's active part while the task runs, averaged over its run.
        waiting_w: The processor's idle part while the task runs, averaged over its run.
        accessed_w: Its memory in use, while it runs.
        kept_running_w: Its memory not in use, while it runs.
        kept_resting_w: Its whole memory while it does not run.
        idle_w: The processor with nothing to run.
    """

    computing_w: Watts
    waiting_w: Watts
    accessed_w: Watts
    kept_running_w: Watts
    kept_resting_w: Watts
    idle_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Average power, in the four parts that add up to it.

    Attributes:
        cpu_active_w: Processor, computing.
        cpu_idle_w: Processor, waiting for memory or for work.
        memory_active_w: Memory in use.
        memory_idle_w: Memory that only keeps its content.
    """

    cpu_active_w: float
    cpu_idle_w: float
    memory_active_w: float
    memory_idle_w: float

    @property
    def cpu_w(self) -> float:
        """The processor's part."""
        return self.cpu_active_w + self.cpu_idle_w

    @property
    def memory_w(self) -> float:
        """The memories' part."""
        return self.memory_active_w + self.memory_idle_w

    @property
    def total_w(self) -> float:
        """Processor and memories."""
        return self.cpu_w + self.memory_w


def power_table(
    works: Sequence[Work], machine: Machine, placements: Sequence[Placement]
) -> PowerTable:
    """Return what tasks draw on a machine.

    Raises:
        UsageError: A placement names a memory that the machine lacks.
    """
    rows = [
        _row(work, machine, placement) for work, placement in zip(works, placements, strict=True)
    ]
    columns = np.array(rows, np.float64).reshape(-1, 5).T
    return PowerTable(
        computing_w=columns[0],
        waiting_w=columns[1],
        accessed_w=columns[2],
        kept_running_w=columns[3],
        kept_resting_w=columns[4],
        idle_w=machine.levels[-1].idle_w,
    )


def _row(
    work: Work, machine: Machine, placement: Placement
) -> tuple[float, float, float, float, float]:
    level, memory = machine.levels[placement.level], machine.memory(placement.memory)
    # a / (a + b) with a = 1 / level.scale and b = 1 / memory.scale.
    computing = memory.scale / (level.scale + memory.scale)
    return (
        level.active_w * computing,
        level.idle_w * (1 - computing),
        work.memory_mb * work.active_ratio * memory.active_w_per_mb,
        work.memory_mb * (1 - work.active_ratio) * memory.idle_w_per_mb,
        work.memory_mb * memory.idle_w_per_mb,
    )


def average_power(table: PowerTable, busy_share: NDArray[np.float64]) -> Power:
    """Return the average power where each task has the processor for this share of the time.

    Args:
        table: What each task draws.
        busy_share: Of a simulation, ``busy_us / horizon_us``; in the long run, utilisations.
    """
    idle_share = max(0.0, 1 - float(busy_share.sum()))
    kept_w = busy_share * table.kept_running_w + (1 - busy_share) * table.kept_resting_w
    return Power(
        cpu_active_w=float(busy_share @ table.computing_w),
        cpu_idle_w=float(busy_share @ table.waiting_w) + idle_share * table.idle_w,
        memory_active_w=float(busy_share @ table.accessed_w),
        memory_idle_w=float(kept_w.sum()),
    )
