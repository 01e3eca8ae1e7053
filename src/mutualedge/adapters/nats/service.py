"""The answering side: a bounded number of handlers at work, an explicit refusal to the rest.

nats-py runs the callbacks of a subscription one after the other and drops what it cannot queue.
Here each message is looked at in the moment it is read: a free slot starts its handler at once,
no free slot sends a refusal at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from nats import errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from mutualedge.adapters.nats.wire import (
    OVERLOADED,
    VERSION_HEADERS,
    Request,
    check_payload,
    read_request,
    refusal_headers,
)
from mutualedge.errors import MutualEdgeError

Handler = Callable[[Request], Awaitable[bytes]]
Report = Callable[[str, str], None]
"""Takes an event's name (``noun.verb_past``) and its detail; must not block or raise."""

IN_FLIGHT_MAX = 1024
"""Handlers of one service at once: each may hold a full payload and its reply, 2 GiB together."""

REFUSALS_PENDING_MAX = 65_536
"""Refusals waiting to be sent, 100 bytes each; beyond this a flood is left to its own timeouts."""

HANDLER_FAILED = "nats.handler.failed"
HANDLER_TIMEOUT = "nats.handler.timeout"


class Publish(Protocol):
    """How a service sends: bounded, and failing typed when the connection is gone."""

    async def __call__(
        self, subject: str, payload: bytes, *, reply: str = "", headers: dict[str, str]
    ) -> None:
        """Hand the message to the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """How much one service takes on.

    Attributes:
        max_in_flight: Handlers at work at once; one more request is refused.
        timeout_s: A handler that takes longer is cancelled and its caller told.
    """

    max_in_flight: int
    timeout_s: float

    def __post_init__(self) -> None:
        """Refuse limits that do not limit."""
        assert 1 <= self.max_in_flight <= IN_FLIGHT_MAX, "a service has 1 to IN_FLIGHT_MAX slots"
        assert self.timeout_s > 0, "a handler needs time"


class Service:
    """One subject being answered; ``stop`` lets the handlers at work finish."""

    def __init__(
        self, handler: Handler, limits: ServiceLimits, publish: Publish, report: Report
    ) -> None:
        """Take what answers and how; ``start`` connects it to a subscription."""
        self._handler = handler
        self._limits = limits
        self._publish = publish
        self._report = report
        self._running: set[asyncio.Task[None]] = set()
        self._refusals: asyncio.Queue[tuple[str, str]] = asyncio.Queue(REFUSALS_PENDING_MAX)
        self._refuser = asyncio.get_running_loop().create_task(self._send_refusals())
        self._subscription: Subscription | None = None
        self.refused_count = 0
        self.unrefused_count = 0

    def started(self, subscription: Subscription) -> None:
        """Take the subscription that feeds ``take``."""
        self._subscription = subscription

    def take(self, message: Msg) -> None:
        """Start the message's handler or queue its refusal; called while reading, never raises."""
        if not message.reply:
            return  # nobody waits for an answer: not a request
        request = read_request(message)
        if isinstance(request, str):
            self._refuse(message.reply, request)
        elif len(self._running) >= self._limits.max_in_flight:
            self._refuse(message.reply, OVERLOADED)
        else:
            task = asyncio.get_running_loop().create_task(self._answer(request, message.reply))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def stop(self, *, drain_timeout_s: float = 0.0) -> None:
        """Take no more requests, let those at work finish for so long, then cancel them."""
        await self._unsubscribe()
        tasks = [*self._running]
        if tasks and drain_timeout_s > 0:
            await asyncio.wait(tasks, timeout=drain_timeout_s)
        for task in (*tasks, self._refuser):
            task.cancel()
        await asyncio.wait((*tasks, self._refuser))

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        try:
            await subscription.unsubscribe()
        except errors.ConnectionClosedError:
            self._report("service.disconnected", subscription.subject)

    def _refuse(self, reply: str, code: str) -> None:
        try:
            self._refusals.put_nowait((reply, code))
        except asyncio.QueueFull:
            self.unrefused_count += 1
        else:
            self.refused_count += 1

    async def _answer(self, request: Request, reply: str) -> None:
        headers = VERSION_HEADERS
        payload = b""
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                payload = await self._handler(request)
            check_payload(payload, f"the reply on '{request.subject}'")
        except TimeoutError:
            headers = refusal_headers(HANDLER_TIMEOUT)
            self._report("handler.timed_out", request.subject)
        except MutualEdgeError as error:
            payload, headers = b"", refusal_headers(error.code)
            self._report("handler.refused", str(error))
        except Exception as error:  # noqa: BLE001 - one request is the unit of work that ends here
            headers = refusal_headers(HANDLER_FAILED)
            self._report("handler.failed", f"{request.subject}: {error!r}")
        await self._send(reply, payload, headers)

    async def _send(self, reply: str, payload: bytes, headers: dict[str, str]) -> None:
        try:
            await self._publish(reply, payload, headers=headers)
        except MutualEdgeError as error:
            self._report("reply.lost", str(error))

    async def _send_refusals(self) -> None:
        while True:
            reply, code = await self._refusals.get()
            await self._send(reply, b"", refusal_headers(code))
