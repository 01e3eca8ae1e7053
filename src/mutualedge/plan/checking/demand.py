"""Whether EDF meets every deadline of a processor: processor demand, by quick analysis.

Zhang and Burns 2009 (QPA) on the criterion of Baruah, Mok and Rosier 1990, for sporadic jobs.
"""

import math
from collections.abc import Sequence

from mutualedge.plan.checking.burdens import Stream

ONE = 1 << 64
"""A whole processor; shares are rounded up to the 2**-64th part of it."""


def overload(streams: Sequence[Stream]) -> str | None:
    """Return where demand exceeds time, in words, or None if it never does."""
    for stream in streams:
        if stream.execution_us > stream.deadline_us:
            return f"a job of {stream.execution_us} us is due after {stream.deadline_us} us"
    busy = sum(-(-stream.execution_us * ONE // stream.period_us) for stream in streams)
    if busy > ONE:
        return f"utilisation is {busy / ONE:.9f}"
    if all(stream.deadline_us >= stream.period_us for stream in streams):
        return None
    return _overloaded_window(streams, _horizon_us(streams, busy))


def demand_us(streams: Sequence[Stream], length_us: int) -> int:
    """Return the work that is released and due within a window of this length."""
    return sum(
        ((length_us - each.deadline_us) // each.period_us + 1) * each.execution_us
        for each in streams
        if length_us >= each.deadline_us
    )


def _horizon_us(streams: Sequence[Stream], busy: int) -> int:
    """Return a length beyond which no window is overloaded unless a shorter one is."""
    longest_us = max(stream.deadline_us for stream in streams)
    if busy == ONE:
        return math.lcm(*(stream.period_us for stream in streams)) + longest_us
    late = sum(
        max(each.period_us - each.deadline_us, 0) * (-(-each.execution_us * ONE // each.period_us))
        for each in streams
    )
    return max(longest_us, late // (ONE - busy) + 1)


def _overloaded_window(streams: Sequence[Stream], horizon_us: int) -> str | None:
    shortest_us = min(stream.deadline_us for stream in streams)
    length_us = _deadline_below(streams, horizon_us + 1)
    while length_us >= shortest_us:
        asked_us = demand_us(streams, length_us)
        if asked_us > length_us:
            return f"{asked_us} us are due within {length_us} us"
        length_us = asked_us if asked_us < length_us else _deadline_below(streams, length_us)
    return None


def _deadline_below(streams: Sequence[Stream], length_us: int) -> int:
    """Return the last absolute deadline before this instant, all jobs released together at 0."""
    return max(
        (
            (length_us - 1 - each.deadline_us) // each.period_us * each.period_us + each.deadline_us
            for each in streams
            if each.deadline_us < length_us
        ),
        default=0,
    )
