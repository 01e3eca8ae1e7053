"""Simulated processes: a core, its durable rows, and crashes at every point around a commit."""

from collections import deque
from collections.abc import Callable

from mutualedge.consortium import Hub
from mutualedge.model import NS_PER_MS, NS_PER_S
from mutualedge.node import Node
from mutualedge.protocol import (
    Answer,
    Answered,
    Ask,
    Asked,
    Effects,
    Event,
    Execute,
    ExecuteLocal,
    Note,
    Order,
    Output,
    Reply,
    Request,
    Restart,
    RunnerAnswered,
    RunnerLost,
    RunnerOrder,
    RunnerStarted,
    TimerFired,
    Unanswered,
)
from mutualedge.runner import Runner
from tests.simulation.schedule import Schedule
from tests.simulation.world_store import MemoryStore

RESTART_NS = NS_PER_S
CRASH_POINTS = ("before commit", "after commit", "between outputs")

OnReply = Callable[[Reply], None]
Send = Callable[["Process", Ask], None]
Tamper = Callable[[Output], Output | None]
Boot = Callable[[MemoryStore, int], Node | Hub]


def _honest(output: Output) -> Output:
    return output


class Process:
    """A node or hub process: restarts from its rows after each crash."""

    def __init__(
        self,
        name: str,
        schedule: Schedule,
        boot: Boot,
        send: Send,
        *,
        crash_rate: float,
    ) -> None:
        self.name = name
        self.store = MemoryStore()
        self.core: Node | Hub | None = None
        self.life = 0
        self.tamper: Tamper = _honest
        self.bend: Callable[[Node | Hub], None] = lambda _core: None
        self.remembered: dict[str, object] = {}
        self.notes: list[Note] = []
        self._schedule = schedule
        self._boot = boot
        self._send = send
        self._crash_rate = crash_rate
        self._answers: dict[int, OnReply] = {}
        self._requests: dict[int, Request] = {}
        self.on_said: Callable[[Request, Reply], None] = lambda _request, _reply: None
        self._ask_count = 0
        self._wake_ns: int | None = None
        self.order: Callable[[Order], None] = lambda _: None
        self.on_start: Callable[[], None] = lambda: None
        self.on_crash: Callable[[], None] = lambda: None
        self.ahead_ns = 0
        """By how much its clock is ahead of the world's in its next life."""
        self._ahead_ns = 0

    @property
    def now_ns(self) -> int:
        """The time by its own clock, which never steps while it lives."""
        return self._schedule.now_ns + self._ahead_ns

    def start(self) -> None:
        self._ahead_ns = self.ahead_ns
        self.core = self._boot(self.store, self.now_ns)
        self.bend(self.core)
        self.life += 1
        self._wake_ns = None
        self.handle(TimerFired())
        if self.core is not None:
            self.on_start()

    def crash(self, down_ns: int) -> None:
        if self.core is None:
            return
        self._schedule.trace(f"{self.name} crashes")
        self.core = None
        self._answers.clear()
        self._requests.clear()
        self.on_crash()
        self._schedule.after(down_ns, self.start)

    def stop(self) -> None:
        """Let go of what still runs; the core stays as it is, to be looked at."""

    def ask(self, peer: str, request: Request, on_reply: OnReply) -> None:
        """Deliver a request; a process that is down never answers."""
        if self.core is None:
            return
        self._ask_count += 1
        self._answers[self._ask_count] = on_reply
        self._requests[self._ask_count] = request
        self.handle(Asked(ask_id=self._ask_count, peer=peer, request=request))

    def answered(self, life: int, event: Answered | Unanswered) -> None:
        """Deliver a reply, unless the process that asked is gone."""
        if self.core is not None and self.life == life:
            self.handle(event)

    def handle(self, event: Event) -> None:
        assert self.core is not None, "only a running process handles events"
        core = self.core
        effects = core.handle(event, self.now_ns)
        core.validate()
        self._schedule.trace(f"{self.name} {type(event).__name__} {len(effects.writes)}")
        self._perform(effects)
        if self.core is core:
            self._schedule_wake()

    def _perform(self, effects: Effects) -> None:
        point = self._crash_point() if effects.writes else None
        if point == "before commit":
            self._crash_soon()
            return
        self.store.commit(effects.writes)
        if point == "after commit":
            self._crash_soon()
            return
        outputs = effects.outputs
        if point == "between outputs":
            outputs = outputs[: len(outputs) // 2]
        for output in outputs:
            if isinstance(output, Answer):
                self.on_said(self._requests.pop(output.ask_id), output.reply)
            tampered = self.tamper(output)
            if tampered is not None:
                self._perform_output(tampered)
        if point == "between outputs":
            self._crash_soon()

    def _crash_point(self) -> str | None:
        """Draw whether this commit is one at which the process crashes, and where."""
        point = next(filter(self._schedule.is_forced, CRASH_POINTS), None)
        if point is None and self._schedule.strikes(self._crash_rate):
            point = self._schedule.random.choice(CRASH_POINTS)
        if point is not None:
            self._schedule.counts.add(f"crashed {point}")
        return point

    def _crash_soon(self) -> None:
        self.crash(self._schedule.random.randint(NS_PER_S, 60 * NS_PER_S))

    def _perform_output(self, output: Output) -> None:
        match output:
            case Ask():
                self._send(self, output)
            case Answer(ask_id=ask_id, reply=reply):
                on_reply = self._answers.pop(ask_id, None)
                if on_reply is not None:
                    on_reply(reply)
            case Order():
                self.order(output)
            case Note():
                self.count(output)
                self.notes.append(output)
            case Restart():
                self.restart()

    def count(self, note: Note) -> None:
        """Count a note, by what it is about if a peer was at fault."""
        fields = dict(note.fields)
        self._schedule.counts.add(note.name)
        if note.name == "peer.faulted":
            self._schedule.counts.add(str(fields["code"]))

    def restart(self) -> None:
        """Be made anew, as the core asked: at once, and otherwise as after a crash."""
        self._schedule.counts.add("restarted")
        self.crash(RESTART_NS)

    def _schedule_wake(self) -> None:
        assert self.core is not None
        wake_ns = self.core.wake_ns
        if wake_ns is not None and (self._wake_ns is None or wake_ns < self._wake_ns):
            self._wake_ns = wake_ns
            life = self.life
            self._schedule.at(wake_ns - self._ahead_ns, lambda: self._fire(life, wake_ns))

    def _fire(self, life: int, wake_ns: int) -> None:
        if self.core is None or self.life != life or self._wake_ns != wake_ns:
            return
        self._wake_ns = None
        self.handle(TimerFired())


class RunnerProcess:
    """The runner beside a node: orders in sequence, each taking time, killed now and then."""

    def __init__(
        self,
        node: Process,
        schedule: Schedule,
        boot: Callable[[int], Runner],
        *,
        loss_rate: float,
        job_ns: int,
    ) -> None:
        self._node = node
        self._schedule = schedule
        self._boot = boot
        self._loss_rate = loss_rate
        self._job_ns = job_ns
        self._runner: Runner | None = None
        self._orders: deque[RunnerOrder] = deque()
        self._life = 0
        self.observe: Callable[[RunnerOrder, object], None] = lambda _order, _answer: None
        node.order = self.take
        node.on_start = self.start
        node.on_crash = self.stop

    def start(self) -> None:
        self._life += 1
        self._runner = self._boot(self._life)
        self._orders.clear()
        self._node.handle(RunnerStarted(timing="prioritised", life=self._life))

    def stop(self) -> None:
        self._runner = None
        self._orders.clear()
        self._life += 1

    def take(self, order: Order) -> None:
        if self._runner is None or order.life != self._life:
            return
        self._orders.append(order.order)
        if len(self._orders) == 1:
            self._work()

    def _work(self) -> None:
        order, life = self._orders[0], self._life
        self._schedule.after(self._duration_ns(order), lambda: self._finish(life))

    def _duration_ns(self, order: RunnerOrder) -> int:
        if isinstance(order, Execute | ExecuteLocal):
            return self._schedule.random.randint(self._job_ns // 4, self._job_ns)
        return self._schedule.random.randint(NS_PER_MS // 20, NS_PER_MS // 4)

    def _finish(self, life: int) -> None:
        if self._runner is None or self._life != life:
            return
        if self._schedule.is_forced("runner lost") or self._schedule.strikes(self._loss_rate):
            self._lose()
            return
        order = self._orders[0]
        answer = self._runner.handle(order)
        self.observe(order, answer)
        self._node.handle(RunnerAnswered(answer=answer))
        if self._life == life:
            self._orders.popleft()
            if self._orders:
                self._work()

    def _lose(self) -> None:
        self._schedule.counts.add("runner lost")
        self._schedule.trace(f"{self._node.name} loses its runner")
        self.stop()
        life = self._node.life
        self._node.handle(RunnerLost())
        self._schedule.after(2 * NS_PER_S, lambda: self._restart(life))

    def _restart(self, life: int) -> None:
        if self._node.core is not None and self._node.life == life and self._runner is None:
            self.start()
