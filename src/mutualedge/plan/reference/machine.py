"""A published config as the simulator's machine and tasks; memory powers count per KB there."""

from collections.abc import Sequence

from mutualedge.errors import UsageError
from mutualedge.plan.edf import Level, Machine, Memory, Placement, Work
from mutualedge.plan.reference.config import ReferenceConfig
from mutualedge.plan.reference.published import Gene

KB_PER_MB = 1_000
US_PER_MS = 1_000


def machine_of(config: ReferenceConfig) -> Machine:
    """Return the processor and memories of a config.

    Raises:
        UsageError: It has no levels or no memories.
    """
    return Machine(
        levels=tuple(
            Level(scale=row.scale, active_w=row.active_w, idle_w=row.idle_w)
            for row in config.cpufreq
        ),
        memories=tuple(
            Memory(
                name=row.name,
                capacity_mb=row.capacity_kb / KB_PER_MB,
                scale=row.scale,
                active_w_per_mb=row.active_w_per_kb * KB_PER_MB,
                idle_w_per_mb=row.idle_w_per_kb * KB_PER_MB,
            )
            for row in config.mem
        ),
    )


def works_of(config: ReferenceConfig) -> list[Work]:
    """Return the tasks of a config before it is decided where they run."""
    return [
        Work(
            wcet_ms=row.wcet_ms,
            period_us=row.period_ms * US_PER_MS,
            deadline_us=row.period_ms * US_PER_MS,
            memory_mb=row.memory_kb / KB_PER_MB,
            active_ratio=row.active_ratio,
        )
        for row in config.task
    ]


def placements_of(config: ReferenceConfig, genes: Sequence[Gene]) -> list[Placement]:
    """Return where a plan puts each task of a config; all of them stay.

    Raises:
        UsageError: It names a memory behind the last.
    """
    for number, gene in enumerate(genes, start=1):
        if gene.memory_index >= len(config.mem):
            sentence = (
                f"Row {number} names memory {gene.memory_index}; there are {len(config.mem)}."
            )
            raise UsageError("plan.reference.index", sentence)
    return [
        Placement(level=gene.frequency_index, memory=config.mem[gene.memory_index].name)
        for gene in genes
    ]
