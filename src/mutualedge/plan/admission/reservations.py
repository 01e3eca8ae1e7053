"""Standing promises: may these streams of jobs share one processor for ever?"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from heapq import heapify, heapreplace
from math import lcm

import msgspec

from mutualedge.errors import UsageError
from mutualedge.model import JSON_INTEGER_MAX
from mutualedge.plan.admission.demand import (
    NO_BLOCKING,
    RATE_ONE,
    RATE_SHIFT,
    Admitted,
    Blocking,
    NotAdmitted,
    Streams,
    first_overload,
    stack_blocking,
)

RESERVATIONS_MAX = 1_024
"""Reservations of one processor; a job's check looks at each. Beside 1,000 of them the 99th
percentile is 1 to 3 ms (``benchmarks/results/admission.jsonl``), beside 100 below 0.1 ms."""

REFINEMENTS_MAX = 65_536
"""Steps of the test of a promise: at 1 to 2 µs each some 0.1 s; promises are made seconds ahead."""

HYPERPERIOD_SEEN_NS = (REFINEMENTS_MAX + 1) * JSON_INTEGER_MAX
"""Further than any test looks: each of its steps goes a period ahead at most."""

SLACK_POINTS_MAX = 1_024
"""Entries of a profile's slack table: about 2 ms to build, once per change of the promises."""


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """At most one job per period, each finished within ``deadline_ns`` of its release.

    Attributes:
        key: Lease or stream it belongs to; unique on its processor.
        budget_ns: Processor time of one job, dispatch, cryptography and commit included.
        period_ns: Shortest time between two releases.
        deadline_ns: Relative deadline; shorter than, equal to or longer than the period.
    """

    key: str
    budget_ns: int
    period_ns: int
    deadline_ns: int

    def __post_init__(self) -> None:
        """Refuse what no processor could serve or no record could carry.

        Raises:
            UsageError: A duration is outside 1..2**53-1 or the deadline is under the budget.
        """
        shortest = min(self.budget_ns, self.period_ns, self.deadline_ns - self.budget_ns + 1)
        longest = max(self.budget_ns, self.period_ns, self.deadline_ns)
        if shortest < 1 or longest > JSON_INTEGER_MAX:
            sentence = (
                f"Reservation '{self.key}' asks for {self.budget_ns} ns every {self.period_ns} ns "
                f"within {self.deadline_ns} ns; each must be at least 1 ns and below 2^53, and "
                "the deadline no shorter than the budget."
            )
            raise UsageError("admission.reservation.malformed", sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationProfile:
    """What the tests need to know about a set of reservations, computed once per change.

    Slack of a window length is the length minus the longest demand that the reservations can
    place in such a window (release and deadline both inside).

    Attributes:
        reservations: In the order in which they were given.
        streams: The same, as columns.
        deadlines_ns: The same, relative deadlines only.
        rate_scaled: Total utilisation, rounded up, in units of 2**-RATE_SHIFT.
        constant_scaled: Demand of a window of length t is at most
            ``(constant_scaled + rate_scaled * t) / 2**RATE_SHIFT``.
        blocking: By reservations whose deadline lies behind the window.
        points_ns: Window lengths at which demand steps, ascending, complete up to the last.
        slack_ns: At each point.
        lowest_slack_ns: Among each point and those before it.
        later_slack_ns: Among each point and those after it, beyond the table included.
        beyond_slack_ns: Lower bound on the slack past the table.
        preemptive: Whether a job with an earlier deadline interrupts the running one; then
            nothing blocks.
    """

    reservations: tuple[Reservation, ...]
    streams: Streams
    deadlines_ns: tuple[int, ...]
    rate_scaled: int
    constant_scaled: int
    blocking: Blocking
    points_ns: tuple[int, ...]
    slack_ns: tuple[int, ...]
    lowest_slack_ns: tuple[int, ...]
    later_slack_ns: tuple[int, ...]
    beyond_slack_ns: int
    preemptive: bool

    def least_slack_ns(self) -> int | None:
        """Return a lower bound on the slack of all windows, None without reservations."""
        if not self.points_ns:
            return None
        return min(self.lowest_slack_ns[-1], self.beyond_slack_ns)

    def shorter_slack_ns(self, length_ns: int) -> int | None:
        """Return a lower bound on the slack of all windows shorter than this, None without any.

        Exact within the table, and past it when the lowest slack of all is inside.
        """
        index = bisect_left(self.points_ns, length_ns)
        if index == 0:
            return None
        lowest_ns = self.lowest_slack_ns[index - 1]
        return lowest_ns if index < len(self.points_ns) else min(lowest_ns, self.beyond_slack_ns)

    def later_slack_from_ns(self, slack_ns: int) -> int | None:
        """Return a window length from which on all windows leave so much, None if unknown."""
        index = bisect_left(self.later_slack_ns, slack_ns)
        return self.points_ns[index] if index < len(self.points_ns) else None

    def later_slack_floor_ns(self, length_ns: int) -> int:
        """Return a lower bound on the slack of all windows at least this long."""
        if not self.points_ns:
            return length_ns
        index = bisect_right(self.points_ns, length_ns)
        if index == len(self.points_ns):
            line_ns = linear_slack_ns(self.rate_scaled, self.constant_scaled, length_ns)
            return max(self.beyond_slack_ns, line_ns)
        rising_ns = length_ns
        if index:
            rising_ns += self.slack_ns[index - 1] - self.points_ns[index - 1]
        return min(rising_ns, self.later_slack_ns[index])


def linear_slack_ns(rate_scaled: int, constant_scaled: int, length_ns: int) -> int:
    """Return the window length minus the demand's upper line, rounded down; may be negative.

    Never decreases with the length: when rounding lifted a full processor's rate above one, the
    line says nothing, and neither does this.
    """
    if rate_scaled > RATE_ONE:
        return -1
    return ((RATE_ONE - rate_scaled) * length_ns - constant_scaled) >> RATE_SHIFT


def check_reservation(
    existing: Sequence[Reservation],
    new: Reservation,
    *,
    best_effort_blocking_ns: int = 0,
    preemptive: bool = False,
) -> Admitted | NotAdmitted:
    """Say whether all the reservations keep every deadline under EDF.

    Exact for sporadic jobs that take up to their budget (necessary and sufficient), except for
    the code ``admission.reservation.undecided``, which a set at nearly full utilisation with
    incommensurable periods can meet: utilisation <= 1, and for each window length t that is
    somebody's deadline, demand(t) + max(budget_j - 1 for deadline_j > t) <= t. Where jobs are
    interrupted nothing blocks, and the same holds without the second term.

    Args:
        existing: Reservations promised already, taken as a set.
        new: The one asked for; its key is not among the existing.
        best_effort_blocking_ns: Budget minus 1 of the longest job without a reservation that
            must stay admissible beside the promises; 0 keeps room for none.
        preemptive: Whether jobs with earlier deadlines interrupt the running one.

    Source: Baruah, Rosier and Howell 1990 with interruption; without, Jeffay, Stanat and Martel
        1991 (deadline = period) and George, Rivierre and Spuri 1996.
    """
    return check_reservations(
        (*existing, new), best_effort_blocking_ns=best_effort_blocking_ns, preemptive=preemptive
    )


def check_reservations(
    reservations: Sequence[Reservation],
    *,
    best_effort_blocking_ns: int,
    preemptive: bool = False,
) -> Admitted | NotAdmitted:
    """Say whether this whole set is feasible; as `check_reservation`, which explains the test."""
    if len(reservations) > RESERVATIONS_MAX:
        sentence = f"A processor holds at most {RESERVATIONS_MAX} reservations; use another one."
        return NotAdmitted(
            code="admission.reservation.count", sentence=sentence, at_ns=0, demand_ns=0
        )
    streams = _streams(reservations)
    if _is_over_utilised(reservations, streams):
        return _over_utilised(streams)
    overload = first_overload(
        streams,
        [each.deadline_ns for each in reservations],
        (),
        blocking=_blocking(reservations, best_effort_blocking_ns, preemptive=preemptive),
        refinements_max=REFINEMENTS_MAX,
    )
    if overload is None:
        return Admitted()
    if overload.proven:
        sentence = (
            f"Within {overload.at_ns} ns the reservations can need {overload.demand_ns} ns, a "
            "longer job that has just started included; allow a later deadline or a smaller "
            "budget, or use another processor."
        )
        code = "admission.reservation.demand"
    else:
        sentence = (
            f"The test gave up at a window of {overload.at_ns} ns after {REFINEMENTS_MAX} steps; "
            "lower the utilisation or use periods that divide one another."
        )
        code = "admission.reservation.undecided"
    return NotAdmitted(
        code=code, sentence=sentence, at_ns=overload.at_ns, demand_ns=overload.demand_ns
    )


def _is_over_utilised(reservations: Sequence[Reservation], streams: Streams) -> bool:
    """Tell exactly: with fractions only where rounding up the rates leaves a doubt."""
    excess_scaled = sum(streams.rates_scaled) - RATE_ONE
    if not 0 < excess_scaled <= len(reservations):
        return excess_scaled > 0
    return sum(Fraction(each.budget_ns, each.period_ns) for each in reservations) > 1


def _over_utilised(streams: Streams) -> NotAdmitted:
    """Return the refusal with the long-run demand of the longest period, rounded up."""
    at_ns = max(streams.periods_ns)
    rate = sum(streams.rates_scaled)
    sentence = (
        f"The reservations would use {rate / RATE_ONE:.4f} of the processor; lower a budget, "
        "lengthen a period or use another processor."
    )
    return NotAdmitted(
        code="admission.reservation.utilisation",
        sentence=sentence,
        at_ns=at_ns,
        demand_ns=-(-rate * at_ns // RATE_ONE),
    )


def _streams(reservations: Sequence[Reservation]) -> Streams:
    budgets_ns = [each.budget_ns for each in reservations]
    periods_ns = [each.period_ns for each in reservations]
    rates_scaled = [
        -(-budget_ns * RATE_ONE // period_ns)
        for budget_ns, period_ns in zip(budgets_ns, periods_ns, strict=True)
    ]
    return Streams(
        budgets_ns=tuple(budgets_ns),
        periods_ns=tuple(periods_ns),
        rates_scaled=tuple(rates_scaled),
        hyperperiod_ns=_hyperperiod_ns(periods_ns),
    )


def _hyperperiod_ns(periods_ns: Sequence[int]) -> int:
    repeat_ns = min(1, len(periods_ns))
    for period_ns in periods_ns:
        repeat_ns = lcm(repeat_ns, period_ns)
        if repeat_ns > HYPERPERIOD_SEEN_NS:
            break
    return repeat_ns


def _blocking(
    reservations: Sequence[Reservation], best_effort_blocking_ns: int, *, preemptive: bool
) -> Blocking:
    """Return each reservation's blocking up to its deadline, and best effort's for ever."""
    if preemptive:
        return NO_BLOCKING
    entries = [(each.deadline_ns, each.budget_ns - 1) for each in reservations]
    if best_effort_blocking_ns:
        entries.append((2 * JSON_INTEGER_MAX, best_effort_blocking_ns))
    return stack_blocking(entries)


def profile_reservations(
    reservations: Sequence[Reservation], *, preemptive: bool = False
) -> ReservationProfile:
    """Return the profile of a set that `check_reservation` admitted for this execution.

    Raises:
        UsageError: The set is not feasible, or the test left that open.
    """
    verdict = check_reservations(reservations, best_effort_blocking_ns=0, preemptive=preemptive)
    if isinstance(verdict, NotAdmitted):
        raise UsageError(verdict.code, verdict.sentence)
    return profile_feasible(reservations, preemptive=preemptive)


def profile_feasible(
    reservations: Sequence[Reservation], *, preemptive: bool = False
) -> ReservationProfile:
    """Return the profile of a set known to be feasible, as each subset of an admitted one is."""
    streams = _streams(reservations)
    rate = sum(streams.rates_scaled)
    constant = sum(
        each_rate * max(0, each.period_ns - each.deadline_ns)
        for each, each_rate in zip(reservations, streams.rates_scaled, strict=True)
    )
    points, slack, complete = _slack_table(reservations, streams, rate, constant)
    beyond_ns = min(slack) if complete and slack else 0
    if points:
        beyond_ns = max(beyond_ns, linear_slack_ns(rate, constant, points[-1]))
    return ReservationProfile(
        reservations=tuple(reservations),
        streams=streams,
        deadlines_ns=tuple(each.deadline_ns for each in reservations),
        rate_scaled=rate,
        constant_scaled=constant,
        blocking=_blocking(reservations, 0, preemptive=preemptive),
        points_ns=points,
        slack_ns=slack,
        lowest_slack_ns=_running_minimum(slack),
        later_slack_ns=_running_minimum((beyond_ns, *reversed(slack)))[:0:-1],
        beyond_slack_ns=beyond_ns,
        preemptive=preemptive,
    )


def _slack_table(
    reservations: Sequence[Reservation], streams: Streams, rate: int, constant: int
) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
    """Return step points, slack at each, and whether slack past them is never lower than inside.

    That is so once the demand's upper line leaves as much, or after a hyperperiod.
    """
    upcoming = [(each.deadline_ns, index) for index, each in enumerate(reservations)]
    heapify(upcoming)
    horizon_ns = max((at_ns for at_ns, _ in upcoming), default=0) + streams.hyperperiod_ns
    points: list[int] = []
    slack: list[int] = []
    demand_ns = 0
    while upcoming and upcoming[0][0] <= horizon_ns and len(points) < SLACK_POINTS_MAX:
        at_ns = upcoming[0][0]
        while upcoming[0][0] == at_ns:
            index = upcoming[0][1]
            demand_ns += streams.budgets_ns[index]
            heapreplace(upcoming, (at_ns + streams.periods_ns[index], index))
        points.append(at_ns)
        slack.append(at_ns - demand_ns)
    if not upcoming or upcoming[0][0] > horizon_ns:
        return tuple(points), tuple(slack), True
    return tuple(points), tuple(slack), linear_slack_ns(rate, constant, points[-1]) >= min(slack)


def _running_minimum(values: Sequence[int]) -> tuple[int, ...]:
    """Return the minimum of each value and those before it."""
    minima: list[int] = []
    for value in values:
        minima.append(min(value, minima[-1]) if minima else value)
    return tuple(minima)
