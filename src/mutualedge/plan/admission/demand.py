"""Processor demand: does some interval hold more work than time?"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import accumulate

import msgspec

RATE_SHIFT = 32
"""Binary digits behind the point of a utilisation; rounding up costs 1 ns in 4 s of window."""

RATE_ONE = 1 << RATE_SHIFT
"""A utilisation of exactly one processor."""


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """Every deadline holds, in the worst case that the promises allow."""


class NotAdmitted(msgspec.Struct, frozen=True, kw_only=True):
    """A deadline could be missed, or the bounds left that open.

    Attributes:
        code: Stable dotted cause, ``admission...``; those ending in ``undecided`` are not proofs.
        sentence: What does not fit, where, and what to do.
        at_ns: Where it does not fit: an absolute instant for jobs, a window length for
            reservations.
        demand_ns: Processor time needed by then, blocking included; counted from the check on.
    """

    code: str
    sentence: str
    at_ns: int
    demand_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """An instant at which demand exceeds time, or at which the refinements ran out.

    Attributes:
        at_ns: Distance from the start of the interval.
        demand_ns: Processor time needed by then, blocking included.
        proven: Whether that much can really arrive; otherwise it is an upper estimate.
    """

    at_ns: int
    demand_ns: int
    proven: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Endless sporadic demand, one column per property, so that the hot path reads flat tuples.

    Attributes:
        budgets_ns: Worst-case processor time of one job of each stream.
        periods_ns: Shortest distance between two jobs of each stream.
        rates_scaled: Utilisation of each stream, rounded up, in units of 2**-RATE_SHIFT.
        hyperperiod_ns: Least common multiple of the periods, 0 without streams; of some of them
            where that is further than any test looks.
    """

    budgets_ns: tuple[int, ...]
    periods_ns: tuple[int, ...]
    rates_scaled: tuple[int, ...]
    hyperperiod_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocking:
    """The longest job that may have just started although its deadline lies behind the window.

    Attributes:
        expiries_ns: Ascending; from the window length ``expiries_ns[k]`` on, entry k is harmless.
        longest_ns: Entry k is the longest blocking among the entries k and later.
    """

    expiries_ns: tuple[int, ...] = ()
    longest_ns: tuple[int, ...] = ()

    def within_ns(self, length_ns: int) -> int:
        """Return the blocking that a window of this length can suffer."""
        index = bisect_right(self.expiries_ns, length_ns)
        return self.longest_ns[index] if index < len(self.longest_ns) else 0


NO_BLOCKING = Blocking()


def stack_blocking(entries: Sequence[tuple[int, int]]) -> Blocking:
    """Return the step function of ``(expiry_ns, blocking_ns)`` entries, in any order."""
    ordered = sorted(entries)
    longest = list(accumulate([blocking_ns for _, blocking_ns in reversed(ordered)], max))
    return Blocking(
        expiries_ns=tuple([expiry_ns for expiry_ns, _ in ordered]),
        longest_ns=tuple(reversed(longest)),
    )


def first_overload(
    streams: Streams,
    first_deadlines_ns: Sequence[int],
    jobs: Sequence[tuple[int, int]],
    *,
    base_ns: int = 0,
    from_ns: int = 0,
    until_ns: int | None = None,
    blocking: Blocking = NO_BLOCKING,
    refinements_max: int,
) -> Overload | None:
    """Return where demand plus blocking exceeds time, or None when it never does.

    Exact unless the refinements run out: a stream is replaced by its upper line once its first
    job is counted, and counted job by job again only where the lines would say no. The streams'
    true utilisation must not exceed one: then, past the last point, no line can cross.

    Args:
        streams: Endless demand.
        first_deadlines_ns: Per stream, distance from the start to its first possible deadline.
        jobs: ``(deadline_ns, budget_ns)`` of single jobs, deadlines as distance from the start.
        base_ns: Demand that stands before everything else.
        from_ns: No instant before is looked at; positive only where a job is due.
        until_ns: No instant from here on is looked at; None when all count.
        blocking: By deadline distance; never increasing, as its type ensures.
        refinements_max: Lines replaced by exact counts before giving up, > 0.

    Source: Albers and Slomka 2005, all-approximated test; with blocking as in George, Rivierre
        and Spuri 1996. Demand repeats after the hyperperiod, hence the horizon.
    """
    budgets_ns = streams.budgets_ns
    rates = streams.rates_scaled
    stream_count = len(first_deadlines_ns)
    upcoming = [(at_ns, stream_count + index) for index, (at_ns, _) in enumerate(jobs)]
    returning: list[tuple[int, int]] = []
    # Streams bounded by a line, oldest first; each line is zero where its last exact job is due.
    lines: deque[tuple[int, int]] = deque()
    rate = offset = 0
    exact_ns = base_ns
    for index, at_ns in enumerate(first_deadlines_ns):
        if at_ns > from_ns:
            upcoming.append((at_ns, index))
            continue
        later_count, since_ns = divmod(from_ns - at_ns, streams.periods_ns[index])
        exact_ns += (later_count + 1) * budgets_ns[index]
        rate += rates[index]
        offset += rates[index] * (from_ns - since_ns)
        lines.append((from_ns - since_ns, index))
    upcoming.sort(reverse=True)
    if until_ns is None:
        until_ns = (upcoming[0][0] if upcoming else 0) + streams.hyperperiod_ns + 1
    expiries_ns, longest_ns = blocking.expiries_ns, blocking.longest_ns
    expired_count = refinement_count = 0
    while upcoming or returning:
        sooner = returning and (not upcoming or returning[0] < upcoming[-1])
        point = heappop(returning) if sooner else upcoming.pop()
        at_ns, index = point
        if at_ns >= until_ns:
            return None
        if index < stream_count:
            exact_ns += budgets_ns[index]
            line_rate = rates[index]
            rate += line_rate
            offset += line_rate * at_ns
            lines.append(point)
        else:
            exact_ns += jobs[index - stream_count][1]
        while expired_count < len(expiries_ns) and expiries_ns[expired_count] <= at_ns:
            expired_count += 1
        limit_ns = at_ns - longest_ns[expired_count] if expired_count < len(longest_ns) else at_ns
        # Subtracting the rounded-down negative adds what the lines say, rounded up; 0 without any.
        while (needed_ns := exact_ns - ((offset - rate * at_ns) >> RATE_SHIFT)) > limit_ns:
            if exact_ns > limit_ns:
                return Overload(at_ns=at_ns, demand_ns=exact_ns + at_ns - limit_ns, proven=True)
            if refinement_count >= refinements_max:
                return Overload(at_ns=at_ns, demand_ns=needed_ns + at_ns - limit_ns, proven=False)
            refinement_count += 1
            counted_until_ns, index = lines.popleft()
            line_rate = rates[index]
            rate -= line_rate
            offset -= line_rate * counted_until_ns
            period_ns = streams.periods_ns[index]
            uncounted = (at_ns - counted_until_ns) // period_ns
            exact_ns += uncounted * budgets_ns[index]
            heappush(returning, (counted_until_ns + (uncounted + 1) * period_ns, index))
    return None
