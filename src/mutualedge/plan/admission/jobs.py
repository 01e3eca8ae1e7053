"""One more job: does it, and everything admitted or promised before it, still finish in time?"""

from bisect import bisect_right, insort_left
from collections.abc import Sequence

from msgspec.structs import replace

from mutualedge.plan.admission.demand import Admitted, NotAdmitted
from mutualedge.plan.admission.state import Job, ProcessorSnapshot, Running, deadline_of
from mutualedge.plan.admission.windows import (
    check_all_from_now,
    check_blocking,
    check_from_now,
    check_later_releases,
)

FREE_JOBS_MAX = 1_024
"""Pending jobs without a reservation; a job's check looks at each: 100 µs for 100, 1 ms for all."""

UNRELEASED_FREE_JOBS_MAX = 16
"""Of those, jobs whose release lies ahead: their test grows with the square of their number."""


def check_job(state: ProcessorSnapshot, job: Job, now_ns: int) -> Admitted | NotAdmitted:
    """Say whether the job may join without any deadline being missed, whatever arrives next.

    Sound: if every earlier job and reservation passed its test, then under EDF, interrupting jobs
    or not as the profile says, the job, all pending jobs and every future job of every
    reservation meet their deadlines, for all arrival patterns and for execution times up to the
    budgets. It combines three conditions.

    1. From now on: remaining budget of the running job, pending jobs and the earliest future
       reservation jobs with deadlines up to t never exceed t - now. Necessary, and decided
       exactly (a linear bound first, then job by job, then ``admission.job.undecided``).
    2. A window that begins later with reservation jobs only: the job may have just started
       with its deadline behind the window. Sufficient: history and start time are ignored.
    3. A window that begins later and holds jobs of no reservation whose release lies ahead.
       Sufficient: reservations take their densest pattern, blocking its largest value.

    So the test is exact while no reservation exists and all jobs are released, and sufficient
    otherwise; how much it refuses needlessly is measured in the property tests.

    Under a preemptive profile the running job is one that waits, with what is left of its
    budget; nothing blocks, so condition 2 is empty and the test exact beside reservations too,
    as long as all jobs are released.

    Args:
        state: The processor; jobs and reservations in it are taken as admitted.
        job: The new one, without a reservation.
        now_ns: Absolute; not before the running job's start.
    """
    overrun = _check_overrun(state.running, now_ns)
    if overrun is not None:
        return overrun
    if state.profile.preemptive:
        state = _interrupted(state, now_ns)
    pending = list(state.pending)
    index = bisect_right(pending, job.deadline_ns, key=deadline_of)
    pending.insert(index, job)
    ahead = [each for each in pending if each.release_ns > now_ns and each.reservation_key is None]
    return (
        _check_counts(pending, ahead)
        or _check_late(state.running, job, now_ns)
        or check_blocking(state, pending, job.deadline_ns, now_ns)
        or check_later_releases(state.profile, pending, ahead)
        or check_from_now(state, pending, index, now_ns)
        or Admitted()
    )


def _interrupted(state: ProcessorSnapshot, now_ns: int) -> ProcessorSnapshot:
    """Return the state in which the running job waits with what is left of its budget."""
    running = state.running
    if running is None:
        return state
    left_ns = running.started_ns + running.job.budget_ns - now_ns
    pending = list(state.pending)
    if left_ns > 0:
        insort_left(pending, replace(running.job, budget_ns=left_ns), key=deadline_of)
    return replace(state, pending=tuple(pending), running=None)


def check_pending(state: ProcessorSnapshot, now_ns: int) -> Admitted | NotAdmitted:
    """Say whether the jobs of a state hold beside a profile that was just put in.

    The same three conditions as `check_job`, for all jobs without a reservation at once.
    """
    ahead = [
        each for each in state.pending if each.release_ns > now_ns and each.reservation_key is None
    ]
    return (
        _check_overrun(state.running, now_ns)
        or _check_counts(state.pending, ahead)
        or check_blocking(state, state.pending, now_ns, now_ns)
        or check_later_releases(state.profile, state.pending, ahead)
        or check_all_from_now(state, state.pending, now_ns)
        or Admitted()
    )


def _check_overrun(running: Running | None, now_ns: int) -> NotAdmitted | None:
    """Refuse while nobody knows when the processor becomes free."""
    if running is None or now_ns <= running.started_ns + running.job.budget_ns:
        return None
    ends_ns = running.started_ns + running.job.budget_ns
    sentence = (
        f"Job '{running.job.key}' runs {now_ns - ends_ns} ns past its budget; nothing is "
        "admitted before it ends or is stopped."
    )
    return NotAdmitted(
        code="admission.running.overrun",
        sentence=sentence,
        at_ns=ends_ns,
        demand_ns=running.job.budget_ns,
    )


def _check_counts(pending: Sequence[Job], ahead: Sequence[Job]) -> NotAdmitted | None:
    """Refuse when the jobs without a reservation, or those released later, are too many."""
    free_count = len(pending)
    if free_count > FREE_JOBS_MAX:
        free_count = sum(each.reservation_key is None for each in pending)
    if free_count > FREE_JOBS_MAX:
        sentence = (
            f"{free_count} jobs without a reservation would wait, at most {FREE_JOBS_MAX} may; "
            "try again when some have finished."
        )
        return NotAdmitted(code="admission.job.count", sentence=sentence, at_ns=0, demand_ns=0)
    if len(ahead) > UNRELEASED_FREE_JOBS_MAX:
        sentence = (
            f"{len(ahead)} jobs would wait for their release, at most "
            f"{UNRELEASED_FREE_JOBS_MAX} may; submit this one when its release is nearer."
        )
        return NotAdmitted(code="admission.job.ahead", sentence=sentence, at_ns=0, demand_ns=0)
    return None


def _check_late(running: Running | None, job: Job, now_ns: int) -> NotAdmitted | None:
    """Refuse a job that could not finish even if it were next."""
    ready_ns = max(now_ns, job.release_ns)
    if running is not None:
        ready_ns = max(ready_ns, running.started_ns + running.job.budget_ns)
    if ready_ns + job.budget_ns <= job.deadline_ns:
        return None
    sentence = (
        f"Job '{job.key}' can start at {ready_ns} at the earliest and needs {job.budget_ns} ns, "
        f"past its deadline {job.deadline_ns}; allow a later one."
    )
    return NotAdmitted(
        code="admission.job.late",
        sentence=sentence,
        at_ns=job.deadline_ns,
        demand_ns=ready_ns + job.budget_ns - now_ns,
    )
