"""The dispatcher by itself: who runs next, who is refused, and what a lost runner means."""

from collections.abc import Callable

import pytest

from mutualedge.errors import PeerError
from mutualedge.model import NS_PER_MS, LeaseId
from mutualedge.node.dispatcher import Dispatcher
from mutualedge.node.station import Station
from mutualedge.plan.admission import Admitted, NotAdmitted, NotReleased, Reservation
from mutualedge.protocol import (
    BundleLoaded,
    Execute,
    ExecutedLocal,
    ExecuteLocal,
    FrameRefused,
    LoadBundle,
    Order,
    RunnerAnswer,
    RunnerOrder,
    SealBatch,
)
from tests.simulation.schedule import START_NS
from tests.unit.node_world import BUNDLE, FORGE, invocation_of, new_station

BUDGET_NS = 5 * NS_PER_MS
BATCH = SealBatch(lease=LeaseId("ab" * 32))
LOADED = BundleLoaded(function=BUNDLE.digest, fuel_per_ms=1)


class Bench:
    """A dispatcher, the orders it gave, and the answers its callers got."""

    def __init__(self, *, ready: bool = True) -> None:
        self.station: Station = new_station(FORGE)
        self.dispatcher = Dispatcher(self.station)
        self.answers: list[tuple[str, RunnerAnswer]] = []
        if ready:
            self.dispatcher.runner_started("prioritised", 1)
            self.dispatcher.runner_answered(LOADED)
            self.orders()

    def at(self, ms: float) -> "Bench":
        self.station.begin(START_NS + int(ms * NS_PER_MS))
        return self

    def on(self, name: str) -> Callable[[RunnerAnswer], None]:
        return lambda answer: self.answers.append((name, answer))

    def local(self, job: int, deadline_ms: float) -> NotAdmitted | None:
        order = ExecuteLocal(job=job, function=BUNDLE.digest, request=b"", budget_ns=BUDGET_NS)
        deadline_ns = START_NS + int(deadline_ms * NS_PER_MS)
        return self.dispatcher.admit(order, deadline_ns=deadline_ns, on_answer=self.on(f"{job}"))

    def promised(self, job: int, budget_ns: int = BUDGET_NS) -> NotReleased | None:
        order = Execute(
            job=job, session=1, invocation=invocation_of(job), record=b"", billable=True
        )
        return self.dispatcher.accept_promised(
            order, reservation_key="lease", budget_ns=budget_ns, on_answer=self.on(f"{job}")
        )

    def reserve(self) -> Admitted | NotAdmitted:
        stream = Reservation(
            key="lease",
            budget_ns=BUDGET_NS,
            period_ns=4 * BUDGET_NS,
            deadline_ns=4 * BUDGET_NS,
        )
        return self.dispatcher.reserve(stream)

    def orders(self) -> list[RunnerOrder]:
        """Return the orders given since the last look."""
        given = [each.order for each in self.station.effects.outputs if isinstance(each, Order)]
        self.station.effects.outputs.clear()
        return given

    def jobs(self) -> list[int]:
        return [order.job for order in self.orders() if isinstance(order, ExecuteLocal | Execute)]

    def done(self, job: int) -> None:
        self.dispatcher.runner_answered(ExecutedLocal(job=job, status="ok", response=b""))

    def names(self) -> list[str]:
        return [name for name, _ in self.answers]


def test_jobs_run_one_at_a_time_by_deadline() -> None:
    """While one job runs the others wait; the earliest deadline goes next."""
    bench = Bench()
    for job, deadline_ms in ((1, 60), (2, 50), (3, 30), (4, 40)):
        assert bench.local(job, deadline_ms) is None
    order = []
    while jobs := bench.jobs():
        order += jobs
        bench.done(jobs[0])
    assert order == [1, 3, 4, 2]
    assert bench.names() == ["1", "3", "4", "2"]


def test_a_promised_job_takes_its_place_by_deadline() -> None:
    """A lease's job and our own are in one queue; neither goes first for what it is."""
    bench = Bench()
    assert isinstance(bench.reserve(), Admitted)
    assert bench.local(1, 60) is None
    assert bench.local(2, 50) is None
    assert bench.promised(3) is None
    assert bench.jobs() == [1]
    bench.at(1).done(1)
    assert bench.jobs() == [3]


def test_a_second_call_within_a_period_waits_for_its_release() -> None:
    """A partner that sends faster than agreed gets its period, and the node wakes for it."""
    bench = Bench()
    bench.reserve()
    assert bench.promised(1) is None
    assert bench.promised(2) is None
    assert bench.jobs() == [1]
    bench.at(1).done(1)
    assert bench.jobs() == []
    assert bench.station.wake_ns == START_NS + 20 * NS_PER_MS
    for action in bench.at(20).station.due_timers():
        action()
    assert bench.jobs() == [2]


def test_admission_keeps_every_promise() -> None:
    """A job that would make an admitted one late is refused, with the time it would be missed."""
    bench = Bench()
    bench.reserve()
    admitted = [bench.local(job, 20) for job in range(1, 9)]
    accepted = [verdict for verdict in admitted if verdict is None]
    refused = [verdict for verdict in admitted if verdict is not None]
    assert len(accepted) == 3
    assert {verdict.code for verdict in refused} == {"admission.job.demand"}
    bench.dispatcher.validate()


def test_a_job_without_time_is_refused() -> None:
    """Less remaining time than the function's worst case is a refusal, not an attempt."""
    bench = Bench()
    verdict = bench.local(1, 4.999)
    assert isinstance(verdict, NotAdmitted)
    assert verdict.code == "admission.job.too-late"
    assert bench.jobs() == []
    assert bench.local(2, 5) is None


def test_a_lease_gets_no_longer_job_than_it_reserved() -> None:
    """A budget beyond the reservation is refused before it delays anybody."""
    bench = Bench()
    bench.reserve()
    refused = bench.promised(1, BUDGET_NS + 1)
    assert isinstance(refused, NotReleased)
    assert refused.code == "admission.release.budget"
    assert bench.jobs() == []


def test_nothing_is_admitted_without_a_runner() -> None:
    """Before the function is loaded, and after the runner is lost, jobs go elsewhere."""
    bench = Bench(ready=False)
    bench.dispatcher.runner_started("prioritised", 1)
    for verdict in (bench.local(1, 50), _after_loss(bench)):
        assert isinstance(verdict, NotAdmitted)
        assert verdict.code == "node.runner.absent"


def _after_loss(bench: Bench) -> NotAdmitted | None:
    bench.dispatcher.runner_answered(LOADED)
    bench.dispatcher.runner_lost()
    return bench.local(2, 50)


def test_a_lost_runner_fails_all_that_waits_once() -> None:
    """The running job, those that wait and the orders besides are told, each exactly once."""
    bench = Bench()
    for job in (1, 2, 3):
        bench.local(job, 50)
    bench.dispatcher.order(BATCH, bench.on("batch"))
    bench.dispatcher.runner_lost()
    assert sorted(bench.names()) == ["1", "2", "3", "batch"]
    codes = {answer.code for _, answer in bench.answers if isinstance(answer, FrameRefused)}
    assert codes == {"node.runner.lost"}
    assert bench.dispatcher.running is None
    bench.dispatcher.validate()


def test_after_a_loss_the_next_runner_works() -> None:
    """A fresh runner loads the function and then gets new jobs only."""
    bench = Bench()
    bench.local(1, 50)
    bench.dispatcher.runner_lost()
    bench.orders()
    bench.dispatcher.runner_started("prioritised", 1)
    assert [type(order) for order in bench.orders()] == [LoadBundle]
    bench.dispatcher.runner_answered(LOADED)
    assert bench.local(2, 50) is None
    assert bench.jobs() == [2]


def test_an_order_without_a_runner_is_refused_at_once() -> None:
    """While the runner is being restarted an order fails; it never takes another's answer."""
    bench = Bench()
    bench.dispatcher.runner_lost()
    bench.dispatcher.order(BATCH, bench.on("batch"))
    bench.dispatcher.runner_started("prioritised", 1)
    bench.dispatcher.runner_answered(LOADED)
    assert bench.dispatcher.is_ready
    ((name, answer),) = bench.answers
    assert name == "batch"
    assert isinstance(answer, FrameRefused)
    assert answer.code in {"node.runner.absent", "node.runner.lost"}


def test_answers_go_to_those_who_ordered() -> None:
    """The runner answers in order, so the oldest unanswered order is the one answered."""
    bench = Bench()
    for name in ("first", "second"):
        bench.dispatcher.order(BATCH, bench.on(name))
    for code in ("x.a", "x.b"):
        refusal = FrameRefused(order="SealBatch", subject="lease", code=code, sentence="No.")
        bench.dispatcher.runner_answered(refusal)
    told = [(name, getattr(answer, "code", "")) for name, answer in bench.answers]
    assert told == [("first", "x.a"), ("second", "x.b")]


def test_an_errand_waits_for_the_jobs() -> None:
    """A handshake never delays what was admitted: it runs when no released job waits."""
    bench = Bench()
    assert bench.local(1, 60) is None
    assert bench.local(2, 50) is None
    bench.dispatcher.order(BATCH, bench.on("batch"))
    assert bench.jobs() == [1]
    bench.at(1).done(1)
    assert bench.jobs() == [2]
    bench.at(2).done(2)
    assert bench.orders() == [BATCH]
    bench.dispatcher.validate()


def test_a_job_is_admitted_around_a_running_errand() -> None:
    """While an errand runs, a job that would start too late behind it is refused."""
    bench = Bench()
    bench.dispatcher.order(BATCH, bench.on("batch"))
    verdict = bench.local(1, 9)
    assert isinstance(verdict, NotAdmitted)
    assert verdict.code == "admission.job.late"
    assert bench.local(2, 10) is None
    bench.dispatcher.validate()


def test_an_errand_that_waited_long_goes_before_new_jobs() -> None:
    """Jobs of our own cannot keep a partner's handshake out for ever."""
    bench = Bench()
    for job in range(30):
        assert bench.local(job, 1_000) is None
    bench.dispatcher.order(BATCH, bench.on("batch"))
    for job in range(21):
        bench.at(5 * job).done(job)
    assert bench.local(30, 1_000) is None
    verdict = bench.at(101).local(31, 1_000)
    assert isinstance(verdict, NotAdmitted)
    assert verdict.code == "admission.job.errand-first"
    for job in range(21, 31):
        bench.at(5 * job).done(job)
    assert bench.orders()[-1] == BATCH
    assert bench.local(32, 1_000) is None


def test_an_answer_nobody_asked_for_is_refused() -> None:
    """A runner that speaks first is misbehaving."""
    with pytest.raises(PeerError) as refused:
        Bench().dispatcher.runner_answered(LOADED)
    assert refused.value.code == "node.runner.unasked"


def test_a_caller_that_fails_does_not_stop_the_queue() -> None:
    """When one job's owner cannot use its answer, the next job starts all the same."""
    bench = Bench()

    def fail(_: RunnerAnswer) -> None:
        raise PeerError("test.fault", "The owner failed.")

    order = ExecuteLocal(job=1, function=BUNDLE.digest, request=b"", budget_ns=BUDGET_NS)
    bench.dispatcher.admit(order, deadline_ns=START_NS + 50 * NS_PER_MS, on_answer=fail)
    bench.local(2, 50)
    with pytest.raises(PeerError):
        bench.done(1)
    assert bench.jobs() == [1, 2]


def test_a_bundle_the_runner_refuses_is_told() -> None:
    """Without a function the node stays unready and its operator learns why."""
    bench = Bench(ready=False)
    bench.dispatcher.runner_started("prioritised", 1)
    refusal = FrameRefused(order="LoadBundle", subject="bundle", code="functions.x", sentence="No.")
    bench.dispatcher.runner_answered(refusal)
    assert not bench.dispatcher.is_ready
    notes = [each for each in bench.station.effects.outputs if not isinstance(each, Order)]
    assert "bundle.refused" in repr(notes)
    assert "functions.x" in repr(notes)


def test_a_reservation_that_breaks_promises_is_refused() -> None:
    """A fifth stream of a quarter each does not fit; a released one makes room."""
    bench = Bench()
    verdicts = []
    for index in range(5):
        stream = Reservation(
            key=f"{index}",
            budget_ns=BUDGET_NS,
            period_ns=4 * BUDGET_NS,
            deadline_ns=8 * BUDGET_NS,
        )
        verdicts.append(bench.dispatcher.reserve(stream))
    assert [isinstance(verdict, Admitted) for verdict in verdicts] == [True] * 4 + [False]
    bench.dispatcher.release_reservation("0")
    assert isinstance(bench.reserve(), Admitted)
