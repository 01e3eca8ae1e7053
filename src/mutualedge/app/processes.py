"""What hub and node processes share: clock, notes, how they start, stop and start again."""

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec
import uvloop

from mutualedge.adapters.linux import writing
from mutualedge.adapters.nats import NatsServer, TlsFiles
from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.bus import NatsBus
from mutualedge.app.driver import Ports, Restarting
from mutualedge.app.files import STORE_FILE, TlsText
from mutualedge.app.status import Kind, StatusWriter
from mutualedge.app.stores import open_store
from mutualedge.errors import CorruptState, MutualEdgeError, Unreachable
from mutualedge.model import EnterpriseId, format_instant
from mutualedge.protocol import Note, Order

WIND_UP_S = 2.0
"""A runner signs within a few milliseconds; calls under way end within a second."""

SERVER_END_S = 0.5
"""How long after its last connection a server's end becomes known here."""

T = TypeVar("T")

READY_FILE = "ready.json"
EVENTS_FILE = "events.jsonl"
NATS_FOLDER = "nats"


class Ready(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Written once a process answers: where its devices connect."""

    pid: int
    client_url: str


def steady_clock() -> Callable[[], int]:
    """Return a clock in nanoseconds since 1970 that never steps: wall time once, then monotonic."""
    offset_ns = time.time_ns() - time.monotonic_ns()
    return lambda: time.monotonic_ns() + offset_ns


COLLECT_AFTER_OBJECTS = 10_000
"""New objects that call for a look at which can go; Python's 700 means one look in three calls."""


def settle_memory() -> None:
    """Let the collector pass over what this process keeps for ever: code and what was restored.

    A full collection of it takes longer than ten calls.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)


def _noter(clock_ns: Callable[[], int], notes: BinaryIO) -> Callable[[Note], None]:
    """Return what writes a note as one line of JSON, with its time."""

    def write(note: Note) -> None:
        line = {"at": format_instant(clock_ns()), "event": note.name, **dict(note.fields)}
        notes.write(msgspec.json.encode(line) + b"\n")
        notes.flush()

    return write


def tls_files(text: TlsText) -> TlsFiles:
    """Return what one end of mutual TLS shows and trusts."""
    return TlsFiles(
        certificate_pem=text.certificate_pem.encode(),
        private_key_pem=text.private_key_pem.encode(),
        root_pem=text.root_pem.encode(),
    )


def own_binary(configured: str) -> Path | None:
    """Return the owner's own nats-server, if one is set."""
    return Path(configured) if configured else None


def write_ready(folder: Path, client_url: str) -> None:
    """Say that the process of this folder answers, and where."""
    temporary = folder / f"{READY_FILE}.new"
    with writing(folder / READY_FILE):
        temporary.write_bytes(msgspec.json.encode(Ready(pid=os.getpid(), client_url=client_url)))
        temporary.replace(folder / READY_FILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a process keeps while its core is made anew: rows, clock, and where notes go."""

    folder: Path
    store: SqliteStore
    status: StatusWriter
    clock_ns: Callable[[], int]
    note: Callable[[Note], None]

    def ports(self, bus: NatsBus, order: Callable[[Order], None]) -> Ports:
        """Return what a driver performs effects on."""
        return Ports(store=self.store, bus=bus, order=order, note=self.note, clock_ns=self.clock_ns)

    def report(self, event: str, detail: str) -> None:
        """Note what happens to a connection."""
        self.note(Note(name=f"bus.{event}", fields=(("detail", detail),)))


def open_site(
    folder: Path,
    kind: Kind,
    name: EnterpriseId,
    stack: AsyncExitStack,
    notes: BinaryIO | None = None,
) -> Site:
    """Open a process's store and status until the stack closes.

    Args:
        folder: The process's own.
        kind: ``hub`` or ``node``.
        name: Whose process it is.
        stack: Closes both.
        notes: Where what happens is written; standard output otherwise.

    Raises:
        UsageError: Another process has the store open.
        CorruptState: It is damaged.
    """
    clock_ns = steady_clock()
    store = stack.enter_context(open_store(folder))
    status = stack.enter_context(StatusWriter(folder, kind, name, clock_ns))
    note = status.listening(_noter(clock_ns, notes or sys.stdout.buffer))
    return Site(folder=folder, store=store, status=status, clock_ns=clock_ns, note=note)


async def until_restarting(serving: Coroutine[None, None, None]) -> None:
    """Serve until the core asks to be made anew; any other end is raised.

    In a task of its own: one whose task group fails, as it does for a restart, does not hear that
    it was told to end meanwhile. The group here hears it.

    Raises:
        CancelledError: We were told to end.
    """
    async with asyncio.TaskGroup() as lives:
        life = lives.create_task(_live(serving))
    if life.cancelled():
        raise asyncio.CancelledError  # nobody told us: a fault, which is no restart


async def _live(serving: Awaitable[None]) -> None:
    try:
        await serving
    except* Restarting:
        pass  # it said why before it ended


async def wound_up(serving: Coroutine[None, None, None], tell: Callable[[], None]) -> None:
    """Serve; told to end, give the core a moment to bring to an end what it alone can.

    Args:
        serving: Ends by itself, or raises ``Restarting`` once the core has no more to do.
        tell: Passes on that the process is to end.

    Raises:
        CancelledError: We were told to end, and did.
        BaseExceptionGroup: Whatever else ended it.
    """
    task = asyncio.ensure_future(serving)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            tell()
            await asyncio.wait({task}, timeout=WIND_UP_S)
        raise
    finally:
        task.cancel()
        await asyncio.wait({task})
        if (fault := _fault_of(task)) is not None:
            raise fault


def _fault_of(task: asyncio.Future[None]) -> BaseException | None:
    """Return what ended a task, if it was neither told to end nor asked to be made anew."""
    ended = None if task.cancelled() else task.exception()
    if isinstance(ended, BaseExceptionGroup):
        return ended.split(Restarting)[1]
    return None if isinstance(ended, Restarting) else ended


async def while_up(server: NatsServer, opening: Awaitable[T]) -> T:
    """Return what connecting or subscribing at our own server gives, or say that it ended.

    Raises:
        BaseExceptionGroup: The server ended, or opening failed though it did not.
    """
    async with asyncio.TaskGroup() as trying:
        watching = trying.create_task(watch_bus(server))
        try:
            opened = await opening
        except Unreachable:
            # The line is lost before we are told why: wait for the better reason.
            await asyncio.wait({watching}, timeout=SERVER_END_S)
            raise
        watching.cancel()
    return opened


async def watch_bus(server: NatsServer) -> None:
    """Wait until our own NATS server ends by itself.

    Raises:
        Unreachable: It did; without it this process is deaf, so a supervisor starts both again.
    """
    status = await server.wait_stopped()
    sentence = f"Our NATS server ended by itself (status {status}); start this process again."
    raise Unreachable("nats.server.ended", sentence)


@contextmanager
def restoring(folder: Path) -> Iterator[None]:
    """Say which store it is when its rows cannot be read or contradict each other.

    Raises:
        CorruptState: They are not what this release writes.
    """
    try:
        yield
    except msgspec.DecodeError as error:
        path = folder / STORE_FILE
        sentence = f"A row of {path} cannot be read ({error}); stop, and restore it from a backup."
        raise CorruptState("store.row.unreadable", sentence) from error
    except CorruptState as error:
        path = folder / STORE_FILE
        if str(path) in error.sentence:
            raise
        raise CorruptState(error.code, f"{path}: {error.sentence}") from error


def run_until_told(serve: Callable[[], Awaitable[None]]) -> None:
    """Run one process in this one until SIGTERM or SIGINT, then stop its children and leave.

    Raises:
        MutualEdgeError: It could not start, or cannot go on.
    """

    async def supervised() -> None:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        try:
            await serve()
        except asyncio.CancelledError:
            if not task.cancelling():
                raise  # nobody told us: a fault, which must not pass for an end in order
            while task.uncancel() > 0:
                continue  # told twice is told once
        except ExceptionGroup as failed:
            raise cause_of(failed) from failed

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(supervised())


def cause_of(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first failure of tasks that ran together, or all if one is a bug of ours."""
    causes = list(_leaves(failed))
    return causes[0] if all(isinstance(each, MutualEdgeError) for each in causes) else failed


def _leaves(failed: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for each in failed.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each
