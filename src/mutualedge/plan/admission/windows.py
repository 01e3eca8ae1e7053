"""The three kinds of window in which one more job could make a deadline be missed."""

from collections.abc import Sequence

from mutualedge.plan.admission.demand import (
    RATE_ONE,
    RATE_SHIFT,
    NotAdmitted,
    first_overload,
    stack_blocking,
)
from mutualedge.plan.admission.reservations import ReservationProfile, linear_slack_ns
from mutualedge.plan.admission.state import Job, ProcessorSnapshot, deadline_of

JOB_REFINEMENTS_MAX = 256
"""Steps of the exact test of one job: about 0.3 ms at worst, a few per mille of a short job."""

LONG_JOBS_MAX = 1
"""Pending jobs that are safe only by history: each costs a demand test at every admission."""

START_ROUNDS_MAX = 8
"""Rounds in search of a latest start; each adds a reservation's job, and few come before it."""


def check_blocking(
    state: ProcessorSnapshot, pending: Sequence[Job], now_ns: int
) -> NotAdmitted | None:
    """Refuse a job that could start just before a reservation's job that cannot wait for it.

    Most jobs are short enough at any time. One that is not may still be safe because the
    reservations released lately and it starts soon; every later admission checks that again.
    """
    profile = state.profile
    always_ns = profile.least_slack_ns()
    if always_ns is None:
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
        if long_count > LONG_JOBS_MAX or _may_block(state, pending, job, now_ns):
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
    """Tell whether history and start time leave open that this job blocks a reservation's.

    Of all windows of one length, the one that begins right after the latest start is the worst:
    blocking is whole, and most reservations may release again. A job whose release lies ahead
    is taken to meet every reservation at its densest.
    """
    profile = state.profile
    latest_ns = _latest_start_ns(state, pending, job, now_ns)
    first_deadlines = list(profile.deadlines_ns)
    if latest_ns is not None:
        releases = _first_releases_ns(state, now_ns)
        for index, release_ns in enumerate(releases):
            first_deadlines[index] += max(0, release_ns - latest_ns - 1)
    expiry_ns = job.deadline_ns - max(now_ns, job.release_ns) - 1
    overload = first_overload(
        profile.streams,
        first_deadlines,
        (),
        blocking=stack_blocking([(expiry_ns, job.budget_ns - 1)]),
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
    state: ProcessorSnapshot, pending: Sequence[Job], job: Job, now_ns: int
) -> int | None:
    """Return an upper bound on when a released job starts; None if unreleased or not found.

    Until it starts, only the running job and jobs due no later run.
    """
    if job.release_ns > now_ns:
        return None
    fixed_ns = now_ns
    if state.running is not None:
        fixed_ns = state.running.started_ns + state.running.job.budget_ns
    fixed_ns += sum(
        each.budget_ns
        for each in pending
        if each.deadline_ns <= job.deadline_ns and each is not job
    )
    latest_ns = fixed_ns
    for _ in range(START_ROUNDS_MAX):
        earlier_ns = sum(
            (last_ns - max(now_ns, next_ns)) // each.period_ns * each.budget_ns + each.budget_ns
            for each, next_ns in zip(
                state.profile.reservations, state.next_releases_ns, strict=True
            )
            if (last_ns := min(latest_ns, job.deadline_ns - each.deadline_ns))
            >= max(now_ns, next_ns)
        )
        if fixed_ns + earlier_ns == latest_ns:
            return latest_ns
        latest_ns = fixed_ns + earlier_ns
    return None


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
    state: ProcessorSnapshot, pending: Sequence[Job], now_ns: int
) -> NotAdmitted | None:
    """Refuse when, from now on, work due by some instant can exceed the time until then."""
    profile = state.profile
    running = state.running
    remaining_ns = 0
    if running is not None:
        remaining_ns = running.started_ns + running.job.budget_ns - now_ns
    if _fits_any_history(profile, pending, remaining_ns, now_ns):
        return None
    # A job that arrives at the very instant of a start did not take part in that choice: its
    # release counts from the next nanosecond (`Processor.release` does the same).
    earliest_ns = now_ns + (running is not None and running.started_ns == now_ns)
    first_deadlines = [
        # Not max(): a call for each of 100 reservations would cost 5 of the 100 µs.
        (release_ns if release_ns > earliest_ns else earliest_ns) - now_ns + deadline_ns  # noqa: FURB136
        for release_ns, deadline_ns in zip(
            state.next_releases_ns, profile.deadlines_ns, strict=True
        )
    ]
    overload = first_overload(
        profile.streams,
        first_deadlines,
        [(each.deadline_ns - now_ns, each.budget_ns) for each in pending],
        base_ns=remaining_ns,
        refinements_max=JOB_REFINEMENTS_MAX,
    )
    return None if overload is None else _demand_refusal(overload, now_ns)


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


def _fits_any_history(
    profile: ReservationProfile, pending: Sequence[Job], remaining_ns: int, now_ns: int
) -> bool:
    """Tell whether the single jobs fit even if every reservation could release right now.

    Sufficient. Up to each pending deadline, the work due must not exceed the least slack that
    reservations leave in any window at least as long.
    """
    least_ns = profile.least_slack_ns()
    if least_ns is not None and remaining_ns > least_ns:
        return False
    points_ns = profile.points_ns
    later_ns = profile.later_slack_ns
    tabled_count = len(points_ns)
    needed_ns = remaining_ns
    for job in pending:
        needed_ns += job.budget_ns
        length_ns = job.deadline_ns - now_ns
        index = bisect_left(points_ns, length_ns)
        if index < tabled_count and needed_ns <= later_ns[index] and needed_ns <= length_ns:
            # Slack only rises between two points, so what fits the points fits here, unless
            # none lies before; then slack is the length itself.
            pass
        if needed_ns > profile.later_slack_floor_ns(length_ns):
            return False
    return True
