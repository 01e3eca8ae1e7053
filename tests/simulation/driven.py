"""Simulated processes around the product's own driver: asyncio code under the virtual clock."""

import asyncio
from collections.abc import Coroutine, Iterable

from mutualedge.app.driver import BATCH_MAX, Driver, Ports, Restarting
from mutualedge.consortium import Hub
from mutualedge.errors import PeerError
from mutualedge.model import EnterpriseId
from mutualedge.node import Node
from mutualedge.protocol import (
    Answered,
    Ask,
    Effects,
    Event,
    Note,
    Order,
    Reply,
    Request,
    TimerFired,
    Unanswered,
    Write,
)
from tests.simulation.processes import Boot, OnReply, Process, Send
from tests.simulation.schedule import Schedule
from tests.simulation.virtual_loop import VirtualLoop


class Struck(Exception):  # it is no error: the process was killed here
    """A crash at this point of the driver's work."""


class Watched:
    """A core that is checked after every event, and that notices when its timers wait."""

    def __init__(self, core: Node | Hub, name: str, schedule: Schedule) -> None:
        self._core = core
        self._name = name
        self._schedule = schedule
        self._overdue_count = 0

    @property
    def wake_ns(self) -> int | None:
        return self._core.wake_ns

    def handle(self, event: Event, now_ns: int) -> Effects:
        is_due = self.wake_ns is not None and self.wake_ns <= now_ns
        self._overdue_count = self._overdue_count + 1 if is_due else 0
        assert self._overdue_count <= BATCH_MAX + 1, f"the timers of {self._name} starve"
        effects = self._core.handle(event, now_ns)
        self._core.validate()
        if isinstance(event, TimerFired):
            self._overdue_count = 0
        self._schedule.trace(f"{self._name} {type(event).__name__} {len(effects.writes)}")
        return effects


class DrivenProcess(Process):
    """A process whose effects the product's driver performs; it lies to nobody."""

    def __init__(
        self,
        name: str,
        schedule: Schedule,
        boot: Boot,
        send: Send,
        *,
        crash_rate: float,
        loop: VirtualLoop,
    ) -> None:
        super().__init__(name, schedule, boot, send, crash_rate=crash_rate)
        self._loop = loop
        self._driver: Driver | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._replies: dict[int, asyncio.Future[Reply]] = {}
        self._is_doomed = False

    def start(self) -> None:
        self._ahead_ns = self.ahead_ns
        core = self.core = self._boot(self.store, self.now_ns)
        self.life += 1
        self._is_doomed = False
        ports = Ports(
            store=self, bus=self, order=self._ordered, note=self._noted, clock_ns=self._clock_ns
        )
        self._driver = Driver(Watched(core, self.name, self._schedule), ports)
        self._spawn(self._drive(self._driver))
        if self.core is core:
            self.on_start()

    def _clock_ns(self) -> int:
        return self.now_ns

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        task.add_done_callback(self._loop.keep_end)
        self._loop.drain()

    async def _drive(self, driver: Driver) -> None:
        try:
            await driver.run()
        except* Struck:
            self._crash_soon()
        except* Restarting:
            self.restart()

    def crash(self, down_ns: int) -> None:
        """Die now: whatever was under way stays as it is, and nobody hears of it."""
        if self.core is None:
            return
        self.stop()
        super().crash(down_ns)

    def stop(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        self._tasks.clear()
        self._replies.clear()
        self._driver = None
        self._loop.drain()

    def ask(self, peer: str, request: Request, on_reply: OnReply) -> None:
        if self._driver is not None:
            self._spawn(self._answer(self._driver, peer, request, on_reply))

    async def _answer(self, driver: Driver, peer: str, request: Request, on_reply: OnReply) -> None:
        reply = await driver.ask(peer, request)
        self.on_said(request, reply)
        on_reply(reply)

    def handle(self, event: Event) -> None:
        if self._driver is not None:
            self._driver.post(event)
            self._loop.drain()

    def answered(self, life: int, event: Answered | Unanswered) -> None:
        waiting = self._replies.pop(event.request_id, None)
        if self.life != life or waiting is None or waiting.done():
            return
        if isinstance(event, Answered):
            waiting.set_result(event.reply)
        else:
            waiting.set_exception(PeerError(event.code, event.sentence))
        self._loop.drain()

    async def request(self, peer: EnterpriseId, request: Request, timeout_ns: int) -> Reply:
        """Be the driver's bus."""
        self._ask_count += 1
        waiting: asyncio.Future[Reply] = self._loop.create_future()
        self._replies[self._ask_count] = waiting
        ask = Ask(request_id=self._ask_count, peer=peer, request=request, timeout_ns=timeout_ns)
        self._send(self, ask)
        return await waiting

    def commit(self, writes: Iterable[Write]) -> None:
        """Be the driver's store, which a crash may strike."""
        assert self.core is not None, "a dead process writes"
        point = self._crash_point()
        if point == "before commit":
            raise Struck
        self.store.commit(writes)
        if point == "after commit":
            raise Struck
        self._is_doomed = point == "between outputs"
        if self._is_doomed:
            self._loop.call_soon(self._strike, self.life)

    def _strike(self, life: int) -> None:
        """Die after this batch's outputs, if none of them was where it happened."""
        if self.life == life and self.core is not None:
            self._crash_soon()

    def get(self, bucket: str, key: str) -> bytes | None:
        return self.store.get(bucket, key)

    def scan(self, bucket: str, prefix: str = "") -> "Iterable[tuple[str, bytes]]":
        return self.store.scan(bucket, prefix)

    def last_key(self, bucket: str) -> str | None:
        return self.store.last_key(bucket)

    def _ordered(self, order: Order) -> None:
        if self._is_doomed:
            raise Struck
        self.order(order)

    def _noted(self, note: Note) -> None:
        if self._is_doomed:
            raise Struck
        self.count(note)
