"""The asyncio client: requests with typed failures, services with limits, reconnection for ever.

Built on nats-py's connection, but not on its request and callback machinery: replies and requests
are taken straight from its read loop, one task switch earlier and without its silent limits.
"""

import asyncio
import base64
import random
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import msgspec
from nats import errors
from nats.aio.client import Client, Server
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport

from mutualedge.adapters.nats.configuration import INBOXES, inbox_prefix
from mutualedge.adapters.nats.nkeys import Nkey
from mutualedge.adapters.nats.service import Handler, Report, Service, ServiceLimits
from mutualedge.adapters.nats.wire import (
    VERSION_HEADERS,
    check_payload,
    parse_reply,
)
from mutualedge.errors import MutualEdgeError, Unreachable, UsageError

CONNECT_TIMEOUT_S = 5.0
"""A local server is up in 20 ms; five seconds also cover one that is being restarted."""

CONNECT_RETRY_S = 0.05

RECONNECT_DELAY_MIN_S = 0.02
RECONNECT_DELAY_MAX_S = 1.0
"""Jittered exponential pauses: a restarted server is found at once, a dead one costs nothing."""

PING_INTERVAL_S = 5
PINGS_OUTSTANDING_MAX = 2
"""A server that hangs without closing is given up after 10 to 15 s."""

REQUESTS_IN_FLIGHT_MAX = 4096
"""Requests waiting for their reply on one connection; more is a caller without back pressure."""

REQUEST_BYTES_IN_FLIGHT_MAX = 32 << 20
"""Payload whose reply is awaited: half of what a server holds for one slow reader."""

OUTBOUND_BYTES_MAX = 8 << 20
"""Bytes waiting for the socket before senders are made to wait for it."""

FLUSH_TIMEOUT_S = 5.0
"""A server that does not read for so long is as good as gone."""

CLOSE_TIMEOUT_S = 2.0
"""A server that reads takes the last bytes in milliseconds; another one does not keep us."""

CUT_TIMEOUT_S = 1.0
"""A task of nats-py that was cancelled, or whose socket was closed, ends at once or never."""

_VIOLATION = re.compile(
    r'permissions violation for (?P<act>publish|subscription) to "(?P<subject>[^"]*)"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordLogin:
    """A user of an enterprise's own server."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogin:
    """A process at the hub: the token its account signed for it, and the key it is for."""

    token: str = field(repr=False)
    key: Nkey = field(repr=False)

    def token_bytes(self) -> bytes:
        """Return the token as the connection sends it."""
        return self.token.encode()

    def sign_nonce(self, nonce: str) -> bytes:
        """Return the base64 signature that proves to the server that we hold the key."""
        return base64.b64encode(self.key.sign(nonce.encode()))


Login = PasswordLogin | TokenLogin

_Outcome = asyncio.Future[Msg | MutualEdgeError]


class _Tap(asyncio.Future[Msg]):
    """What nats-py takes for a one-shot future and calls for every message it reads."""

    def __init__(self, deliver: Callable[[Msg], None]) -> None:
        super().__init__()
        self._deliver = deliver

    def set_result(self, message: Msg) -> None:
        self._deliver(message)


class _Waiting(msgspec.Struct, frozen=True, kw_only=True):
    subject: str
    outcome: _Outcome

    def settle(self, outcome: Msg | MutualEdgeError) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def expire(self, timeout_s: float) -> None:
        sentence = f"No answer on '{self.subject}' in {timeout_s} s; its outcome is unknown."
        self.settle(Unreachable("nats.request.timeout", sentence))


class NatsClient:
    """One connection; use as ``async with await connect(...) as client``."""

    def __init__(self, name: str, login: Login, report: Report) -> None:
        """Take who connects; ``connect`` does it."""
        self._name = name
        self._login = login
        self._report = report
        self._connection = Client()
        self._inbox = f"{_inbox_of(login)}.{secrets.token_hex(16)}."
        self._waiting: dict[str, _Waiting] = {}
        self._waiting_bytes = 0
        self._services: list[Service] = []
        self._forbidden: set[str] = set()
        self._sequence = 0
        self._closed = asyncio.Event()
        self._fatal: UsageError | None = None
        self._last_error = "no connection"
        self._is_up = False
        self._is_closing = False

    @property
    def is_connected(self) -> bool:
        """Whether requests can be sent now."""
        return self._connection.is_connected

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self.close()

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """Return the answer to one request.

        Args:
            subject: Whom to ask, such as ``me.at.bakery.invoke``.
            payload: At most 1 MiB.
            timeout_s: How long an answer is worth waiting for.

        Raises:
            UsageError: Payload too large, too much in flight, subject malformed or not allowed.
            Unreachable: No answer: ``nats.request.timeout``, ``nats.request.no-responders``,
                ``nats.request.overloaded``, ``nats.connection.lost``.
            RefusedByPeer: The other side answered with a refusal.
            PeerError: The other side answered with something that is not a reply.
        """
        check_payload(payload, f"'{subject}'")
        self._check_room(len(payload))
        loop = asyncio.get_running_loop()
        self._sequence += 1
        token = str(self._sequence)
        waiting = _Waiting(subject=subject, outcome=loop.create_future())
        self._waiting[token] = waiting
        self._waiting_bytes += len(payload)
        timer = loop.call_later(timeout_s, waiting.expire, timeout_s)
        try:
            await self._publish(
                subject,
                payload,
                reply=self._inbox + token,
                headers=VERSION_HEADERS,
                given_up=waiting.outcome,
            )
            outcome = await waiting.outcome
        finally:
            timer.cancel()
            del self._waiting[token]
            self._waiting_bytes -= len(payload)
        if isinstance(outcome, MutualEdgeError):
            raise outcome
        return parse_reply(outcome, subject)

    async def serve(
        self, subject: str, handler: Handler, *, max_in_flight: int, timeout_s: float
    ) -> Service:
        """Answer a subject from now on; returns once the server sends requests here.

        A handler that raises a ``MutualEdgeError`` refuses with its code; any other exception is
        reported and refused as ``nats.handler.failed``.

        Args:
            subject: What to answer, such as ``me.in.>``.
            handler: Called once per request, up to ``max_in_flight`` at once.
            max_in_flight: One more request than this is refused at once.
            timeout_s: Longest run of one handler.

        Raises:
            UsageError: The subject is malformed or not allowed to us.
            Unreachable: The connection is gone.
        """
        limits = ServiceLimits(max_in_flight=max_in_flight, timeout_s=timeout_s)
        service = Service(handler, limits, self._publish, self._report)
        try:
            service.started(await self._subscribe(subject, service.take))
        except BaseException:
            await service.stop()
            raise
        self._services.append(service)
        return service

    async def wait_closed(self) -> None:
        """Return once the connection is closed by us; it is for ever retried until then.

        Raises:
            UsageError: The server put us out for good, for example because our token expired.
        """
        await self._closed.wait()
        if self._fatal is not None:
            raise self._fatal

    async def close(self, *, drain_timeout_s: float = 0.0) -> None:
        """Stop all services, then the connection; requests still waiting fail as lost."""
        self._is_closing = True
        while self._services:
            await self._services.pop().stop(drain_timeout_s=drain_timeout_s)
        closing = asyncio.create_task(self._disconnect())  # nats-py swallows our cancellation
        try:
            await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
        finally:
            await self._cut(closing)
            await self._stop_reconnecting()  # in case the connection was lost meanwhile
            self._fail_waiting("this client was closed")
            self._closed.set()

    async def _disconnect(self) -> None:
        await self._stop_reconnecting()
        await self._connection.close()

    async def _stop_reconnecting(self) -> None:
        """Cancel nats-py's attempts until they end, or do not for ``CUT_TIMEOUT_S``.

        An attempt that fails in the moment of its cancellation swallows it (``asyncio.wait_for``
        before Python 3.12), and would go on for ever, also after the connection was closed.
        """
        reconnecting = self._connection._reconnection_task  # noqa: SLF001 - it cancels only once
        if reconnecting is not None:
            await self._end(reconnecting, "its attempts to reconnect")

    async def _cut(self, closing: asyncio.Task[None]) -> None:
        """End the connection if it still waits for a server that does not read."""
        transport = self._connection._transport  # noqa: SLF001 - nats-py itself waits for ever
        writer = transport._io_writer if isinstance(transport, TcpTransport) else None  # noqa: SLF001
        if not closing.done() and writer is not None:
            writer.transport.abort()
            await asyncio.wait({closing}, timeout=CUT_TIMEOUT_S)
        await self._end(closing, "the closing of its connection")
        if closing.done() and not closing.cancelled() and (failure := closing.exception()):
            self._report("connection.failed", str(failure) or repr(failure))

    async def _end(self, task: asyncio.Task[None], what: str) -> None:
        """Cancel a task of nats-py until it ends; report one that does not, and leave it behind."""
        for _ in range(round(CUT_TIMEOUT_S / CONNECT_RETRY_S)):
            if task.done():
                return
            task.cancel()
            await asyncio.wait({task}, timeout=CONNECT_RETRY_S)
        if not task.done():
            self._report("connection.failed", f"'{self._name}' left {what} behind, still running")

    async def _open(self, url: str, timeout_s: float) -> None:
        password = self._login if isinstance(self._login, PasswordLogin) else None
        token = self._login if isinstance(self._login, TokenLogin) else None
        told_before = _cancellations()
        try:
            async with asyncio.timeout(timeout_s):
                await self._connection.connect(
                    url,
                    name=self._name,
                    user=None if password is None else password.user,
                    password=None if password is None else password.password,
                    user_jwt_cb=None if token is None else token.token_bytes,
                    signature_cb=None if token is None else token.sign_nonce,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnected,
                    reconnected_cb=self._on_reconnected,
                    closed_cb=self._on_closed,
                    reconnect_to_server_handler=_choose_server,
                    reconnect_time_wait=CONNECT_RETRY_S,  # type: ignore[arg-type]  # any number
                    max_reconnect_attempts=-1,
                    ping_interval=PING_INTERVAL_S,
                    max_outstanding_pings=PINGS_OUTSTANDING_MAX,
                    flusher_queue_size=2 * REQUESTS_IN_FLIGHT_MAX,
                    pending_size=0,  # nothing is kept while disconnected, nothing flushed by force
                )
            self._is_up = True
            _heed_cancellations(told_before)
            await self._subscribe(f"{self._inbox}*", self._take_reply)
        except TimeoutError as error:
            await self.close()
            sentence = f"No NATS server answered at {url} in {timeout_s} s: {self._last_error}."
            raise Unreachable("nats.connection.timeout", sentence) from error
        except BaseException:
            await self.close()
            raise

    def _check_room(self, payload_bytes: int) -> None:
        room = REQUEST_BYTES_IN_FLIGHT_MAX - self._waiting_bytes
        if len(self._waiting) >= REQUESTS_IN_FLIGHT_MAX or payload_bytes > room:
            sentence = (
                f"{len(self._waiting)} requests with {self._waiting_bytes} bytes await their reply "
                "already; send more when some have ended."
            )
            raise UsageError("nats.request.too-many", sentence)

    async def _subscribe(self, subject: str, deliver: Callable[[Msg], None]) -> Subscription:
        try:
            subscription = await self._connection.subscribe(subject, future=_Tap(deliver))
        except errors.Error as error:
            raise _untransmitted(error, subject) from error
        try:
            await self._confirm(subject)
        except BaseException:
            if not self._connection.is_closed:
                await subscription.unsubscribe()  # or it would come back with the connection
            raise
        return subscription

    async def _confirm(self, subject: str) -> None:
        """Return once the server has read a subscription and had nothing against it."""
        try:
            await self._flush()  # nats-py's PING overtakes what it has queued, so the first
            await self._flush()  # answer says only that the queue was written; the second, read
        except errors.Error as error:
            raise _untransmitted(error, subject) from error
        if subject.lower() in self._forbidden:
            self._forbidden.discard(subject.lower())
            sentence = f"The server does not let '{self._name}' answer '{subject}'."
            raise UsageError("nats.subscription.forbidden", sentence)

    async def _publish(
        self,
        subject: str,
        payload: bytes,
        *,
        reply: str = "",
        headers: dict[str, str],
        given_up: _Outcome | None = None,
    ) -> None:
        """Send, after what waits for the socket; not at all once it is given up."""
        try:
            while self._connection.pending_data_size > OUTBOUND_BYTES_MAX:
                await self._flush(given_up)
                if given_up is not None and given_up.done():
                    return
            await self._connection.publish(subject, payload, reply, headers)
        except errors.Error as error:
            raise _untransmitted(error, subject) from error

    async def _flush(self, given_up: _Outcome | None = None) -> None:
        """Return once the server has read what was written, or nobody waits for that any more.

        nats-py's own flush cancels the future that it waits for when it is given up, and its read
        loop ends when the server's answer to such a one arrives.
        """
        if not self._connection.is_connected:
            raise errors.ConnectionClosedError
        pong: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        await self._connection._send_ping(pong)  # noqa: SLF001 - there is no other way to ask
        awaited: list[asyncio.Future[bool] | _Outcome] = [pong]
        awaited += [] if given_up is None else [given_up]
        done, _ = await asyncio.wait(
            awaited, timeout=FLUSH_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            raise errors.FlushTimeoutError

    def _take_reply(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject[len(self._inbox) :])
        if waiting is not None:
            waiting.settle(message)

    def _fail_waiting(self, reason: str) -> None:
        for waiting in self._waiting.values():
            sentence = f"No answer on '{waiting.subject}': {reason}; its outcome is unknown."
            waiting.settle(Unreachable("nats.connection.lost", sentence))

    async def _on_error(self, error: Exception) -> None:
        text = str(error) or repr(error)
        self._last_error = text
        if not self._is_up:
            if "authorization violation" in text.lower():
                sentence = f"The NATS server does not know the credentials of '{self._name}'."
                raise UsageError("nats.connection.unauthorised", sentence) from error
            return
        violation = _VIOLATION.search(text)
        if violation is None:
            self._report("connection.failed", text)
        elif violation["act"] == "subscription":
            self._forbidden.add(violation["subject"])
        else:
            self._forbid(violation["subject"])

    def _forbid(self, subject: str) -> None:
        self._report("request.forbidden", subject)
        for waiting in self._waiting.values():
            if waiting.subject.lower() == subject:
                sentence = f"The server does not let '{self._name}' send to '{waiting.subject}'."
                waiting.settle(UsageError("nats.request.forbidden", sentence))

    async def _on_disconnected(self) -> None:
        self._report("connection.lost", self._name)
        self._fail_waiting("the connection to the NATS server broke")

    async def _on_reconnected(self) -> None:
        self._report("connection.restored", self._name)

    async def _on_closed(self) -> None:
        if not self._is_closing:
            sentence = f"The NATS server put '{self._name}' out: {self._connection.last_error}."
            self._fatal = UsageError("nats.connection.closed", sentence)
            self._report("connection.closed", sentence)
        self._closed.set()


async def connect(
    url: str, login: Login, *, name: str, report: Report, timeout_s: float = CONNECT_TIMEOUT_S
) -> NatsClient:
    """Return a connected client; it reconnects for ever until it is closed.

    Args:
        url: ``nats://HOST:PORT`` of the enterprise's own server or the hub's own listener.
        login: Who we are there.
        name: Shown in the server's log and in errors.
        report: Takes what happens to the connection and its handlers.
        timeout_s: How long to keep trying a server that does not answer.

    Raises:
        UsageError: The server does not know these credentials.
        Unreachable: No server answered in time.
    """
    client = NatsClient(name, login, report)
    await client._open(url, timeout_s)  # noqa: SLF001 - the class's own constructor, awaited
    return client


def _cancellations() -> int:
    own = asyncio.current_task()
    return 0 if own is None else own.cancelling()


def _heed_cancellations(before: int) -> None:
    """Raise the cancellation that nats-py swallowed, as ``NatsClient._stop_reconnecting`` says."""
    if _cancellations() > before:
        raise asyncio.CancelledError


def _inbox_of(login: Login) -> str:
    return inbox_prefix(login.user) if isinstance(login, PasswordLogin) else INBOXES


def _choose_server(
    servers: list[Server], _information: dict[str, object]
) -> tuple[Server | None, float]:
    server = min(servers, key=lambda each: each.reconnects)
    pause_s = min(RECONNECT_DELAY_MAX_S, RECONNECT_DELAY_MIN_S * 2.0 ** min(server.reconnects, 16))
    return server, pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, no secret


def _untransmitted(error: errors.Error, subject: str) -> MutualEdgeError:
    match error:
        case errors.BadSubjectError():
            sentence = f"'{subject}' is not a NATS subject; no spaces, no empty parts."
            return UsageError("nats.subject.malformed", sentence)
        case errors.MaxPayloadError():
            sentence = f"The server's own limit is below the payload for '{subject}'; raise it."
            return UsageError("nats.payload.too-large", sentence)
        case _:
            sentence = f"Nothing was sent to '{subject}': {error}; the connection is down."
            return Unreachable("nats.connection.lost", sentence)
