"""The published generator, from a stream of whole numbers: tasks, links, interceptions.

Its numbers come in this order: for each task its execution time, period (two), memory (two),
active ratio (two), sizes of code, input and output; then up and down of each link; then both
times of each interception. It asks for less utilisation than its triangular jitter gives, by
some 5 %.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mutualedge.errors import UsageError
from mutualedge.plan.reference.config import ReferenceConfig
from mutualedge.plan.reference.sections import Drawing, MemoryKind, Ranges, ReferenceTask

RATIO = 0.1
RATIO_PARTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """What was drawn, and the text of the three files that the published generator writes.

    Attributes:
        utilisation: At full speed in the fastest memory, and what slower memory adds.
    """

    tasks: tuple[ReferenceTask, ...]
    links: tuple[tuple[int, int], ...]
    interceptions: tuple[tuple[int, int], ...]
    utilisation: float

    @property
    def task_text(self) -> str:
        """``task_generated.txt``."""
        return _lines(
            f"{task.wcet_ms} {task.period_ms} {task.memory_kb} {task.active_ratio:.6f} "
            f"{task.code_kb} {task.input_kb} {task.output_kb} {task.offload_flag}"
            for task in self.tasks
        )

    @property
    def link_text(self) -> str:
        """``network_generated.txt``."""
        return _lines(f"{first} {second}" for first, second in self.links)

    @property
    def interception_text(self) -> str:
        """``network_commander_generated.txt``."""
        return _lines(f"{first} {second}" for first, second in self.interceptions)


def draw_published(config: ReferenceConfig, stream: Iterator[int]) -> Generated:
    """Return what the published generator makes of these numbers.

    Args:
        config: With ``*gentask``, ``*gennetwork``, ``*gennetcommander`` and ``*mem``.
        stream: Whole numbers from 0, as C's ``rand`` gives them; each is taken modulo its range.

    Raises:
        UsageError: A section is missing, or asks for tasks too small to vary.
    """
    for name in ("gentask", "gennetwork", "gennetcommander", "mem"):
        if not getattr(config, name):
            sentence = f"The config has no *{name} section, which drawing tasks needs."
            raise UsageError("plan.reference.generator", sentence)
    drawing = config.gentask[-1]
    memory_kb = int(drawing.memory_kb * _memory_share(drawing, config.mem) / drawing.tasks)
    tasks = tuple(_task(drawing, memory_kb, stream) for _ in range(drawing.tasks))
    used = sum(task.memory_kb for task in tasks) / drawing.memory_kb
    return Generated(
        tasks=tasks,
        links=_pairs(config.gennetwork[-1], stream),
        interceptions=_pairs(config.gennetcommander[-1], stream),
        utilisation=sum(task.wcet_ms / task.period_ms for task in tasks)
        + _slowed(used, config.mem),
    )


def _task(drawing: Drawing, memory_kb: int, stream: Iterator[int]) -> ReferenceTask:
    wcet_ms = _between(drawing.wcet_min_ms, drawing.wcet_max_ms, stream)
    period_ms = int(wcet_ms / (drawing.utilisation / drawing.tasks))
    period_ms = _jitter(period_ms, period_ms // 2, stream)
    memory_kb = _jitter(memory_kb, memory_kb // 2, stream)
    return ReferenceTask(
        wcet_ms,
        period_ms,
        memory_kb,
        RATIO + next(stream) % 1000 / RATIO_PARTS - next(stream) % 1000 / RATIO_PARTS,
        _between(drawing.code_min_kb, drawing.code_max_kb, stream),
        _between(drawing.input_min_kb, drawing.input_max_kb, stream),
        _between(drawing.output_min_kb, drawing.output_max_kb, stream),
    )


def _memory_share(drawing: Drawing, kinds: list[MemoryKind]) -> float:
    """Return the part of all memory to ask for: as slow kinds leave the utilisation room."""
    share = 1 / len(kinds)
    left = drawing.utilisation_max - drawing.utilisation
    for kind in kinds[1:]:
        overhead = 1 / kind.scale - 1
        if overhead >= left:
            return share + left / overhead / len(kinds)
        share += 1 / len(kinds)
        left -= overhead
    return share


def _slowed(used: float, kinds: list[MemoryKind]) -> float:
    """Return what slower kinds add to the utilisation where this part of all memory is used."""
    each = 1 / len(kinds)
    added, left = 0.0, used - each
    for kind in kinds[1:]:
        added += (1 / kind.scale - 1) * min(max(left, 0.0), each) / each
        left -= each
    return added


def _pairs(ranges: Ranges, stream: Iterator[int]) -> tuple[tuple[int, int], ...]:
    return tuple(
        (
            _between(ranges.first_min, ranges.first_max, stream),
            _between(ranges.second_min, ranges.second_max, stream),
        )
        for _ in range(ranges.rows)
    )


def _between(low: int, high: int, stream: Iterator[int]) -> int:
    return low + next(stream) % (high - low + 1)


def _jitter(middle: int, half: int, stream: Iterator[int]) -> int:
    if half < 1:
        sentence = (
            "Half of a task's middle period or memory is below 1, so that it cannot vary; ask for "
            "less utilisation, more memory or fewer tasks."
        )
        raise UsageError("plan.reference.generator", sentence)
    return middle + next(stream) % half - next(stream) % half


def _lines(rows: Iterator[str]) -> str:
    return "".join(f"{row}\n" for row in rows)
