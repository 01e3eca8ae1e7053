"""Two members and a hub in one room: candy borrows from forge, and every message is at hand."""

import hashlib
import itertools
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from mutualedge.consortium import Hub
from mutualedge.functions import Runtime, anomaly_bundle
from mutualedge.identity import Consortium
from mutualedge.model import (
    NS_PER_MS,
    AssuranceLevel,
    DeviceId,
    EnterpriseId,
    InvocationId,
    LeaseId,
    Nanoseconds,
)
from mutualedge.node import Borrowing, Lending, Node, NodeSettings
from mutualedge.node.leases import HeldLease
from mutualedge.node.station import Station
from mutualedge.protocol import (
    Answer,
    Answered,
    Ask,
    Asked,
    Call,
    Effects,
    Event,
    Note,
    Order,
    Reading,
    Refused,
    Reply,
    Request,
    Restart,
    RunnerAnswered,
    RunnerLost,
    RunnerOrder,
    RunnerStarted,
    TimerFired,
    Unanswered,
    encode_message,
    parse_reply,
    parse_request,
)
from mutualedge.runner import Attester, Runner
from mutualedge.signing import Entropy
from tests.simulation.founding import Founded, found, keys_of, seed_of
from tests.simulation.remembering import RememberingRuntime
from tests.simulation.schedule import START_NS
from tests.simulation.world_store import MemoryStore

HUB, CANDY, FORGE = (EnterpriseId(name) for name in ("hub", "candy", "forge"))
BUNDLE = anomaly_bundle()
WINDOW_CALLS = 4
CALL_MICROCREDITS = 500
PERIOD_MS = 20
REMAINING_MS = 40
LEASE_MS = 60_000
GRACE_MS = 5_000
DISPUTE_MS = 20_000
WINDOW_MS = 10_000

T = TypeVar("T")
Collect = Callable[[bytes], bytes]
OnReply = Callable[[Reply], None]


@cache
def founded() -> Founded:
    return found((CANDY, FORGE))


def node_settings(name: str) -> NodeSettings:
    """Forge lends one call every 20 ms; candy borrows from forge, a minute at a time."""
    lending = Lending(
        budget_ns=5 * NS_PER_MS,
        period_ns=PERIOD_MS * NS_PER_MS,
        deadline_ns=PERIOD_MS * NS_PER_MS,
        price_microcredits=100,
        credit_microcredits=10**9,
    )
    borrowing = Borrowing(
        providers=(FORGE,), lease_ms=LEASE_MS, renew_before_ms=1_000, price_max_microcredits=100
    )
    return NodeSettings(
        function=BUNDLE.digest,
        bundle=BUNDLE.raw,
        collateral=founded().platforms[name].collateral,
        job_budget_ns=5 * NS_PER_MS,
        lending=lending if name == FORGE else None,
        borrowing=borrowing if name == CANDY else None,
        network_ms=5,
        window_calls=WINDOW_CALLS,
        window_ms=WINDOW_MS,
        dispute_window_ms=DISPUTE_MS,
        settle_grace_ms=GRACE_MS,
        checkpoint_every_ms=5_000,
        follow_every_ms=1_000,
        request_timeout_ms=1_000,
    )


def new_node(name: str, store: MemoryStore, now_ns: int, settings: NodeSettings) -> Node:
    return Node(
        enterprise=EnterpriseId(name),
        consortium=founded().consortium,
        settings=settings,
        keys=keys_of(name),
        entropy=Entropy(seed_of(name, str(now_ns))),
        store=store,
        now_ns=now_ns,
    )


def new_hub(store: MemoryStore) -> Hub:
    return Hub(
        consortium=founded().consortium,
        writer=founded().writer,
        witness=founded().witness,
        store=store,
    )


def new_station(name: str = CANDY) -> Station:
    station = Station(
        me=founded().consortium.member(EnterpriseId(name)),
        consortium=founded().consortium,
        settings=node_settings(name),
        keys=keys_of(name),
        entropy=Entropy(seed_of("station")),
    )
    station.begin(START_NS)
    return station


def new_runner(
    name: str,
    life: int = 1,
    *,
    collect: Collect | None = None,
    runtime: Runtime | None = None,
    consortium: Consortium | None = None,
) -> Runner:
    platform = founded().platforms[name]
    return Runner(
        consortium=consortium or founded().consortium,
        runtime=runtime or RememberingRuntime(),
        attester=Attester(backend=platform.backend, collect=collect or platform.collect),
        assurance=AssuranceLevel.SIMULATED,
        entropy=Entropy(seed_of(name, "runner", str(life))),
        clock_ns=itertools.count(step=1_000_000).__next__,
    )


def invocation_of(number: int) -> InvocationId:
    return InvocationId(hashlib.sha256(b"%d" % number).hexdigest()[:32])


def reading_of(number: int, device: str = "press", *, remaining_ms: int = REMAINING_MS) -> Reading:
    return Reading(
        device=DeviceId(device),
        invocation=invocation_of(number),
        readings=(20.0, 20.5),
        remaining_ns=Nanoseconds(remaining_ms * NS_PER_MS),
    )


class Side:
    """A node or the hub, its rows, its runner, and everything it said."""

    def __init__(self, world: "World", name: str) -> None:
        self.world, self.name = world, name
        self.settings = node_settings(name) if name != HUB else None
        self.store = MemoryStore()
        self.core: Node | Hub = self._boot()
        self.runner: Runner | None = None
        self.lives = 0
        self.orders: deque[RunnerOrder] = deque()
        self.replies: dict[int, Reply] = {}
        self.notes: list[Note] = []
        self.sent: list[Ask] = []
        self.restarts: list[str] = []
        self.is_stubborn = False  # goes on although it asked to be made anew
        self.effects = Effects()
        self._on_reply: dict[int, OnReply] = {}
        self._ask_count = 0

    def _boot(self) -> Node | Hub:
        if self.settings is None:
            return new_hub(self.store)
        return new_node(self.name, self.store, self.world.now_ns, self.settings)

    @property
    def node(self) -> Node:
        assert isinstance(self.core, Node)
        return self.core

    @property
    def hub(self) -> Hub:
        assert isinstance(self.core, Hub)
        return self.core

    def restart(self) -> None:
        """Forget everything but the rows; whatever it waited for never comes."""
        self.orders.clear()
        self._on_reply.clear()
        self.runner = None
        self.world.queue = deque(entry for entry in self.world.queue if entry[0] is not self)
        self.core = self._boot()

    def start_runner(self, runner: Runner | None = None, timing: str = "prioritised") -> None:
        self.lives += 1
        believed = self.node.consortium
        self.runner = runner or new_runner(self.name, self.lives, consortium=believed)
        self.handle(RunnerStarted(timing=timing, life=self.lives))

    def lose_runner(self) -> None:
        self.runner = None
        self.orders.clear()
        self.handle(RunnerLost())

    def handle(self, event: Event) -> Effects:
        """Commit the writes, then let the outputs go where they belong."""
        self.effects = self.core.handle(event, self.world.now_ns)
        self.core.validate()
        self.store.commit(self.effects.writes)
        for output in self.effects.outputs:
            match output:
                case Ask():
                    self.sent.append(output)
                    self.world.queue.append((self, output))
                case Answer(ask_id=ask_id, reply=reply):
                    self._on_reply.pop(ask_id, lambda _: None)(reply)
                    self.replies[ask_id] = reply
                case Order(order=order, life=life):
                    assert life == self.lives, "orders are for the runner that runs now"
                    self.orders.append(order)
                case Note():
                    self.notes.append(output)
                case Restart(reason=reason):
                    self.restarts.append(reason)
        if any(isinstance(output, Restart) for output in self.effects.outputs):
            self._start_anew()
        return self.effects

    def _start_anew(self) -> None:
        """Do what a composition root does when its core asks for it."""
        if self.is_stubborn:
            return
        had_runner = self.runner is not None
        self.restart()
        if had_runner:
            self.start_runner()

    def later(self, action: Callable[[], None]) -> None:
        """Have the node do something of its own accord at its next timer."""
        self.node._station.after(0, action)

    def ask(self, request: Request, peer: str = "device", on_reply: OnReply | None = None) -> int:
        self._ask_count += 1
        if on_reply is not None:
            self._on_reply[self._ask_count] = on_reply
        self.handle(Asked(ask_id=self._ask_count, peer=peer, request=request))
        return self._ask_count

    def answer_to(self, request: Request, peer: str = "device") -> Reply:
        """Return the reply, once everybody did what there is to do at this instant."""
        ask_id = self.ask(request, peer)
        self.world.settle()
        return self.replies[ask_id]

    def noted(self, name: str) -> list[dict[str, str | int]]:
        return [dict(note.fields) for note in self.notes if note.name == name]

    def asked(self, kind: type[T]) -> list[T]:
        return [ask.request for ask in self.sent if isinstance(ask.request, kind)]

    @property
    def lease(self) -> HeldLease:
        """The only lease this side holds."""
        leases = self.node._borrower.leases if self.name == CANDY else self.node._provider.leases
        (lease,) = leases.values()
        return lease


class World:
    """Carries messages at once; time passes only in ``run``."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self.queue: deque[tuple[Side, Ask]] = deque()
        self.holding: tuple[type, ...] = ()
        self.held: list[tuple[Side, Ask]] = []
        self.bend: Callable[[Reply], Reply] = lambda reply: reply
        self.hub, self.candy, self.forge = (Side(self, name) for name in (HUB, CANDY, FORGE))
        self.sides = {side.name: side for side in (self.hub, self.forge)}

    def settle(self) -> None:
        """Let runners work and messages arrive until nothing is left to do now."""
        while self._step():
            pass

    def _step(self) -> bool:
        for side in self.sides.values():
            if side.runner is not None and side.orders:
                answer = side.runner.handle(side.orders.popleft())
                side.handle(RunnerAnswered(answer=answer))
                return True
        if not self.queue:
            return False
        sender, ask = self.queue.popleft()
        if isinstance(ask.request, self.holding):
            self.held.append((sender, ask))
        elif ask.peer not in self.sides:
            self.time_out(sender, ask)
        else:
            self.deliver(sender, ask)
        return True

    def deliver(self, sender: Side, ask: Ask) -> None:
        def on_reply(reply: Reply) -> None:
            back = parse_reply(encode_message(self.bend(reply)))
            sender.handle(Answered(request_id=ask.request_id, reply=back))

        request = parse_request(encode_message(ask.request))
        self.sides[ask.peer].ask(request, sender.name, on_reply)

    def time_out(self, sender: Side, ask: Ask) -> None:
        unanswered = Unanswered(
            request_id=ask.request_id, code="test.timeout", sentence="No reply came."
        )
        sender.handle(unanswered)

    def run(self, duration_ms: float) -> None:
        """Let this much time pass, with every timer on time."""
        end_ns = self.now_ns + int(duration_ms * NS_PER_MS)
        self.settle()
        while (due := self._next_due(end_ns)) is not None:
            self.now_ns = max(self.now_ns, due[0])
            due[1].handle(TimerFired())
            self.settle()
        self.now_ns = end_ns

    def _next_due(self, end_ns: int) -> tuple[int, Side] | None:
        times = [(side.core.wake_ns, side) for side in self.sides.values()]
        due = [(at_ns, side) for at_ns, side in times if at_ns is not None and at_ns <= end_ns]
        return min(due, key=lambda each: each[0], default=None)

    def join_candy(self) -> None:
        """Let candy take part, once the ledger shows how much forge lets it owe."""
        self.forge.start_runner()
        self.run(20)
        self.sides[CANDY] = self.candy

    def read(
        self, number: int, device: str = "press", *, remaining_ms: int = REMAINING_MS
    ) -> Reply:
        """Return what candy answers one reading, and let the next slot of the lease come."""
        request = reading_of(number, device, remaining_ms=remaining_ms)
        ask_id = self.candy.ask(request)
        self.run(PERIOD_MS + 5)
        return self.candy.replies[ask_id]

    @property
    def lease_id(self) -> LeaseId:
        return self.candy.lease.lease_id


def joined_world(settings: NodeSettings | None = None, *, runner: Runner | None = None) -> World:
    """Return a world where candy is about to ask forge for a lease.

    Args:
        settings: Candy's, where they differ.
        runner: Forge's, where it differs.
    """
    world = World()
    if settings is not None:
        world.candy.settings = settings
        world.candy.restart()
    world.join_candy()
    if runner is not None:
        world.forge.lose_runner()
        world.forge.start_runner(runner)
    return world


def open_world(settings: NodeSettings | None = None, *, runner: Runner | None = None) -> World:
    """Return a world with an open lease and session; candy has no runner, so all calls leave."""
    world = joined_world(settings, runner=runner)
    world.run(3_000)
    assert world.candy.node.snapshot().sessions == 1, world.candy.notes
    return world


def sealed_call(world: World, number: int, device: str = "press") -> Call:
    """Return a call that candy sealed and booked but that did not leave."""
    before, world.holding = world.holding, (*world.holding, Call)
    world.candy.ask(reading_of(number, device))
    world.settle()
    world.holding = before
    _, ask = world.held.pop()
    assert isinstance(ask.request, Call)
    return ask.request


def code_of(reply: Reply) -> str:
    """Return why a reply is a refusal, or nothing when it is none."""
    return reply.code if isinstance(reply, Refused) else ""
