"""The rows of the published planner's config, field by field in their order.

Units are nowhere written there; those in these names are what its code computes with.
"""

from typing import Annotated

import msgspec

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Capacity = Annotated[float, msgspec.Meta(gt=0)]


class Genetic(msgspec.Struct, frozen=True, array_like=True):
    """``*genetic``: how the published genetic algorithm runs."""

    generations: int
    population: int
    cutoff: float
    penalty: float


class Drawing(msgspec.Struct, frozen=True, array_like=True):
    """``*gentask``: what tasks are drawn from; both ends of each range are possible."""

    wcet_min_ms: int
    wcet_max_ms: int
    memory_kb: int
    utilisation: float
    utilisation_max: float
    tasks: int
    code_min_kb: int = 0
    code_max_kb: int = 0
    input_min_kb: int = 0
    input_max_kb: int = 0
    output_min_kb: int = 0
    output_max_kb: int = 0

    def __post_init__(self) -> None:
        """Refuse a target that lies below the load."""
        if self.utilisation > self.utilisation_max:
            message = "the fourth field must not exceed the fifth"
            raise ValueError(message)


class Ranges(msgspec.Struct, frozen=True, array_like=True):
    """``*gennetwork`` (Mbit/s up and down) or ``*gennetcommander`` (ms out and in)."""

    first_min: int
    first_max: int
    second_min: int
    second_max: int
    rows: int


class Frequency(msgspec.Struct, frozen=True, array_like=True):
    """``*cpufreq``: a level, its speed as a share of the full one."""

    scale: Share
    active_w: NotNegative
    idle_w: NotNegative


class MemoryKind(msgspec.Struct, frozen=True, array_like=True):
    """``*mem``: a kind of memory; its powers count per KB, whatever they were meant for."""

    name: str
    capacity_kb: Capacity
    scale: Share
    active_w_per_kb: float
    idle_w_per_kb: float


class Server(msgspec.Struct, frozen=True, array_like=True):
    """``*cloud``: a server to offload to; of it only the speed is ever used."""

    name: str
    speed: float
    active_w: NotNegative
    idle_w: NotNegative
    capacity_kb: Capacity
    limit: Annotated[float, msgspec.Meta(le=1)]


class Link(msgspec.Struct, frozen=True, array_like=True):
    """``*network``: the link of the task in the same row."""

    uplink_mbit: float
    downlink_mbit: float


class Interception(msgspec.Struct, frozen=True, array_like=True):
    """``*netcommander``: time at the network commander of the task in the same row."""

    out_ms: float
    in_ms: float


class ReferenceTask(msgspec.Struct, frozen=True, array_like=True):
    """``*task``: a periodic task, its deadline its period; the last four fields may be absent."""

    wcet_ms: int
    period_ms: int
    memory_kb: int
    active_ratio: float
    code_kb: int = 0
    input_kb: int = 0
    output_kb: int = 0
    offload_flag: int = 0


class Ratio(msgspec.Struct, frozen=True, array_like=True):
    """``*offloadingratio``: a share that may be offloaded; published plans know 0 and 1."""

    share: Share
