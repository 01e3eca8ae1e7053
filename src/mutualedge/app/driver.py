"""Performs what a core decided: commit first, then let the outputs leave.

One loop per process. Events that arrive while a commit is under way wait and are handled, and
committed, together: group commit without a timer.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, assert_never

from mutualedge.errors import MutualEdgeError
from mutualedge.model import NS_PER_MS, NS_PER_S, EnterpriseId
from mutualedge.protocol import (
    Answer,
    Answered,
    Ask,
    Asked,
    Effects,
    Event,
    Note,
    Order,
    Output,
    Refused,
    Reply,
    Request,
    Restart,
    StoreView,
    TimerFired,
    Unanswered,
    Write,
)

EVENTS_MAX = 4096
"""Events that may wait; above it a requester is told to come back."""

BATCH_MAX = 256
"""Events handled before one commit: bounds how long the first of them waits."""


QUICK_COMMIT_NS = 1 * NS_PER_MS
"""A disk that needed less for the last commit is written to without a thread in between: two
switches cost 0.2 ms. While a commit lasts no event is handled anyway; a slower disk gets the
thread, so that the connections are read meanwhile."""


class Restarting(Exception):  # it is no error: the core asked for it
    """``Driver.run`` ended, and the core must be made anew from its rows.

    Only the composition roots catch it.
    """


class Core(Protocol):
    """What a driver drives: a node or a hub."""

    @property
    def wake_ns(self) -> int | None:
        """When ``TimerFired`` is due, if it is."""
        ...

    def handle(self, event: Event, now_ns: int) -> Effects:
        """Return what to do about an event."""
        ...


class Store(StoreView, Protocol):
    """Where rows are durable once ``commit`` returned."""

    def commit(self, writes: Iterable[Write]) -> None:
        """Make all rows durable, or none."""
        ...


class Bus(Protocol):
    """How requests reach other parties."""

    async def request(self, peer: EnterpriseId, request: Request, timeout_ns: int) -> Reply:
        """Return the peer's reply.

        Raises:
            MutualEdgeError: None came in time, or it cannot be understood.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything a driver performs effects on."""

    store: Store
    bus: Bus
    order: Callable[[Order], None]
    note: Callable[[Note], None]
    clock_ns: Callable[[], int]


class Driver:
    """Runs one core until it is cancelled."""

    def __init__(self, core: Core, ports: Ports) -> None:
        """Take the core and what it acts on."""
        self._core = core
        self._ports = ports
        self._events: deque[Event] = deque()
        self._awake: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_ns = 0
        self._commit_ns = 0
        self._answers: dict[int, asyncio.Future[Reply]] = {}
        self._ask_count = 0
        self._committer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._asking: asyncio.TaskGroup | None = None
        self._restart_reason = ""

    def post(self, event: Event) -> None:
        """Hand the core an event."""
        self._events.append(event)
        self._wake()

    def _wake(self) -> None:
        """End the wait for an event, if there is one."""
        if self._awake is not None and not self._awake.done():
            self._awake.set_result(None)

    async def ask(self, peer: str, request: Request) -> Reply:
        """Return the core's answer to a request that arrived."""
        if len(self._events) >= EVENTS_MAX:
            return Refused(code="node.events.full", sentence="The node is busy; ask again.")
        self._ask_count += 1
        ask_id = self._ask_count
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._answers[ask_id] = answer
        self.post(Asked(ask_id=ask_id, peer=peer, request=request))
        try:
            return await answer
        finally:
            del self._answers[ask_id]

    async def run(self) -> None:
        """Handle events for ever; an error in core or store ends the process with it.

        Raises:
            Restarting: The core asked to be made anew; what it decided so far was performed.
        """
        try:
            async with asyncio.TaskGroup() as asking:
                self._asking = asking
                while True:
                    await self._step()
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
            self._committer.shutdown(wait=True)

    async def _step(self) -> None:
        await self._wait_event()
        batch = [self._events.popleft() for _ in range(min(BATCH_MAX, len(self._events)))]
        now_ns = self._ports.clock_ns()
        wake_ns = self._core.wake_ns
        if wake_ns is not None and wake_ns <= now_ns:
            batch.append(TimerFired())
        decided = [self._core.handle(event, now_ns) for event in batch]
        writes = [write for effects in decided for write in effects.writes]
        if writes:
            await self._commit(writes)
        for effects in decided:
            for output in effects.outputs:
                self._perform(output)
        if self._restart_reason:
            await asyncio.sleep(0)  # whoever was just answered passes the answer on
            raise Restarting(self._restart_reason)

    async def _commit(self, writes: list[Write]) -> None:
        """Return once all of these rows are durable."""
        begun_ns = self._ports.clock_ns()
        if self._commit_ns < QUICK_COMMIT_NS:
            self._ports.store.commit(writes)
        else:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._committer, self._ports.store.commit, writes)
        self._commit_ns = self._ports.clock_ns() - begun_ns

    async def _wait_event(self) -> None:
        """Return when an event waits or a timer is due."""
        wake_ns = self._core.wake_ns
        delay_ns = None if wake_ns is None else wake_ns - self._ports.clock_ns()
        if self._events or (delay_ns is not None and delay_ns <= 0):
            await asyncio.sleep(0)
            return
        if wake_ns is not None and delay_ns is not None:
            self._set_alarm(wake_ns, delay_ns)
        self._awake = asyncio.get_running_loop().create_future()
        try:
            await self._awake
        finally:
            self._awake = None

    def _set_alarm(self, wake_ns: int, delay_ns: int) -> None:
        """Be woken by then; an alarm set for earlier stays, and sets the next one when it rings."""
        if self._alarm is not None:
            if self._alarm_ns <= wake_ns:
                return
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_later(delay_ns / NS_PER_S, self._ring)
        self._alarm_ns = wake_ns

    def _ring(self) -> None:
        self._alarm = None
        self._wake()

    def _perform(self, output: Output) -> None:
        assert self._asking is not None, "outputs are performed inside run"
        match output:
            case Answer(ask_id=ask_id, reply=reply):
                answer = self._answers.get(ask_id)
                if answer is not None and not answer.done():
                    answer.set_result(reply)
            case Ask():
                self._asking.create_task(self._ask_peer(output))
            case Order():
                self._ports.order(output)
            case Note():
                self._ports.note(output)
            case Restart(reason=reason):
                self._restart_reason = reason
                self._ports.note(Note(name="core.restarted", fields=(("reason", reason),)))
            case _:
                assert_never(output)

    async def _ask_peer(self, ask: Ask) -> None:
        try:
            reply = await self._ports.bus.request(ask.peer, ask.request, ask.timeout_ns)
        except MutualEdgeError as error:
            self.post(
                Unanswered(request_id=ask.request_id, code=error.code, sentence=error.sentence)
            )
        else:
            self.post(Answered(request_id=ask.request_id, reply=reply))
