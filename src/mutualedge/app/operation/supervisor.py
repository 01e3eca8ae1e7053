"""Keeps the processes of a consortium's folder running, and ends them all when it ends itself.

Killed itself, it leaves nobody behind: the kernel kills its children with it, and theirs with
them. State is in each process's store, so the next supervisor starts from where they were.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from mutualedge.adapters.linux import die_with_parent, start_ticks, try_lock
from mutualedge.app.local_processes import ERRORS_FILE
from mutualedge.app.operation.queries import (
    SUPERVISOR_FILE,
    SUPERVISOR_LOCK,
    Child,
    SupervisorFile,
    kind_of,
    require_processes,
)
from mutualedge.app.operation.rotation import RotatingFile
from mutualedge.app.processes import EVENTS_FILE, READY_FILE
from mutualedge.app.status import replace_file
from mutualedge.errors import UsageError
from mutualedge.model import Instant, format_instant

SUPERVISOR_EVENTS = "supervisor.events.jsonl"

EVENTS_BYTES_MAX, EVENTS_KEPT = 8 << 20, 4
"""Of each process: about 40 MiB of events, some 300,000 of them."""

ERRORS_BYTES_MAX, ERRORS_KEPT = 1 << 20, 1

DELAY_FIRST_S = 0.25
DELAY_MAX_S = 5.0
STABLE_S = 5.0
"""A process that lived so long starts again soon; before, each end doubles the pause. In the long
run it starts once in five seconds at most, and a start takes one second of one processor."""

USAGE_TRIES_MAX = 3
"""What is wrong with a file does not mend itself. A port, a lock or a disk does, and ends a
process with another status: that is tried for ever."""

STOP_TIMEOUT_S = 10.0

LOCK_TIMEOUT_S, LOCK_POLL_S = 1.0, 0.02
"""Who only asks whether there is a supervisor holds the lock for a moment."""

CHUNK_BYTES = 64 << 10
PRINTED = frozenset({"supervisor.started", "process.given_up", "supervisor.stopped"})
"""Events that are printed as well: a few in a life, for systemd's journal or ``supervisor.out``."""

WORDS_MAX = 400
"""Characters kept of what a process said last: as many of its beginning as of its end, where the
code stands."""

Note = Callable[[str, dict[str, str | int]], None]


class Pace:
    """How long to wait before a process is started again, or not to start it at all."""

    def __init__(self) -> None:
        """Begin without a failure."""
        self.failures = 0
        self._usage_failures = 0

    def after(self, status: int, lived_s: float) -> float | None:
        """Return the seconds to wait, or None if another start would end the same way.

        Args:
            status: How it ended; negative for a signal.
            lived_s: How long it had run.
        """
        if lived_s >= STABLE_S:
            self.failures = self._usage_failures = 0
        self._usage_failures = self._usage_failures + 1 if status == os.EX_USAGE else 0
        if self._usage_failures >= USAGE_TRIES_MAX:
            return None
        self.failures += 1
        return float(min(DELAY_MAX_S, DELAY_FIRST_S * 2 ** (self.failures - 1)))


class Board:
    """What the supervisor knows of its processes: a file for readers, events for the log."""

    def __init__(self, folder: Path, names: list[str], note: Note) -> None:
        """Write that everything is about to start."""
        ticks = start_ticks(os.getpid())
        assert ticks is not None, "this process runs"
        self._folder = folder
        self._emit = note
        self._pid, self._ticks, self._started = os.getpid(), ticks, _now()
        self._children = {name: Child() for name in names}
        self._write()
        self._note("supervisor.started", processes=len(names))

    def _note(self, name: str, **fields: str | int) -> None:
        self._emit(name, fields)

    def _write(self) -> None:
        told = SupervisorFile(
            pid=self._pid,
            start_ticks=self._ticks,
            started=self._started,
            children=self._children,
        )
        with contextlib.suppress(OSError):  # a full disk ends no process that runs
            replace_file(self._folder / SUPERVISOR_FILE, msgspec.json.encode(told))

    def _change(self, name: str, **changes: int | bool | str) -> None:
        self._children[name] = msgspec.structs.replace(self._children[name], **changes)
        self._write()

    def process_started(self, name: str, pid: int) -> None:
        """A process runs."""
        starts = self._children[name].starts + 1
        self._change(name, pid=pid, starts=starts)
        self._note("process.started", process=name, pid=pid, starts=starts)

    def process_ended(
        self, name: str, status: int, words: str, *, failures: int, is_given_up: bool
    ) -> None:
        """A process ended by itself and is started again, or never."""
        last_words = words or f"it said nothing, status {status}"
        self._change(name, pid=0, last_words=last_words, failures=failures, is_given_up=is_given_up)
        self._note("process.ended", process=name, status=status, words=last_words)
        if is_given_up:
            self._note("process.given_up", process=name, words=last_words)

    def process_stopped(self, name: str, status: int) -> None:
        """A process ended because we told it to."""
        self._note("process.stopped", process=name, status=status)

    def close(self) -> None:
        """Nothing is supervised any more."""
        self._note("supervisor.stopped")
        (self._folder / SUPERVISOR_FILE).unlink(missing_ok=True)


class Keeper:
    """Keeps one process running."""

    def __init__(self, name: str, folder: Path, board: Board) -> None:
        """Take whose folder it is; ``run`` starts it."""
        self._name = name
        self._folder = folder
        self._board = board
        self._words = ""

    async def run(self) -> None:
        """Start the process, and again whenever it ends, until cancelled or given up."""
        pace = Pace()
        delay_s: float | None = 0.0
        while delay_s is not None:
            await asyncio.sleep(delay_s)
            began_s = time.monotonic()
            status = await self._live()
            delay_s = pace.after(status, time.monotonic() - began_s)
            self._board.process_ended(
                self._name,
                status,
                self._words,
                failures=pace.failures,
                is_given_up=delay_s is None,
            )

    async def _live(self) -> int:
        """Run the process once; a machine without room to start it is told as its end."""
        try:
            return await self._live_once()
        except OSError as error:
            self._words = f"it could not be started ({error.strerror})"
            return os.EX_OSERR

    async def _live_once(self) -> int:
        """Run the process to its end; return its status. Cancelled, it ends the process first."""
        self._words = ""
        (self._folder / READY_FILE).unlink(missing_ok=True)
        with (
            self._rotating(EVENTS_FILE, EVENTS_BYTES_MAX, EVENTS_KEPT) as events,
            self._rotating(ERRORS_FILE, ERRORS_BYTES_MAX, ERRORS_KEPT) as errors,
        ):
            child = await self._spawn()
            assert child.stdout is not None
            assert child.stderr is not None
            async with asyncio.TaskGroup() as reading:
                reading.create_task(_copy(child.stdout, events.write))
                reading.create_task(_copy(child.stderr, self._listening(errors)))
                return await self._wait(child)

    def _rotating(self, name: str, bytes_max: int, keep: int) -> RotatingFile:
        return RotatingFile(self._folder / name, bytes_max=bytes_max, keep=keep)

    def _listening(self, errors: RotatingFile) -> Callable[[bytes], None]:
        def write(lines: bytes) -> None:
            told = lines.decode(errors="replace").strip()
            self._words = _shortened(told.splitlines()[-1]) if told else self._words
            errors.write(lines)  # on a full disk it fails, and why the process ended is known

        return write

    async def _spawn(self) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mutualedge", kind_of(self._name), str(self._folder)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the supervisor; it then ends them in order
            preexec_fn=die_with_parent(),
        )
        self._board.process_started(self._name, child.pid)
        return child

    async def _wait(self, child: asyncio.subprocess.Process) -> int:
        try:
            return await child.wait()
        except asyncio.CancelledError:
            status = await _stop(child)
            self._board.process_stopped(self._name, status)
            raise


async def _stop(child: asyncio.subprocess.Process) -> int:
    """End a process: politely, then for good; return how it ended."""
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            return await child.wait()
    except TimeoutError:
        child.kill()
        return await child.wait()


def _shortened(line: str) -> str:
    half = WORDS_MAX // 2
    return line if len(line) <= WORDS_MAX else f"{line[: half - 1]}…{line[-half:]}"


async def _copy(stream: asyncio.StreamReader, write: Callable[[bytes], None]) -> None:
    """Hand on whole lines until the stream ends; a full disk loses lines, not the process."""
    rest = b""
    while chunk := await stream.read(CHUNK_BYTES):
        lines = rest + chunk
        cut = lines.rfind(b"\n") + 1
        rest = lines[cut:][-CHUNK_BYTES:]
        with contextlib.suppress(OSError):
            write(lines[:cut])


async def supervise(folder: Path) -> None:
    """Keep every process of the folder running until cancelled.

    Raises:
        UsageError: There is none, another supervisor has the folder, or all were given up.
    """
    folders = require_processes(folder)
    with _sole(folder), _noting(folder) as note:
        board = Board(folder, list(folders), note)
        try:
            async with asyncio.TaskGroup() as keeping:
                for name, own in folders.items():
                    keeping.create_task(Keeper(name, own, board).run())
        finally:
            board.close()
    sentence = f"No process of {folder} can run as it is told; 'mutualedge logs' says why."
    raise UsageError("app.operation.supervisor.idle", sentence)


@contextlib.contextmanager
def _sole(folder: Path) -> Iterator[None]:
    until_s = time.monotonic() + LOCK_TIMEOUT_S
    while (lock := try_lock(folder / SUPERVISOR_LOCK)) is None and time.monotonic() < until_s:
        time.sleep(LOCK_POLL_S)
    if lock is None:
        sentence = f"The processes of {folder} are supervised already; see 'mutualedge status'."
        raise UsageError("app.operation.supervisor.running", sentence)
    with lock:
        yield


@contextlib.contextmanager
def _noting(folder: Path) -> Iterator[Note]:
    """Yield what keeps an event of the supervisor."""
    path = folder / SUPERVISOR_EVENTS
    with RotatingFile(path, bytes_max=ERRORS_BYTES_MAX, keep=ERRORS_KEPT) as events:

        def note(name: str, fields: dict[str, str | int]) -> None:
            line = msgspec.json.encode({"at": _now(), "event": name, **fields}) + b"\n"
            with contextlib.suppress(OSError):
                events.write(line)
            if name in PRINTED:
                sys.stdout.write(line.decode())
                sys.stdout.flush()

        yield note


def _now() -> Instant:
    return format_instant(time.time_ns())
