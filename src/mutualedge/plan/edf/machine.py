"""The processor and memories that decide how long a job takes and how much power it draws."""

from collections.abc import Sequence
from dataclasses import dataclass

from mutualedge.errors import UsageError
from mutualedge.plan.edf.tasks import execution_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A speed of the processor.

    Attributes:
        scale: Speed as a share of the full one, 0 < scale <= 1.
        active_w: Power while it computes.
        idle_w: Power while it waits, for memory or for work.
    """

    scale: float
    active_w: float
    idle_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A kind of memory.

    Attributes:
        name: Such as ``dram`` or ``nvram``.
        capacity_mb: Of all modules together.
        scale: Speed as a share of the fastest, 0 < scale <= 1.
        active_w_per_mb: Power of what is being read or written.
        idle_w_per_mb: Power of what only keeps its content.
    """

    name: str
    capacity_mb: float
    scale: float
    active_w_per_mb: float
    idle_w_per_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One processor with its levels, fastest first, and its memories.

    Attributes:
        levels: Full speed first, the slowest last.
        memories: In any order; each is known by its name.
    """

    levels: tuple[Level, ...]
    memories: tuple[Memory, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be a machine.

        Raises:
            UsageError: A scale is outside (0, 1], a power or capacity is negative or not a
                number, levels are not from fast to slow, or two memories have one name.
        """
        scales = [each.scale for each in self.levels]
        names = [each.name for each in self.memories]
        if not scales or not names:
            self._refuse("it needs one level and one memory at least")
        if not all(0 < each <= 1 for each in scales) or scales != sorted(scales, reverse=True):
            self._refuse(f"levels have scales {scales}, not from fast to slow within (0, 1]")
        if not all(0 < each.scale <= 1 for each in self.memories):
            self._refuse("a memory's scale is not within (0, 1]")
        if len({*names}) != len(names):
            self._refuse(f"two memories have one name among {names}")
        amounts = [each.active_w for each in self.levels] + [each.idle_w for each in self.levels]
        for each in self.memories:
            amounts += [each.active_w_per_mb, each.idle_w_per_mb, each.capacity_mb]
        if not all(0 <= each < float("inf") for each in amounts):
            self._refuse("a power or a capacity is negative or not a number")

    @staticmethod
    def _refuse(what: str) -> None:
        raise UsageError("edf.machine.malformed", f"This cannot be a machine: {what}.")

    def memory(self, name: str) -> Memory:
        """Return the memory of this name.

        Raises:
            UsageError: There is none.
        """
        for each in self.memories:
            if each.name == name:
                return each
        names = ", ".join(each.name for each in self.memories)
        sentence = f"The machine has no memory '{name}', only {names}; name one of these."
        raise UsageError("edf.machine.memory", sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A periodic task before it is decided where it runs.

    Attributes:
        wcet_ms: Worst-case execution time at full speed.
        period_us: Between two releases.
        deadline_us: From a release to the latest finish, at most the period.
        memory_mb: What it keeps in memory all the time.
        active_ratio: Share of that memory in use while it runs, 0 to 1.
    """

    wcet_ms: float
    period_us: int
    deadline_us: int
    memory_mb: float
    active_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where and how fast a task runs.

    Attributes:
        level: Position among the machine's levels, 0 is full speed.
        memory: Name of the memory that holds it.
    """

    level: int
    memory: str


def placed_us(work: Work, machine: Machine, placement: Placement) -> int:
    """Return what a job takes there, rounded up: the levels' and the memory's slowness multiply."""
    level = machine.levels[placement.level]
    return execution_us(work.wcet_ms, level.scale, machine.memory(placement.memory).scale)


def memory_used_mb(works: Sequence[Work], placements: Sequence[Placement], name: str) -> float:
    """Return what the tasks placed in a memory keep there."""
    pairs = zip(works, placements, strict=True)
    return sum(work.memory_mb for work, placement in pairs if placement.memory == name)
