"""One processor, one runner: jobs are admitted, ordered by deadline, and executed one at a time.

What else the runner does (handshakes, batches, loading a function) is an *errand*: it runs when no
released job waits, and the admission tests know of it as of a job without deadline.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from mutualedge.errors import PeerError
from mutualedge.model import NS_PER_MS, Digest
from mutualedge.node.station import Station
from mutualedge.plan.admission import (
    Admitted,
    Job,
    NotAdmitted,
    NotReleased,
    Processor,
    Reservation,
    Running,
)
from mutualedge.protocol import (
    BundleLoaded,
    Execute,
    ExecuteLocal,
    FrameRefused,
    LoadBundle,
    RunnerAnswer,
    RunnerOrder,
)

ERRANDS_MAX = 256
"""Errands that may wait: two handshakes and a batch for each lease, and room."""

ERRAND_PATIENCE_NS = 100 * NS_PER_MS
"""An errand that waited so long keeps new jobs of our own out until it is done; those who wait for
a handshake or a batch give up after seconds."""

OnAnswer = Callable[[RunnerAnswer], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errand:
    order: RunnerOrder
    on_answer: OnAnswer
    since_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Current:
    """What the runner is at: a job or an errand, one at a time."""

    key: str
    on_answer: OnAnswer


RUNNER_LOST = FrameRefused(
    order="any",
    subject="runner",
    code="node.runner.lost",
    sentence="The runner ended while it worked; it is being restarted, ask again.",
)


class Dispatcher:
    """Owns the processor's admission state and the conversation with the runner."""

    def __init__(self, station: Station) -> None:
        """Start without a runner: nothing is admitted until one has loaded the function."""
        self._station = station
        self._processor = Processor(best_effort_blocking_ns=station.settings.job_budget_ns - 1)
        self._errands: deque[_Errand] = deque()
        self._errand_count = 0
        self._current: _Current | None = None
        self._work: dict[str, tuple[Execute | ExecuteLocal, OnAnswer]] = {}
        self._life: int | None = None
        self._wake_ns: int | None = None
        self._making_room: dict[str, None] = {}
        self._job_count = 0
        self.timing = "best-effort"
        self.function: Digest | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a runner has loaded the function."""
        return self.function is not None

    def runner_started(self, timing: str, life: int) -> None:
        """Load the function into a fresh runner."""
        self.timing = timing
        self._life = life
        self.order(LoadBundle(bundle=self._station.settings.bundle), self._on_loaded)

    def _on_loaded(self, answer: RunnerAnswer) -> None:
        if not isinstance(answer, BundleLoaded):
            code = answer.code if isinstance(answer, FrameRefused) else "node.runner.confused"
            self._station.note("bundle.refused", code=code)
            return
        self.function = answer.function
        self._station.note("runner.started", function=answer.function, timing=self.timing)

    def runner_lost(self) -> None:
        """Fail everything the runner was asked; it forgot it all."""
        self.function = None
        self._life = None
        waiting = [each.on_answer for each in self._errands]
        waiting += [on_answer for _, on_answer in self._work.values()]
        for key in self._work:
            self._processor.withdraw(key, self._station.now_ns)
        self._errands.clear()
        self._work.clear()
        if self._current is not None:
            self._finish(RUNNER_LOST)
        for on_answer in waiting:
            on_answer(RUNNER_LOST)

    def order(self, order: RunnerOrder, on_answer: OnAnswer) -> None:
        """Give the runner an errand; it fails at once if there is no runner."""
        if self._life is None:
            on_answer(RUNNER_LOST)
            return
        assert len(self._errands) < ERRANDS_MAX, "the runner does not answer"
        errand = _Errand(order=order, on_answer=on_answer, since_ns=self._station.now_ns)
        self._errands.append(errand)
        self.dispatch()

    def runner_answered(self, answer: RunnerAnswer) -> None:
        """Hand the answer to whoever gave the order, then start what comes next.

        Raises:
            PeerError: The runner spoke without being asked.
        """
        if self._current is None:
            sentence = "The runner answered an order nobody gave; its answer is dropped."
            raise PeerError("node.runner.unasked", sentence)
        try:
            self._finish(answer)
        finally:
            self.dispatch()

    def _finish(self, answer: RunnerAnswer) -> None:
        assert self._current is not None, "an answer is to what the runner is at"
        current, self._current = self._current, None
        self._processor.finish(current.key, self._station.now_ns)
        current.on_answer(answer)

    def next_job_id(self) -> int:
        """Return a number for a job, unique in this process."""
        self._job_count += 1
        return self._job_count

    def reserve(self, reservation: Reservation) -> Admitted | NotAdmitted:
        """Promise a stream of jobs to a lease, if every promise still holds with it."""
        return self._processor.add_reservation(reservation, self._station.now_ns)

    def make_room(self, key: str) -> None:
        """Admit no more jobs of our own until a promise that waits could be reserved."""
        self._making_room[key] = None

    def stop_making_room(self, key: str) -> None:
        """The promise was reserved, or is over."""
        self._making_room.pop(key, None)

    def release_reservation(self, key: str) -> None:
        """Take a promise back when its lease is over."""
        self._processor.remove_reservation(key, self._station.now_ns)

    def earliest_release_ns(self, key: str) -> int:
        """Return when a job of this promise would start to count, were it to arrive now."""
        return self._processor.earliest_release_ns(key, self._station.now_ns)

    def _obstacle(self, now_ns: int, remaining_ns: int, budget_ns: int) -> tuple[str, str] | None:
        """Return why no job of the enterprise's own begins now, before its time is looked at."""
        if not self.is_ready:
            sentence = "The runner does not run yet, or again; its node goes on starting it."
            return "node.runner.absent", sentence
        if self._making_room:
            sentence = "A promise to a partner is about to begin and needs the processor first."
            return "admission.job.promised-first", sentence
        if self._errands and now_ns - self._errands[0].since_ns > ERRAND_PATIENCE_NS:
            sentence = "Handshakes and batches of partners have waited long; they go first now."
            return "admission.job.errand-first", sentence
        if remaining_ns < budget_ns:
            return "admission.job.too-late", "Less time remains than the function may need."
        return None

    def admit(
        self, order: Execute | ExecuteLocal, *, deadline_ns: int, on_answer: OnAnswer
    ) -> NotAdmitted | None:
        """Accept one job of the enterprise's own, or say why it would miss a deadline."""
        key = str(order.job)
        now_ns, budget_ns = self._station.now_ns, self._station.settings.job_budget_ns
        obstacle = self._obstacle(now_ns, deadline_ns - now_ns, budget_ns)
        if obstacle is not None:
            code, sentence = obstacle
            return NotAdmitted(code=code, sentence=sentence, at_ns=deadline_ns, demand_ns=budget_ns)
        job = Job(key=key, budget_ns=budget_ns, deadline_ns=deadline_ns, release_ns=now_ns)
        verdict = self._processor.admit(job, now_ns)
        if isinstance(verdict, NotAdmitted):
            return verdict
        self._work[key] = (order, on_answer)
        self.dispatch()
        return None

    def accept_promised(
        self, order: Execute, *, reservation_key: str, budget_ns: int, on_answer: OnAnswer
    ) -> NotReleased | None:
        """Queue a job of a lease: it was promised, so it needs no test, only its release time."""
        key = str(order.job)
        released = self._processor.release(
            reservation_key, key, self._station.now_ns, budget_ns=budget_ns
        )
        if isinstance(released, NotReleased):
            return released
        self._work[key] = (order, on_answer)
        self.dispatch()
        return None

    def dispatch(self) -> None:
        """Start the released job with the earliest deadline, or else an errand, if there is one."""
        if self._current is not None or self._life is None:
            return
        now_ns = self._station.now_ns
        job = self._processor.next_job(now_ns) if self.is_ready else None
        if job is not None:
            order, on_answer = self._work.pop(job.key)
            self._processor.start(job.key, now_ns)
            self._begin(job.key, order, on_answer)
        elif self._errands and self._processor.can_occupy(now_ns):
            errand = self._errands.popleft()
            self._errand_count += 1
            key = f"errand {self._errand_count}"
            self._processor.occupy(key, self._station.settings.job_budget_ns, now_ns)
            self._begin(key, errand.order, errand.on_answer)
        else:
            self._wake_at_next_release()

    def _begin(self, key: str, order: RunnerOrder, on_answer: OnAnswer) -> None:
        assert self._life is not None, "somebody must take the order"
        self._current = _Current(key=key, on_answer=on_answer)
        self._station.order(order, self._life)

    def _wake_at_next_release(self) -> None:
        release_ns = self._processor.next_release_ns()
        now_ns = self._station.now_ns
        is_set = self._wake_ns is not None and now_ns < self._wake_ns <= (release_ns or 0)
        if release_ns is not None and not is_set:
            self._wake_ns = release_ns
            self._station.after(release_ns - now_ns, self.dispatch)

    @property
    def waiting_counts(self) -> tuple[int, int]:
        """Jobs and errands that have not begun."""
        return len(self._work), len(self._errands)

    @property
    def running(self) -> Running | None:
        """The job the runner works on."""
        return self._processor.snapshot().running

    def validate(self) -> None:
        """Assert that the queue and the processor agree."""
        self._processor.validate()
        running = None if self.running is None else self.running.job.key
        at = None if self._current is None else self._current.key
        assert running == at, "the processor runs what the runner is at"
