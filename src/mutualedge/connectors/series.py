"""One device's readings in the order of time, and where some are missing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mutualedge.model import DeviceId

DEVICE_CHARACTERS_MAX = 32
"""What the name of a device may have (``model.DeviceName``)."""

_OUTSIDE_A_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Readings are missing here: more than one and a half usual intervals passed.

    Attributes:
        index: Of the reading after the gap.
        length_ns: From the reading before to the one after.
    """

    index: int
    length_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Readings of one device, each later than the one before.

    Attributes:
        device: Whose they are.
        instants: When each was taken, as its source wrote it.
        instants_ns: The same, nanoseconds since 1970 UTC.
        values: What was read, finite, in the source's unit.
        interval_ns: Median time between two readings; 0 for a single one.
        gaps: Where readings are missing; normal in real logs, so counted and not refused.
        skipped_value_count: Readings left out because they hold no number.
        skipped_time_count: Readings left out because they are not later than the one before.
    """

    device: DeviceId
    instants: tuple[str, ...]
    instants_ns: tuple[int, ...]
    values: tuple[float, ...]
    interval_ns: int
    gaps: tuple[Gap, ...]
    skipped_value_count: int = 0
    skipped_time_count: int = 0

    def __post_init__(self) -> None:
        """Hold whoever makes a series to its length and order."""
        assert len(self.instants) == len(self.instants_ns) == len(self.values) > 0
        assert all(earlier < later for earlier, later in pairwise(self.instants_ns))


def usual_interval_ns(instants_ns: Sequence[int]) -> int:
    """Return the median time between two readings, the lower one of two; 0 for a single one."""
    intervals = sorted(later - earlier for earlier, later in pairwise(instants_ns))
    return intervals[(len(intervals) - 1) // 2] if intervals else 0


def gaps_of(instants_ns: Sequence[int], interval_ns: int) -> tuple[Gap, ...]:
    """Return where more than one and a half intervals passed between two readings."""
    return tuple(
        Gap(index=index, length_ns=later - earlier)
        for index, (earlier, later) in enumerate(pairwise(instants_ns), start=1)
        if 2 * (later - earlier) > 3 * interval_ns
    )


def device_named_after(source: str) -> DeviceId:
    """Return the name of the device whose readings a file holds: the file's, in our spelling."""
    file = re.split(r"[/\\]", source)[-1]
    stem = file.rpartition(".")[0] or file
    name = _OUTSIDE_A_NAME.sub("-", stem.lower()).strip("-")
    if not name[:1].isalpha():
        name = f"device-{name}"
    return DeviceId(name[:DEVICE_CHARACTERS_MAX].rstrip("-"))
