"""One question over TLS: who answers is certain, and nobody can hold the door open."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from mutualedge.adapters.tls import ServerFiles, ask, channel, serve
from mutualedge.errors import MutualEdgeError
from mutualedge.identity import (
    Authority,
    SpiffeIdentity,
    create_authority,
    generate_private_key,
    issue_certificate,
    public_key_of,
)
from mutualedge.signing import Entropy

HOST = "127.0.0.1"
PATIENCE_S = 5.0
OWN_DESCRIPTORS = Path("/proc/self/fd")


def descriptors() -> int:
    """Return how many this process holds."""
    return len(list(OWN_DESCRIPTORS.iterdir()))


def authority(seed: bytes = b"r") -> Authority:
    return create_authority("valley", entropy=Entropy(seed * 32), now_ns=time.time_ns())


def files_of(folder: Path, root: Authority) -> ServerFiles:
    private_key = generate_private_key(Entropy(b"k" * 32))
    certificate = issue_certificate(
        root,
        public_key_pem=public_key_of(private_key),
        identity=SpiffeIdentity(consortium="valley", enterprise="hub", role="hub"),
        now_ns=time.time_ns(),
    )
    files = ServerFiles(certificate=folder / "c.pem", private_key=folder / "k.pem")
    files.certificate.write_bytes(certificate)
    files.private_key.write_bytes(private_key)
    return files


async def backwards(question: bytes) -> bytes:
    return question[::-1]


@asynccontextmanager
async def office(
    folder: Path, answer: channel.Answerer = backwards
) -> AsyncIterator[tuple[int, str]]:
    root = authority()
    async with serve(HOST, 0, files_of(folder, root), answer) as port:
        yield port, root.certificate_pem.decode()


async def code_of(port: int, root: str, timeout_s: float = PATIENCE_S) -> str:
    with pytest.raises(MutualEdgeError) as failed:
        await ask(HOST, port, root, b"who are you?", timeout_s)
    return failed.value.code


def test_a_question_is_answered(tmp_path: Path) -> None:
    """Small, empty and as large as allowed; many at once."""

    async def main() -> None:
        async with office(tmp_path) as (port, root):
            for question in (b"abc", b"", b"a" + bytes(channel.MESSAGE_BYTES_MAX - 1)):
                assert await ask(HOST, port, root, question) == question[::-1]
            questions = [b"question %d" % index for index in range(2 * channel.CONNECTIONS_MAX)]
            answers = await asyncio.gather(*(ask(HOST, port, root, each) for each in questions))
            assert answers == [each[::-1] for each in questions]

    asyncio.run(main())


def test_another_server_gets_no_question(tmp_path: Path) -> None:
    """A certificate of another authority, even of the same name: nothing is asked."""
    asked: list[bytes] = []

    async def answer(question: bytes) -> bytes:
        asked.append(question)
        return b""

    async def main() -> None:
        async with office(tmp_path, answer) as (port, _):
            root = authority(b"q").certificate_pem.decode()
            assert await code_of(port, root) == "tls.server.other"
        assert not asked

    asyncio.run(main())


def test_nobody_there_is_said(tmp_path: Path) -> None:
    """A closed port, and a server that never answers."""

    async def silent(_question: bytes) -> bytes:
        await asyncio.sleep(PATIENCE_S)
        return b""

    async def main() -> None:
        async with office(tmp_path, silent) as (port, root):
            assert await code_of(port, root, 0.5) == "tls.server.silent"
        assert await code_of(port, root) == "tls.server.silent"

    asyncio.run(main())


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """The second one on a port says which, and what to do."""

    async def main() -> None:
        with socket.socket() as other:
            other.bind((HOST, 0))
            other.listen()
            port = int(other.getsockname()[1])
            with pytest.raises(MutualEdgeError) as taken:
                async with serve(HOST, port, files_of(tmp_path, authority()), backwards):
                    pass
        assert taken.value.code == "tls.port.taken"
        assert str(port) in taken.value.sentence

    asyncio.run(main())


def test_the_silent_and_the_oversized_keep_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever connects and says nothing, or announces too much, loses its place."""
    monkeypatch.setattr(channel, "QUESTION_TIMEOUT_S", 1.0)

    async def main() -> None:
        async with office(tmp_path) as (port, root), AsyncExitStack() as stack:
            context = ssl.create_default_context(cadata=root)
            for index in range(channel.CONNECTIONS_MAX):
                _, writer = await asyncio.open_connection(HOST, port, ssl=context)
                stack.callback(writer.close)
                if index % 2:
                    writer.write(b"\xff\xff\xff\xff")
            assert await ask(HOST, port, root, b"abc") == b"cba"

    asyncio.run(main())


@pytest.mark.parametrize("speaks_tls", [False, True])
def test_silence_holds_no_place_that_others_wait_for(tmp_path: Path, speaks_tls: bool) -> None:
    """One stranger with a connection for every place keeps a question waiting for a second."""

    async def main() -> None:
        async with office(tmp_path) as (port, root), AsyncExitStack() as stack:
            context = ssl.create_default_context(cadata=root) if speaks_tls else None
            for _ in range(channel.CONNECTIONS_MAX):
                _, writer = await asyncio.open_connection(HOST, port, ssl=context)
                stack.callback(writer.close)
            assert await ask(HOST, port, root, b"abc") == b"cba"

    began_s = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began_s < channel.QUESTION_TIMEOUT_S / 2


def test_silent_strangers_hold_no_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not even begin TLS waits with the kernel, and is sent off like any other."""
    monkeypatch.setattr(channel, "QUESTION_TIMEOUT_S", 1.0)
    strangers = 3 * channel.CONNECTIONS_MAX

    async def main() -> None:
        async with office(tmp_path) as (port, root), AsyncExitStack() as stack:
            before = descriptors()
            for _ in range(strangers):
                _, writer = await asyncio.open_connection(HOST, port)
                stack.callback(writer.close)
            held = descriptors() - before - strangers
            assert held <= channel.CONNECTIONS_MAX
            assert await ask(HOST, port, root, b"abc") == b"cba"

    asyncio.run(main())


def test_an_answer_that_fails_closes_its_connection_only(tmp_path: Path) -> None:
    """A fault behind the door is reported to the loop, and the next question is answered."""
    reported: list[object] = []

    async def answer(question: bytes) -> bytes:
        if question.startswith(b"who"):
            raise LookupError
        return question

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, told: reported.append(told["exception"]))
        async with office(tmp_path, answer) as (port, root):
            assert await code_of(port, root) == "tls.server.silent"
            assert await ask(HOST, port, root, b"abc") == b"abc"
        assert [type(each) for each in reported] == [LookupError]

    asyncio.run(main())
