"""One question and one answer per connection, each behind its length, under TLS 1.3.

The server shows its certificate; who asks is told by what it asks, which is signed.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mutualedge.errors import PeerError, ResourceMissing, Unreachable

LENGTH_BYTES = 4
MESSAGE_BYTES_MAX = 1 << 20
"""As on the bus: one reply holds sixteen blocks of the ledger or less."""

CONNECTIONS_MAX = 32
"""Questions at once; they come from people and from joining nodes, a few an hour."""

QUESTION_TIMEOUT_S = 10.0
"""Until the question has arrived whole: a silent connection holds its place no longer."""

CROWDED_TIMEOUT_S, CROWDED_POLL_S = 1.0, 0.2
"""While others wait for a place: an honest question is there within a few round trips."""

BACKLOG = 100
ACCEPT_PAUSE_S = 0.1
ANSWER_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 2.0

Answerer = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFiles:
    """Where certificate and private key of the server lie, PEM."""

    certificate: Path
    private_key: Path


@asynccontextmanager
async def serve(host: str, port: int, files: ServerFiles, answer: Answerer) -> AsyncIterator[int]:
    """Answer questions until the block ends.

    Args:
        host: Address to listen on.
        port: 0 for any free one.
        files: What the server shows.
        answer: Returns the answer to a question; its errors close the connection.

    Yields:
        The port.

    Raises:
        ResourceMissing: The port is taken, or the host is not this machine's.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(files.certificate, files.private_key)
    desk = _Desk(context, answer)
    try:
        listeners = await _listen(host, port)
    except OSError as error:
        sentence = f"Port {port} on {host} cannot be used ({error.strerror}); choose another."
        raise ResourceMissing("tls.port.taken", sentence) from error
    accepting = [asyncio.create_task(desk.accept(each)) for each in listeners]
    try:
        yield int(listeners[0].getsockname()[1])
    finally:
        await _end({*accepting, *desk.connections})
        for each in listeners:
            each.close()


async def _listen(host: str, port: int) -> list[socket.socket]:
    """Return a socket for each address that a host has."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    for family, place in dict.fromkeys((each[0], each[4][:2]) for each in found):
        try:
            listeners.append(socket.create_server(place, family=family, backlog=BACKLOG))
        except OSError:
            for each in listeners:
                each.close()
            raise
        listeners[-1].setblocking(False)
    return listeners


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Desk:
    """Takes a connection once there is a place for it; who waits for one costs the kernel only.

    So strangers cannot use up the descriptors of a process that needs some to keep its books.
    """

    def __init__(self, context: ssl.SSLContext, answer: Answerer) -> None:
        self._context = context
        self._answer = answer
        self._free = asyncio.Semaphore(CONNECTIONS_MAX)
        self._silent_since: dict[asyncio.Task[None], float] = {}
        self.connections: set[asyncio.Task[None]] = set()

    async def accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wait_place()
            try:
                taken, _ = await loop.sock_accept(listener)
            except OSError:  # it has gone again, or this process has no descriptor left
                self._free.release()
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            task = asyncio.create_task(self._take(taken))
            self.connections.add(task)
            self._silent_since[task] = loop.time()
            task.add_done_callback(self._taken)

    async def _wait_place(self) -> None:
        """Return once there is a place; who holds one in silence loses it while others wait."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CROWDED_POLL_S):
                    await self._free.acquire()
                    return
            latest_s = asyncio.get_running_loop().time() - CROWDED_TIMEOUT_S
            for task in [each for each, since in self._silent_since.items() if since < latest_s]:
                task.cancel()

    def _taken(self, task: asyncio.Task[None]) -> None:
        self._free.release()
        self.connections.discard(task)
        self._silent_since.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            told = {"message": "a question could not be answered", "exception": error}
            asyncio.get_running_loop().call_exception_handler(told)

    async def _take(self, taken: socket.socket) -> None:
        with contextlib.suppress(OSError, TimeoutError, PeerError, asyncio.IncompleteReadError):
            async with asyncio.timeout(QUESTION_TIMEOUT_S):
                reader, writer = await self._secure(taken)
            try:
                await self._answer_one(reader, writer)
            except asyncio.CancelledError:
                writer.transport.abort()  # nobody waits for who is put out
                raise
            finally:
                await _close(writer)

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(QUESTION_TIMEOUT_S):
            question = await _read(reader)
        task = asyncio.current_task()
        assert task is not None
        del self._silent_since[task]
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await _write(writer, await self._answer(question))

    async def _secure(
        self, taken: socket.socket
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            taken,
            ssl=self._context,
            ssl_handshake_timeout=QUESTION_TIMEOUT_S,
            ssl_shutdown_timeout=CLOSE_TIMEOUT_S,
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def ask(
    host: str, port: int, root_pem: str, question: bytes, timeout_s: float = ANSWER_TIMEOUT_S
) -> bytes:
    """Return the server's answer.

    Args:
        host: Name or address, as it stands in the server's certificate.
        port: The server's.
        root_pem: What its certificate must chain to.
        question: At most ``MESSAGE_BYTES_MAX``.
        timeout_s: For everything.

    Raises:
        PeerError: Another server than the one that this root certified, or nonsense.
        Unreachable: Nobody answers there, or not in time.
    """
    context = ssl.create_default_context(cadata=root_pem)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    place = f"{host}:{port}"
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            try:
                await _write(writer, question)
                return await _read(reader)
            finally:
                await _close(writer)
    except ssl.SSLCertVerificationError as error:
        sentence = f"{place} shows a certificate that does not belong here: {error.verify_message}."
        raise PeerError("tls.server.other", sentence) from error
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        sentence = f"{place} does not answer ({_words(error)}); is the hub running?"
        raise Unreachable("tls.server.silent", sentence) from error


def _words(error: Exception) -> str:
    return str(error) or "no answer in time"


async def _read(reader: asyncio.StreamReader) -> bytes:
    length_bytes = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
    if length_bytes > MESSAGE_BYTES_MAX:
        sentence = f"A message of {length_bytes} bytes exceeds {MESSAGE_BYTES_MAX}."
        raise PeerError("tls.message.oversize", sentence)
    return await reader.readexactly(length_bytes)


async def _write(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(len(message).to_bytes(LENGTH_BYTES, "big") + message)
    await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await writer.wait_closed()
