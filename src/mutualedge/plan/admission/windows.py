"""The three kinds of window in which one more job could make a deadline be missed."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from mutualedge.plan.admission.demand import (
    NotAdmitted,
    Overload,
    first_overload,
    stack_blocking,
)
from mutualedge.plan.admission.reservations import ReservationProfile
from mutualedge.plan.admission.state import Job, ProcessorSnapshot, deadline_of

JOB_REFINEMENTS_MAX = 256
"""Steps of the exact test of one job: about 0.3 ms at worst, a few per mille of a short job."""

LONG_JOBS_MAX = 1
"""Pending jobs that are safe only by history: each costs a demand test at every admission."""

START_ROUNDS_MAX = 4
"""Rounds in search of a latest start; each adds a reservation's job, and few come before it."""


def check_blocking(
    state: ProcessorSnapshot, pending: Sequence[Job], due_from_ns: int, now_ns: int
) -> NotAdmitted | None:
    """Refuse a job that could start just before a reservation's job that cannot wait for it.

    Most jobs are short enough at any time. One that is not may still be safe because the
    reservations released lately and it starts soon. A new job can delay the start of those due
    no earlier, so they are looked at again.

    Args:
        state: The processor before the change.
        pending: The jobs that will wait.
        due_from_ns: Jobs due earlier cannot be affected by the change; absolute.
        now_ns: Absolute.
    """
    profile = state.profile
    always_ns = profile.least_slack_ns()
    if always_ns is None or profile.preemptive:
        return None
    long_count = 0
    for job in pending:
        blocking_ns = job.budget_ns - 1
        if blocking_ns <= always_ns or job.reservation_key is not None:
            continue
        # The window [s, t] has s > ready and t < deadline.
        ready_ns = max(now_ns, job.release_ns)
        slack_ns = profile.shorter_slack_ns(job.deadline_ns - ready_ns - 1)
        if slack_ns is None or blocking_ns <= slack_ns:
            continue
        long_count += 1
        affected = job.deadline_ns >= due_from_ns
        if long_count > LONG_JOBS_MAX or (affected and _may_block(state, pending, job, now_ns)):
            return _blocking_refusal(job, slack_ns)
    return None


def _blocking_refusal(job: Job, slack_ns: int) -> NotAdmitted:
    sentence = (
        f"Job '{job.key}' cannot be interrupted and may hold the processor for {job.budget_ns} ns "
        f"when a reservation's job arrives; {slack_ns + 1} ns fit at any time. Split it, submit "
        "it right after that reservation's next job, or run it on another processor."
    )
    return NotAdmitted(
        code="admission.job.blocking",
        sentence=sentence,
        at_ns=job.deadline_ns,
        demand_ns=job.budget_ns,
    )


def _may_block(state: ProcessorSnapshot, pending: Sequence[Job], job: Job, now_ns: int) -> bool:
    """Tell whether history and start time leave open that this job blocks a reservation's."""
    if job.release_ns > now_ns:
        return True
    earliest_ns = now_ns + _remaining_ns(state, now_ns)
    earliest_ns += sum(
        [
            each.budget_ns
            for each in pending
            if each.deadline_ns <= job.deadline_ns and each is not job
        ]
    )
    releases = _first_releases_ns(state, now_ns)
    if _may_block_from(state, releases, job, earliest_ns, now_ns):
        return True
    latest_ns = _latest_start_ns(state, job, earliest_ns, now_ns)
    if latest_ns == earliest_ns:
        return False
    return latest_ns is None or _may_block_from(state, releases, job, latest_ns, now_ns)


def _may_block_from(
    state: ProcessorSnapshot, releases: Sequence[int], job: Job, latest_ns: int, now_ns: int
) -> bool:
    """Tell whether a job that starts by ``latest_ns`` can make a reservation's job late.

    Of all windows of one length, the one that begins right after the latest start is the worst:
    blocking is whole, and most reservations may release again.
    """
    begin_ns = latest_ns + 1
    first_deadlines = [
        deadline_ns if release_ns <= begin_ns else release_ns - begin_ns + deadline_ns
        for release_ns, deadline_ns in zip(releases, state.profile.deadlines_ns, strict=True)
    ]
    blocking_ns = job.budget_ns - 1
    expiry_ns = job.deadline_ns - now_ns - 1
    streams = state.profile.streams
    # Most refusals show in a single reservation; testing all together costs several times more.
    for deadline_ns, budget_ns in zip(first_deadlines, streams.budgets_ns, strict=True):
        if blocking_ns + budget_ns > deadline_ns < expiry_ns:
            return True
    overload = first_overload(
        streams,
        first_deadlines,
        (),
        # Past the expiry nothing blocks, and the reservations hold by themselves.
        until_ns=expiry_ns,
        blocking=stack_blocking([(expiry_ns, blocking_ns)]),
        refinements_max=JOB_REFINEMENTS_MAX,
    )
    return overload is not None


def _first_releases_ns(state: ProcessorSnapshot, now_ns: int) -> list[int]:
    """Return, per reservation, its earliest release from now on, arrived or not; absolute."""
    releases = list(state.next_releases_ns)
    waiting: dict[str, int] = {}
    for job in state.pending:
        if job.reservation_key is not None and job.release_ns > now_ns:
            key = job.reservation_key
            waiting[key] = min(job.release_ns, waiting.get(key, job.release_ns))
    if waiting:
        for index, each in enumerate(state.profile.reservations):
            releases[index] = waiting.get(each.key, releases[index])
    return releases


def _latest_start_ns(
    state: ProcessorSnapshot, job: Job, earliest_ns: int, now_ns: int
) -> int | None:
    """Return an upper bound on when a released job starts, None if it takes too many rounds.

    Until it starts, only the running job and jobs due no later run: those of ``earliest_ns``, and
    what reservations release meanwhile.
    """
    latest_ns = earliest_ns
    for _ in range(START_ROUNDS_MAX):
        needed_ns = earliest_ns + _demand_before_ns(state, latest_ns, job.deadline_ns, now_ns)
        if needed_ns == latest_ns:
            return latest_ns
        latest_ns = needed_ns
    return None


def _demand_before_ns(state: ProcessorSnapshot, until_ns: int, due_ns: int, now_ns: int) -> int:
    """Return what reservations can release from now until an instant, due by another one."""
    profile = state.profile
    demand_ns = 0
    # Comparisons instead of min() and max(), as in `_first_deadlines_ns`.
    for next_ns, deadline_ns, period_ns, budget_ns in zip(
        state.next_releases_ns,
        profile.deadlines_ns,
        profile.streams.periods_ns,
        profile.streams.budgets_ns,
        strict=True,
    ):
        first_ns = next_ns if next_ns > now_ns else now_ns  # noqa: FURB136
        last_ns = due_ns - deadline_ns
        last_ns = last_ns if last_ns < until_ns else until_ns  # noqa: FURB136
        if first_ns <= last_ns:
            demand_ns += ((last_ns - first_ns) // period_ns + 1) * budget_ns
    return demand_ns


def check_later_releases(
    profile: ReservationProfile, pending: Sequence[Job], ahead: Sequence[Job]
) -> NotAdmitted | None:
    """Refuse when a window that begins by a later release can hold more work than time.

    For windows that begin no later than ``begin_ns`` and end at ``at_ns`` or later, the jobs
    ahead inside it must fit into the least slack that reservations leave, blocking deducted.
    """
    by_deadline = sorted(ahead, key=deadline_of)
    for begin_ns in sorted({each.release_ns for each in by_deadline}):
        demand_ns = 0
        for job in by_deadline:
            if job.release_ns < begin_ns:
                continue
            at_ns = job.deadline_ns
            demand_ns += job.budget_ns
            length_ns = at_ns - begin_ns
            blocking_ns = 0
            if not profile.preemptive:
                blocking_ns = max(
                    profile.blocking.within_ns(length_ns),
                    _blocking_beyond_ns(pending, begin_ns, at_ns),
                )
            slack_ns = profile.later_slack_floor_ns(length_ns)
            if demand_ns + blocking_ns > slack_ns:
                sentence = (
                    f"Between {begin_ns} and {at_ns}, jobs released by then need {demand_ns} ns "
                    f"after a longer one of {blocking_ns} ns, and reservations leave "
                    f"{slack_ns} ns; allow a later deadline."
                )
                return NotAdmitted(
                    code="admission.job.ahead_demand",
                    sentence=sentence,
                    at_ns=at_ns,
                    demand_ns=demand_ns + blocking_ns,
                )
    return None


def _blocking_beyond_ns(pending: Sequence[Job], begin_ns: int, at_ns: int) -> int:
    """Return the longest blocking by a job that can start before and is due after a window."""
    return max(
        (
            each.budget_ns - 1
            for each in pending
            if each.deadline_ns > at_ns
            and each.release_ns < begin_ns
            and each.reservation_key is None
        ),
        default=0,
    )


def check_from_now(
    state: ProcessorSnapshot, pending: Sequence[Job], index: int, now_ns: int
) -> NotAdmitted | None:
    """Refuse when a new job lets work due by some instant exceed the time until then.

    Reservations are first taken at their densest, which is quick; their histories count, and the
    test is exact, only when that says no. Instants before the new job's deadline need no look:
    it adds nothing to them.

    Args:
        state: The processor before the new job.
        pending: The jobs that will wait, by deadline.
        index: Which of them is new.
        now_ns: Absolute.
    """
    # needed_ns[k] is due before the job k; job by job, since this is nearly all of the test.
    needed_ns = list(
        accumulate([each.budget_ns for each in pending], initial=_remaining_ns(state, now_ns))
    )
    first = _first_unsure(state.profile, pending, index, needed_ns, now_ns)
    if first is None:
        return None
    stop, until_ns = _last_unsure(state.profile, pending, first, needed_ns, now_ns)
    due = [(each.deadline_ns - now_ns, each.budget_ns) for each in pending[first:stop]]
    overload = first_overload(
        state.profile.streams,
        _first_deadlines_ns(state, now_ns),
        due,
        base_ns=needed_ns[first],
        from_ns=due[0][0],
        until_ns=until_ns,
        refinements_max=JOB_REFINEMENTS_MAX,
    )
    return None if overload is None else _demand_refusal(overload, now_ns)


def check_all_from_now(
    state: ProcessorSnapshot, pending: Sequence[Job], now_ns: int
) -> NotAdmitted | None:
    """Refuse when work due by any instant from now on can exceed the time until then.

    Exact: every demand counted here can really arrive.
    """
    overload = first_overload(
        state.profile.streams,
        _first_deadlines_ns(state, now_ns),
        [(each.deadline_ns - now_ns, each.budget_ns) for each in pending],
        base_ns=_remaining_ns(state, now_ns),
        refinements_max=JOB_REFINEMENTS_MAX,
    )
    return None if overload is None else _demand_refusal(overload, now_ns)


def _remaining_ns(state: ProcessorSnapshot, now_ns: int) -> int:
    """Return what the running job may still take."""
    running = state.running
    return 0 if running is None else running.started_ns + running.job.budget_ns - now_ns


def _first_deadlines_ns(state: ProcessorSnapshot, now_ns: int) -> list[int]:
    """Return, per reservation, the time until its next job to arrive can be due.

    A job that arrives at the very instant of a start did not take part in that choice: its
    release counts from the next nanosecond (`Processor.release` does the same).
    """
    running = state.running
    earliest_ns = now_ns + (running is not None and running.started_ns == now_ns)
    return [
        # Not max(): a call for each of 100 reservations would cost 5 of the 100 µs.
        (release_ns if release_ns > earliest_ns else earliest_ns) - now_ns + deadline_ns  # noqa: FURB136
        for release_ns, deadline_ns in zip(
            state.next_releases_ns, state.profile.deadlines_ns, strict=True
        )
    ]


def _demand_refusal(overload: Overload, now_ns: int) -> NotAdmitted:
    at_ns = now_ns + overload.at_ns
    if overload.proven:
        code = "admission.job.demand"
        sentence = (
            f"Work due by {at_ns} would need {overload.demand_ns} ns, and only "
            f"{overload.at_ns} ns are left until then; allow a later deadline or offload."
        )
    else:
        code = "admission.job.undecided"
        sentence = (
            f"The test gave up at {at_ns} after {JOB_REFINEMENTS_MAX} steps; allow a later "
            "deadline or offload."
        )
    return NotAdmitted(code=code, sentence=sentence, at_ns=at_ns, demand_ns=overload.demand_ns)


def _first_unsure(
    profile: ReservationProfile,
    pending: Sequence[Job],
    index: int,
    needed_ns: Sequence[int],
    now_ns: int,
) -> int | None:
    """Return the first job that may not fit if every reservation could release right now.

    Until then, the work due up to a job's deadline is within the least slack that reservations
    leave in any window at least as long.
    """
    floor_ns = 0
    for first in range(index, len(pending)):
        # The floor rises with the deadline, so it is looked up only when the last one is used up.
        if needed_ns[first + 1] > floor_ns:
            floor_ns = profile.later_slack_floor_ns(pending[first].deadline_ns - now_ns)
            if needed_ns[first + 1] > floor_ns:
                return first
    return None


def _last_unsure(
    profile: ReservationProfile,
    pending: Sequence[Job],
    first: int,
    needed_ns: Sequence[int],
    now_ns: int,
) -> tuple[int, int | None]:
    """Return from which job and distance on everything fits again, None if no distance is known.

    Where reservations leave as much as all jobs need, nothing can be late. Before that, fewer
    jobs are due, which need less, and so on.
    """
    stop, until_ns = len(pending), None
    while (enough_ns := profile.later_slack_from_ns(needed_ns[stop])) is not None:
        until_ns = enough_ns
        count = bisect_left(pending, now_ns + enough_ns, first, stop, key=deadline_of)
        if count == stop:
            break
        stop = count
    return stop, until_ns
