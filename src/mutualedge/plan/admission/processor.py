"""One processor's promises, jobs and clock, kept consistent with how its runner executes."""

from bisect import insort_right
from collections.abc import Iterable
from itertools import pairwise

import msgspec

from mutualedge.errors import UsageError
from mutualedge.plan.admission.demand import Admitted, NotAdmitted
from mutualedge.plan.admission.jobs import FREE_JOBS_MAX, check_job, check_pending
from mutualedge.plan.admission.reservations import (
    RESERVATIONS_MAX,
    Reservation,
    check_reservations,
    profile_feasible,
)
from mutualedge.plan.admission.state import Job, ProcessorSnapshot, Running, deadline_of

QUEUED_PER_RESERVATION_MAX = 8
"""Jobs of one reservation that wait; a partner that sends faster than agreed fills only this."""

NEVER_NS = 1 << 62
"""The deadline of what has none, in the year 2116: it delays jobs and nothing delays it."""


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """A promised job that now waits for the processor, with its regulated release."""

    job: Job


class NotReleased(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job cannot use its reservation.

    Attributes:
        code: Stable dotted cause.
        sentence: What is wrong and who should do what.
    """

    code: str
    sentence: str


class Processor:
    """The state machine of one processor; every method takes the time and none reads it.

    The driver hands over all that arrived by an instant before it calls `next_job` and `start`
    with that instant, and does so whenever the runner is free. Deadlines then hold as long as
    no job exceeds its budget. Time must never run backwards.
    """

    def __init__(self, *, best_effort_blocking_ns: int = 0) -> None:
        """Begin with nothing promised.

        Args:
            best_effort_blocking_ns: Budget minus 1 of the longest job without a reservation
                that promises must leave admissible.
        """
        self._best_effort_blocking_ns = best_effort_blocking_ns
        self._profile = profile_feasible(())
        self._next_releases_ns: dict[str, int] = {}
        self._pending: list[Job] = []
        self._running: Running | None = None
        self._now_ns = 0

    def add_reservation(self, new: Reservation, now_ns: int) -> Admitted | NotAdmitted:
        """Promise the reservation from now on, if all earlier promises and jobs still hold.

        Raises:
            UsageError: The key is taken, or time ran backwards.
        """
        self._observe(now_ns)
        if new.key in self._next_releases_ns:
            sentence = f"Reservation '{new.key}' exists; remove it first or use another key."
            raise UsageError("admission.reservation.duplicate", sentence)
        wanted = (*self._profile.reservations, new)
        verdict = check_reservations(wanted, best_effort_blocking_ns=self._best_effort_blocking_ns)
        if isinstance(verdict, NotAdmitted):
            return verdict
        profile = profile_feasible(wanted)
        state = ProcessorSnapshot(
            profile=profile,
            next_releases_ns=(*self._next_releases_ns.values(), 0),
            pending=tuple(self._pending),
            running=self._running,
        )
        verdict = check_pending(state, now_ns)
        if isinstance(verdict, NotAdmitted):
            sentence = (
                f"Reservation '{new.key}' fits beside the others, but not beside the jobs that "
                f"wait now; try again when they are done. {verdict.sentence}"
            )
            return msgspec.structs.replace(
                verdict, code="admission.reservation.pending", sentence=sentence
            )
        self._profile = profile
        self._next_releases_ns[new.key] = 0
        return verdict

    def remove_reservation(self, key: str, now_ns: int) -> None:
        """End a promise; its jobs that arrived already keep their deadlines.

        Raises:
            UsageError: No such reservation, or time ran backwards.
        """
        self._observe(now_ns)
        if key not in self._next_releases_ns:
            raise UsageError("admission.reservation.unknown", f"No reservation '{key}' to remove.")
        kept = [each for each in self._profile.reservations if each.key != key]
        self._profile = profile_feasible(kept)
        del self._next_releases_ns[key]
        self._pending = [
            msgspec.structs.replace(job, reservation_key=None)
            if job.reservation_key == key
            else job
            for job in self._pending
        ]

    def admit(self, job: Job, now_ns: int) -> Admitted | NotAdmitted:
        """Take a job that has no reservation, if `check_job` says that it fits.

        Raises:
            UsageError: The key is taken, the job names a reservation, or time ran backwards.
        """
        self._observe(now_ns)
        self._require_new_key(job.key)
        if job.reservation_key is not None:
            sentence = f"Job '{job.key}' has a reservation; call release, which needs no test."
            raise UsageError("admission.job.reserved", sentence)
        verdict = check_job(self.snapshot(), job, now_ns)
        if isinstance(verdict, Admitted):
            insort_right(self._pending, job, key=deadline_of)
        return verdict

    def release(
        self, reservation_key: str, job_key: str, now_ns: int, *, budget_ns: int
    ) -> Released | NotReleased:
        """Take a promised job that arrives now; its release waits until a period has passed.

        The release is max(arrival, last release + period). An arrival at the very instant at
        which another job started counts one nanosecond later, because it missed that choice.

        Raises:
            UsageError: No such reservation, the job's key is taken, or time ran backwards.
        """
        self._observe(now_ns)
        self._require_new_key(job_key)
        reservation = self._reservation(reservation_key)
        if not 1 <= budget_ns <= reservation.budget_ns:
            sentence = (
                f"Job '{job_key}' asks for {budget_ns} ns and reservation '{reservation_key}' "
                f"grants 1 to {reservation.budget_ns} ns; its sender must stay within it."
            )
            return NotReleased(code="admission.release.budget", sentence=sentence)
        queued_count = sum(each.reservation_key == reservation_key for each in self._pending)
        if queued_count >= QUEUED_PER_RESERVATION_MAX:
            sentence = (
                f"Reservation '{reservation_key}' already has {queued_count} jobs waiting; its "
                f"sender must leave {reservation.period_ns} ns between jobs."
            )
            return NotReleased(code="admission.release.count", sentence=sentence)
        missed_choice = self._running is not None and self._running.started_ns == now_ns
        release_ns = max(now_ns + missed_choice, self._next_releases_ns[reservation_key])
        job = Job(
            key=job_key,
            budget_ns=budget_ns,
            deadline_ns=release_ns + reservation.deadline_ns,
            release_ns=release_ns,
            reservation_key=reservation_key,
        )
        insort_right(self._pending, job, key=deadline_of)
        self._next_releases_ns[reservation_key] = release_ns + reservation.period_ns
        return Released(job=job)

    def earliest_release_ns(self, reservation_key: str, now_ns: int) -> int:
        """Return when a job of this reservation that arrives now would be released."""
        return max(now_ns, self._next_releases_ns.get(reservation_key, 0))

    def next_job(self, now_ns: int) -> Job | None:
        """Return the job to start now: earliest deadline among the released, then first come."""
        if self._running is not None:
            return None
        return next((job for job in self._pending if job.release_ns <= now_ns), None)

    def next_release_ns(self) -> int | None:
        """Return when to ask again if `next_job` has none: the earliest release that waits."""
        return min((job.release_ns for job in self._pending), default=None)

    def start(self, job_key: str, now_ns: int) -> Running:
        """Record that the runner began this job, the one that `next_job` names.

        Raises:
            UsageError: It is not the next job (the guarantees need it to be), or time ran
                backwards.
        """
        self._observe(now_ns)
        job = self.next_job(now_ns)
        if job is None or job.key != job_key:
            sentence = (
                f"Job '{job_key}' is not next at {now_ns}: "
                f"{'none' if job is None else job.key!r} is; ask next_job at the same instant."
            )
            raise UsageError("admission.start.order", sentence)
        self._pending.remove(job)
        self._running = Running(job=job, started_ns=now_ns)
        return self._running

    def can_occupy(self, now_ns: int) -> bool:
        """Tell whether the processor is free for something that no admission test foresaw.

        Not while a job is released, nor while one without reservation waits for its release: it
        was admitted for a processor that is free by then.
        """
        is_free = self._running is None and self.next_job(now_ns) is None
        return is_free and all(job.reservation_key is not None for job in self._pending)

    def occupy(self, key: str, budget_ns: int, now_ns: int) -> Running:
        """Record that the runner began something without deadline, since ``can_occupy`` says so.

        Promises leave room for one such blocking (``best_effort_blocking_ns``), and jobs that
        arrive meanwhile are admitted around it. It ends with ``finish``, as a job does.

        Raises:
            UsageError: A job comes first, or time ran backwards.
        """
        self._observe(now_ns)
        assert budget_ns <= self._best_effort_blocking_ns + 1, "promises leave room for no more"
        if not self.can_occupy(now_ns):
            sentence = f"A job comes before '{key}'; ask can_occupy at the same instant."
            raise UsageError("admission.occupy.order", sentence)
        job = Job(key=key, budget_ns=budget_ns, deadline_ns=NEVER_NS, release_ns=now_ns)
        self._running = Running(job=job, started_ns=now_ns)
        return self._running

    def finish(self, job_key: str, now_ns: int) -> None:
        """Record that the runner is free again; sooner than the budget allows is fine.

        Raises:
            UsageError: Another job or none is running, or time ran backwards.
        """
        self._observe(now_ns)
        if self._running is None or self._running.job.key != job_key:
            raise UsageError("admission.finish.order", f"Job '{job_key}' is not running.")
        self._running = None

    def withdraw(self, job_key: str, now_ns: int) -> Job:
        """Forget a job that has not started and return it; its reservation's slot stays used.

        Raises:
            UsageError: It is not pending, or time ran backwards.
        """
        self._observe(now_ns)
        for index, job in enumerate(self._pending):
            if job.key == job_key:
                return self._pending.pop(index)
        raise UsageError("admission.withdraw.unknown", f"Job '{job_key}' is not waiting.")

    def snapshot(self) -> ProcessorSnapshot:
        """Return the present state, which later calls do not change."""
        return ProcessorSnapshot(
            profile=self._profile,
            next_releases_ns=tuple(self._next_releases_ns.values()),
            pending=tuple(self._pending),
            running=self._running,
        )

    def validate(self) -> None:
        """Assert what must hold between any two calls."""
        promised = [each.key for each in self._profile.reservations]
        assert promised == list(self._next_releases_ns), "profile and histories name the same"
        assert len(promised) <= RESERVATIONS_MAX, "reservations are bounded"
        if self._pending:
            self._validate_pending()
        if self._running is not None:
            assert self._running.job.release_ns <= self._running.started_ns <= self._now_ns

    def _validate_pending(self) -> None:
        deadlines = [job.deadline_ns for job in self._pending]
        assert deadlines == sorted(deadlines), "pending jobs are ordered by deadline"
        keys = list(self._job_keys())
        assert len(keys) == len(set(keys)), "job keys are unique"
        owners = [job.reservation_key for job in self._pending]
        assert all(owner is None or owner in self._next_releases_ns for owner in owners)
        orphans_max = RESERVATIONS_MAX * QUEUED_PER_RESERVATION_MAX
        assert owners.count(None) <= FREE_JOBS_MAX + orphans_max, "free jobs are bounded"
        for reservation in self._profile.reservations:
            releases = sorted(
                job.release_ns for job in self._pending if job.reservation_key == reservation.key
            )
            assert len(releases) <= QUEUED_PER_RESERVATION_MAX, "each queue is bounded"
            releases.append(self._next_releases_ns[reservation.key])
            for earlier_ns, later_ns in pairwise(releases):
                assert later_ns - earlier_ns >= reservation.period_ns, "releases keep the period"

    def _job_keys(self) -> Iterable[str]:
        if self._running is not None:
            yield self._running.job.key
        for job in self._pending:
            yield job.key

    def _require_new_key(self, job_key: str) -> None:
        if job_key in self._job_keys():
            sentence = f"Job '{job_key}' is pending or running; use another key."
            raise UsageError("admission.job.duplicate", sentence)

    def _reservation(self, key: str) -> Reservation:
        for reservation in self._profile.reservations:
            if reservation.key == key:
                return reservation
        sentence = f"No reservation '{key}' on this processor; add it before its jobs arrive."
        raise UsageError("admission.reservation.unknown", sentence)

    def _observe(self, now_ns: int) -> None:
        """Keep the latest time.

        Raises:
            UsageError: Time ran backwards.
        """
        if now_ns < self._now_ns:
            sentence = f"Time ran from {self._now_ns} back to {now_ns}; use a clock that cannot."
            raise UsageError("admission.clock.backwards", sentence)
        self._now_ns = now_ns
