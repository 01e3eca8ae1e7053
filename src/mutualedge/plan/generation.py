"""Scenarios from a seed: for tests, comparisons, and a first try without data of one's own."""

from collections.abc import Iterator
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from mutualedge.errors import UsageError
from mutualedge.plan.scenario import Cloud, Enterprise, Node, Scenario, Task
from mutualedge.plan.scenario.ranges import Positive

MEMORY_MB = 45_000.0
"""Of one published edge server."""

FINEST_MS = 1e-3
"""Times are whole microseconds, as the planner counts."""

PERIOD_DECADES = (1.0, 3.0)
"""UUniFast scenarios have periods from 10 ms to 1 s, evenly over their logarithm."""

PUBLISHED_RANGES = ((500, 750), (100, 500), (100, 250), (1, 5), (5, 7))
"""KB of code, input and output, milliseconds of sending and receiving, ends included."""

INTERCEPTION = {"published": 1.0, "uunifast": 0.01}
"""Short jobs send and receive in the same proportion to what they compute."""

Floats = NDArray[np.float64]


DRAWN_RANGES = {
    "tasks": (1, 1_000_000),
    "enterprises": (1, 1_000),
    "load": (1e-6, 1e3),
    "memory_share": (1e-6, 1e3),
    "deadline_ratio_min": (1e-3, 1.0),
}


class Draw(msgspec.Struct, frozen=True, kw_only=True):
    """What to draw.

    Attributes:
        kind: ``published``: the published generator's distributions, jobs of half a second to a
            second; ``uunifast``: unbiased utilisations (Bini and Buttazzo 2005), periods of 10 ms
            to 1 s.
        tasks: How many each enterprise has.
        load: Utilisation of each enterprise at full speed.
        enterprises: How many there are, with one node each.
        memory_share: Part of a node's memory that its tasks ask for together.
        deadline_ratio_min: Shortest deadline as a share of the period; 1 for deadline = period.
        seed: Decides everything.
    """

    kind: Literal["published", "uunifast"] = "published"
    tasks: int = 100
    load: Positive = 0.5
    enterprises: int = 1
    memory_share: Positive = 0.8
    deadline_ratio_min: Positive = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what nothing can be drawn from.

        Raises:
            UsageError: A number is outside its range; the sentence names it.
        """
        for name, (least, most) in DRAWN_RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                sentence = f"{name} {value:g} cannot be drawn; choose {least:g} to {most:g}."
                raise UsageError("plan.draw.range", sentence)


def generate(draw: Draw) -> Scenario:
    """Return a scenario: the same for the same draw, on every machine."""
    chance = np.random.Generator(np.random.PCG64(draw.seed))
    enterprises = tuple(_enterprise(draw, chance, index + 1) for index in range(draw.enterprises))
    return Scenario(
        name=f"{draw.kind}-{draw.seed}", enterprises=enterprises, clouds=(Cloud(name="cloud"),)
    )


def whole_numbers(seed: int) -> Iterator[int]:
    """Yield whole numbers from 0 below 2^31 for ever: the same for the same seed."""
    chance = np.random.Generator(np.random.PCG64(seed))
    while True:
        yield int(chance.integers(0, 1 << 31))


def _enterprise(draw: Draw, chance: np.random.Generator, number: int) -> Enterprise:
    wcet_ms, period_ms = _times(draw, chance)
    deadline_ms = _deadlines_ms(draw, chance, wcet_ms, period_ms)
    memory_mb = _jitter(chance, np.full(draw.tasks, MEMORY_MB * draw.memory_share / draw.tasks))
    ratios = 0.1 + chance.integers(-1000, 1000, draw.tasks) / 1e4
    code_kb, input_kb, output_kb, send, receive = (
        chance.integers(low, high + 1, draw.tasks) for low, high in PUBLISHED_RANGES
    )
    tasks = tuple(
        Task(
            name=f"t{index + 1}",
            wcet_ms=float(wcet_ms[index]),
            period_ms=float(period_ms[index]),
            deadline_ms=float(deadline_ms[index]),
            memory_mb=float(memory_mb[index]),
            active_ratio=float(ratios[index]),
            code_kb=float(code_kb[index]),
            input_kb=float(input_kb[index]),
            output_kb=float(output_kb[index]),
            send_ms=float(send[index] * INTERCEPTION[draw.kind]),
            receive_ms=float(receive[index] * INTERCEPTION[draw.kind]),
        )
        for index in range(draw.tasks)
    )
    return Enterprise(name=f"e{number}", nodes=(Node(name=f"node{number}"),), tasks=tasks)


def _times(draw: Draw, chance: np.random.Generator) -> tuple[Floats, Floats]:
    """Return execution times and periods in milliseconds."""
    if draw.kind == "published":
        wcet_ms = chance.integers(500, 1001, draw.tasks).astype(np.float64)
        period_ms = _jitter(chance, np.floor(wcet_ms * draw.tasks / draw.load))
        return wcet_ms, np.maximum(period_ms, wcet_ms)
    period_ms = np.round(10 ** chance.uniform(*PERIOD_DECADES, draw.tasks), 3)
    wcet_ms = np.round(_uunifast(draw, chance) * period_ms, 3)
    return np.clip(wcet_ms, FINEST_MS, period_ms), period_ms


def _deadlines_ms(
    draw: Draw, chance: np.random.Generator, wcet_ms: Floats, period_ms: Floats
) -> Floats:
    ratio = chance.uniform(draw.deadline_ratio_min, 1.0, draw.tasks)
    deadline_ms: Floats = np.clip(np.round(period_ms * ratio, 3), wcet_ms, period_ms)
    return deadline_ms


def _uunifast(draw: Draw, chance: np.random.Generator) -> Floats:
    """Return utilisations that add up to the load, evenly among all that do."""
    left = np.full(draw.tasks, draw.load)
    for index in range(1, draw.tasks):
        left[index] = left[index - 1] * chance.random() ** (1 / (draw.tasks - index))
    utilisations: Floats = left - np.append(left[1:], 0.0)
    return utilisations


def _jitter(chance: np.random.Generator, middle: Floats) -> Floats:
    """Return values around the middle, at most half of it away, more often near than far."""
    half = np.maximum(np.floor(middle / 2), 1)
    more, less = (np.floor(chance.random(len(middle)) * half) for _ in range(2))
    values: Floats = middle + (more - less)
    return values
