"""Where tasks run: nodes with their levels and memories, links between them, rented servers."""

from typing import Annotated

import msgspec

from mutualedge.model import AssuranceLevel
from mutualedge.plan.scenario.ranges import Label, NotNegative, Positive, Scale


class Level(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One operating point of a processor: voltage and frequency scaled together.

    Attributes:
        scale: Speed as a share of the full one.
        active_w: Power while a job runs.
    """

    scale: Scale
    active_w: NotNegative


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of memory of a node.

    Attributes:
        scale: Speed of a job that lives in it, as a share of the speed in the fastest memory.
        active_w_per_mb: Power of a megabyte that is accessed.
        idle_w_per_mb: Power of a megabyte that is kept, used or not.
    """

    name: Label
    capacity_mb: Positive
    scale: Scale = 1.0
    active_w_per_mb: NotNegative = 0.0025
    idle_w_per_mb: NotNegative = 0.0005

    def __post_init__(self) -> None:
        """Refuse a memory that saves power by being accessed."""
        if self.active_w_per_mb < self.idle_w_per_mb:
            message = f"memory {self.name}: active_w_per_mb must not be below idle_w_per_mb"
            raise ValueError(message)


class Link(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an enterprise reaches the others.

    Attributes:
        uplink_mbit: Mbit/s to the others.
        downlink_mbit: Mbit/s from the others.
        latency_ms: One way, on top of what the bytes take.
        active_w: Power while bytes are sent or received.
    """

    uplink_mbit: Positive = 30.0
    downlink_mbit: Positive = 120.0
    latency_ms: NotNegative = 0.0
    active_w: NotNegative = 1.2


def _levels() -> tuple[Level, ...]:
    return dvfs_levels()


def _memories() -> tuple[Memory, ...]:
    return (Memory(name="dram", capacity_mb=45_000.0),)


SWITCHED_FARAD = 1.8e-9
OPERATING_POINTS = ((1.1, 2.2e9), (0.95, 1.6e9), (0.8, 1.2e9), (0.65, 0.7e9), (0.5, 0.4e9))
"""Volt and hertz of the published edge server, fastest first."""


def dvfs_levels(
    points: tuple[tuple[float, float], ...] = OPERATING_POINTS,
    switched_farad: float = SWITCHED_FARAD,
) -> tuple[Level, ...]:
    """Return the levels of a processor from its operating points: power is C V^2 f.

    Args:
        points: Volt and hertz of each level, fastest first.
        switched_farad: Capacitance that one cycle charges.
    """
    fastest_hz = points[0][1]
    return tuple(
        Level(scale=hertz / fastest_hz, active_w=switched_farad * volt**2 * hertz)
        for volt, hertz in points
    )


class Node(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One processor with its memories. A machine with several processors is several nodes.

    Attributes:
        speed: Of its full level, relative to the one that execution times speak of.
        levels: Operating points; each task is given one of them.
        idle_w: Power of the processor while no job runs.
        baseline_w: Power of the rest of the machine, always.
        hardware_usd: What it cost.
        lifetime_months: After how many months of 30 days it is replaced.
        assurance: How it protects the work of others from its own administrator.
    """

    name: Label
    speed: Positive = 1.0
    levels: Annotated[tuple[Level, ...], msgspec.Meta(min_length=1, max_length=16)] = msgspec.field(
        default_factory=_levels
    )
    memories: Annotated[tuple[Memory, ...], msgspec.Meta(min_length=1, max_length=8)] = (
        msgspec.field(default_factory=_memories)
    )
    idle_w: NotNegative = 0.0
    baseline_w: NotNegative = 3.5
    hardware_usd: NotNegative = 2_000.0
    lifetime_months: Positive = 36.5
    assurance: AssuranceLevel = AssuranceLevel.SIMULATED


class Cloud(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rented servers, as many as needed, each job at once on a processor of its own.

    Attributes:
        speed: Relative to the one that execution times speak of.
        rent_usd_month: For one server that is busy all month; a job pays for its share.
        latency_ms: One way, on top of that of the enterprise's link.
        assurance: How it protects the work from its administrator.
    """

    name: Label
    speed: Positive = 10.0
    rent_usd_month: NotNegative = 58.25052054794521
    latency_ms: NotNegative = 0.0
    assurance: AssuranceLevel = AssuranceLevel.SIMULATED
