"""One processor, one runner: jobs are admitted, ordered by deadline, and executed one at a time."""

from collections import deque
from collections.abc import Callable

from mutualedge.errors import PeerError
from mutualedge.model import Digest
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

ORDERS_MAX = 256
"""Orders the runner may have unanswered besides the one job; handshakes and batches are short."""

OnAnswer = Callable[[RunnerAnswer], None]

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
        self._expecting: deque[OnAnswer] = deque()
        self._work: dict[str, tuple[Execute | ExecuteLocal, OnAnswer]] = {}
        self._running: str | None = None
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
        waiting = [*self._expecting, *(on_answer for _, on_answer in self._work.values())]
        for key in self._work:
            self._processor.withdraw(key, self._station.now_ns)
        self._expecting.clear()
        self._work.clear()
        for on_answer in dict.fromkeys(waiting):
            on_answer(RUNNER_LOST)

    def order(self, order: RunnerOrder, on_answer: OnAnswer) -> None:
        """Give the runner an order; answered in order, at once if there is no runner."""
        if self._life is None:
            on_answer(RUNNER_LOST)
            return
        assert len(self._expecting) < ORDERS_MAX, "the runner does not answer"
        self._expecting.append(on_answer)
        self._station.order(order, self._life)

    def runner_answered(self, answer: RunnerAnswer) -> None:
        """Hand the answer to whoever gave the oldest unanswered order, then start the next job.

        Raises:
            PeerError: The runner spoke without being asked.
        """
        if not self._expecting:
            sentence = "The runner answered an order nobody gave; its answer is dropped."
            raise PeerError("node.runner.unasked", sentence)
        try:
            self._expecting.popleft()(answer)
        finally:
            self.dispatch()

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

    def admit(
        self, order: Execute | ExecuteLocal, *, deadline_ns: int, on_answer: OnAnswer
    ) -> NotAdmitted | None:
        """Accept one job of the enterprise's own, or say why it would miss a deadline."""
        key = str(order.job)
        now_ns, budget_ns = self._station.now_ns, self._station.settings.job_budget_ns
        if not self.is_ready:
            return _not_admitted(
                "node.runner.absent", "The runner is being restarted.", deadline_ns, budget_ns
            )
        if self._making_room:
            sentence = "A promise to a partner is about to begin and needs the processor first."
            return _not_admitted("admission.job.promised-first", sentence, deadline_ns, budget_ns)
        if deadline_ns - now_ns < budget_ns:
            sentence = "Less time remains than the function may need."
            return _not_admitted("admission.job.too-late", sentence, deadline_ns, budget_ns)
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
        """Start the released job with the earliest deadline, if the runner is free."""
        if self._running is not None or not self.is_ready:
            return
        job = self._processor.next_job(self._station.now_ns)
        if job is None:
            self._wake_at_next_release()
            return
        order, on_answer = self._work.pop(job.key)
        self._processor.start(job.key, self._station.now_ns)
        self._running = job.key
        self.order(order, lambda answer: self._finish(job.key, answer, on_answer))

    def _wake_at_next_release(self) -> None:
        release_ns = self._processor.next_release_ns()
        now_ns = self._station.now_ns
        is_set = self._wake_ns is not None and now_ns < self._wake_ns <= (release_ns or 0)
        if release_ns is not None and not is_set:
            self._wake_ns = release_ns
            self._station.after(release_ns - now_ns, self.dispatch)

    def _finish(self, key: str, answer: RunnerAnswer, on_answer: OnAnswer) -> None:
        self._running = None
        self._processor.finish(key, self._station.now_ns)
        on_answer(answer)

    @property
    def running(self) -> Running | None:
        """The job the runner works on."""
        return self._processor.snapshot().running

    def validate(self) -> None:
        """Assert that the queue and the processor agree."""
        self._processor.validate()
        assert self._running is None or self._expecting, "a running job has an open order"


def _not_admitted(code: str, sentence: str, at_ns: int, demand_ns: int) -> NotAdmitted:
    return NotAdmitted(code=code, sentence=sentence, at_ns=at_ns, demand_ns=demand_ns)
