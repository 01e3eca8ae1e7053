"""The product's driver alone: a clerk to drive, a slow disk, a bus, a runner, and customers."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mutualedge.app.driver import BATCH_MAX, EVENTS_MAX, Driver, Ports
from mutualedge.errors import PeerError
from mutualedge.model import NS_PER_MS, NS_PER_S, Digest, EnterpriseId, LeaseId
from mutualedge.protocol import (
    Accepted,
    Answer,
    Answered,
    Ask,
    Asked,
    AskOffer,
    BundleLoaded,
    Effects,
    Event,
    Note,
    Order,
    Refused,
    Reply,
    Request,
    RunnerAnswered,
    SealBatch,
    TimerFired,
    Unanswered,
    Write,
)
from tests.simulation.schedule import Schedule
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.world_store import MemoryStore

TICK_NS = 20 * NS_PER_MS
KEPT = "kept"
REQUEST = AskOffer(function=Digest("ab" * 32))
ORDER = SealBatch(lease=LeaseId("ab" * 32))
LOADED = RunnerAnswered(answer=BundleLoaded(function=Digest("ab" * 32), fuel_per_ms=1))


@dataclass(slots=True, kw_only=True)
class Clerk:
    """A core that keeps a row about every event, says so, asks around, and minds a clock."""

    wake_ns: int | None
    handled: int = 0
    ticks: int = 0
    overdue: int = 0
    unsettled: dict[int, None] = field(default_factory=dict)

    def handle(self, event: Event, now_ns: int) -> Effects:
        assert self.wake_ns is not None
        self.handled += 1
        self.overdue = self.overdue + 1 if self.wake_ns <= now_ns else 0
        assert self.overdue <= BATCH_MAX + 1, "a due timer waits for a batch at most"
        key = str(self.handled)
        effects = Effects(writes=[Write(bucket=KEPT, key=key, value=b"1")])
        effects.outputs.append(Note(name="event.kept", fields=(("key", key),)))
        match event:
            case Asked(ask_id=ask_id):
                effects.outputs.extend(self._spread())
                effects.outputs.append(Answer(ask_id=ask_id, reply=Accepted()))
            case Answered(request_id=request_id) | Unanswered(request_id=request_id):
                del self.unsettled[request_id]
            case TimerFired():
                assert self.wake_ns <= now_ns, "a timer never fires early"
                self.wake_ns, self.overdue, self.ticks = now_ns + TICK_NS, 0, self.ticks + 1
            case _:
                assert event == LOADED
        return effects

    def _spread(self) -> Iterator[Ask | Order]:
        if self.handled % 3 == 0:
            self.unsettled[self.handled] = None
            yield Ask(
                request_id=self.handled,
                peer=EnterpriseId("peer"),
                request=REQUEST,
                timeout_ns=NS_PER_S,
            )
        if self.handled % 5 == 0:
            yield Order(order=ORDER, life=1)


class Desk:
    """One process: it is asked, crashes, starts again, and is held to what it said."""

    def __init__(self, schedule: Schedule, loop: VirtualLoop) -> None:
        self.store = MemoryStore()
        self.asked = self.answered = self.refused = self.batches = self.largest = 0
        self.disk_ns_max = 100_000
        self._schedule = schedule
        self._loop = loop
        self._asking: dict[asyncio.Task[None], None] = {}
        self.start()

    def start(self) -> None:
        """Begin a life with empty rows, so that each key is one event of this life."""
        self.store = MemoryStore()
        self.orders = self.order_answers = 0
        self.clerk = Clerk(wake_ns=self._schedule.now_ns + TICK_NS)
        ports = Ports(
            store=self, bus=self, order=self.order, note=self.note, clock_ns=self.clock_ns
        )
        self.driver = Driver(self.clerk, ports)
        self.running = self._loop.create_task(self.driver.run())
        self._loop.drain()

    def close(self) -> None:
        """Stop wherever the driver is, in a commit as well as between two outputs."""
        for task in (self.running, *self._asking):
            task.cancel()
        self.asked -= len(self._asking)
        self._loop.drain()
        assert self.running.cancelled(), self.running.exception()

    def crash(self) -> None:
        self.close()
        self.start()

    def clock_ns(self) -> int:
        return self._schedule.now_ns

    def disk_ns(self) -> int:
        return self._schedule.random.randint(1, self.disk_ns_max)

    def commit(self, writes: Iterable[Write]) -> None:
        rows = list(writes)
        assert len(rows) <= BATCH_MAX + 1, "a commit holds one batch and one timer"
        self.batches, self.largest = self.batches + 1, max(self.largest, len(rows))
        self._schedule.now_ns += self.disk_ns()
        self.store.commit(rows)

    def get(self, bucket: str, key: str) -> bytes | None:
        return self.store.get(bucket, key)

    def scan(self, bucket: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        return self.store.scan(bucket, prefix)

    def last_key(self, bucket: str) -> str | None:
        return self.store.last_key(bucket)

    def note(self, note: Note) -> None:
        key = str(dict(note.fields)["key"])
        assert self.store.get(KEPT, key) is not None, f"{key} was said before it was kept"

    def order(self, order: Order) -> None:
        assert order.life == 1
        self.orders += 1
        driver = self.driver
        self._schedule.after(NS_PER_MS, lambda: self._post(driver))

    def _post(self, driver: Driver) -> None:
        if driver is self.driver:
            self.order_answers += 1
            driver.post(LOADED)
            self._loop.drain()

    async def request(self, peer: EnterpriseId, request: Request, timeout_ns: int) -> Reply:
        assert (peer, request) == ("peer", REQUEST)
        await asyncio.sleep(self._schedule.random.random() * timeout_ns / NS_PER_S)
        if self._schedule.random.random() < 0.2:
            raise PeerError("sim.timeout", "No reply came.")
        return Accepted()

    def ask(self, count: int, *, again: int = 0) -> None:
        """Ask so often at once; each asks on, so many times more, as soon as it is answered."""
        for _ in range(count):
            task = self._loop.create_task(self._ask(again))
            self._asking[task] = None
            task.add_done_callback(lambda done: self._asking.pop(done, None))
        self._loop.drain()

    async def _ask(self, again: int) -> None:
        for _ in range(1 + again):
            waiting = self.asked - self.answered - self.refused
            self.asked += 1
            reply = await self.driver.ask("device", REQUEST)
            if isinstance(reply, Refused):
                assert waiting >= EVENTS_MAX, "refused although there was room"
                self.refused += 1
            else:
                self.answered += 1
