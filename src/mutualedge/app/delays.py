"""How long answers took lately, in a ring that neither grows nor allocates."""

import time
from array import array

import msgspec

RING_ANSWERS = 1024
"""Answers remembered: enough for a 99th percentile that ten of them decide."""

NS_PER_US = 1_000


class Delays(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the last ``count`` answers, refusals included: how long the node took, without the bus."""

    count: int
    p50_us: int
    p99_us: int


class DelayRing:
    """The last so many delays of one kind."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._ring = array("q", bytes(8 * RING_ANSWERS))
        self.total_count = 0

    def add_since(self, began_ns: int) -> None:
        """Take an answer that is ready now, to a question of that ``perf_counter_ns``."""
        self._ring[self.total_count % RING_ANSWERS] = time.perf_counter_ns() - began_ns
        self.total_count += 1

    def summary(self) -> Delays | None:
        """Return median and 99th percentile of what is remembered, None before the first."""
        count = min(self.total_count, RING_ANSWERS)
        if not count:
            return None
        ordered = sorted(self._ring[:count])
        return Delays(
            count=count,
            p50_us=ordered[count // 2] // NS_PER_US,
            p99_us=ordered[99 * count // 100] // NS_PER_US,
        )
