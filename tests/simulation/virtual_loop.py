"""An asyncio event loop whose clock is the simulator's: no selector, no thread, no waiting.

Its timers are entries of the schedule; its callbacks run to the end of the present instant
whenever something happened. Code that is written for asyncio then repeats itself from one seed.
"""

import asyncio
import contextvars
import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple

from mutualedge.model import NS_PER_S
from tests.simulation.schedule import START_NS, Schedule

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class VirtualLoop(asyncio.BaseEventLoop):
    """One loop for every process of a simulated world."""

    _ready: deque[asyncio.Handle]
    """The base loop's queue of what can run now; its type stubs do not show it."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule
        self._selector = _NothingToSelect()
        self._failures: list[BaseException] = []
        self.executor_ns: Callable[[], int] = lambda: 0
        self.set_exception_handler(self._keep_failure)

    def time(self) -> float:
        return (self._schedule.now_ns - START_NS) / NS_PER_S

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Put the timer into the schedule; a nanosecond late at most, never early."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._schedule.at(START_NS + math.ceil(when * NS_PER_S), lambda: self._due(handle))
        return handle

    def _due(self, handle: asyncio.TimerHandle) -> None:
        if not handle.cancelled():
            self._ready.append(handle)
            self.drain()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Carry a blocking call out in no thread, some time later."""
        assert executor is not None, "nobody here uses the default executor"
        future: asyncio.Future[T] = self.create_future()

        def finish() -> None:
            if not future.cancelled():
                self._carry_out(future, func, *args)
            self.drain()

        self._schedule.after(self.executor_ns(), finish)
        return future

    @staticmethod
    def _carry_out(future: asyncio.Future[T], func: Callable[[*Ts], T], *args: *Ts) -> None:
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # whatever it is belongs to who awaits it
            future.set_exception(error)

    def drain(self) -> None:
        """Run whatever can run now; nothing if a callback of this loop is what called."""
        while self._ready and not self.is_running():
            self.call_soon(self.stop)
            self.run_forever()
        if self._failures and not self.is_running():
            raise self._failures.pop()

    def keep_end(self, task: asyncio.Task[None]) -> None:
        """Let the run fail with whatever ended a task that nobody awaits."""
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._failures.append(failure)

    def _keep_failure(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        failure = context.get("exception")
        fallback = AssertionError(str(context.get("message")))
        self._failures.append(failure if isinstance(failure, BaseException) else fallback)

    def _process_events(self, event_list: list[object]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        """Wake no other thread: there is none."""


class _NothingToSelect:
    """What the base loop asks for sockets; it may never wait, time passes in the schedule."""

    def select(self, timeout: float | None) -> list[object]:
        assert timeout == 0, "the loop ran although nothing was ready"
        return []
