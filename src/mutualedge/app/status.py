"""What a running process says of itself: one small file, replaced about once a second."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from mutualedge.adapters.linux import start_ticks
from mutualedge.app.delays import NS_PER_US, DelayRing, Delays
from mutualedge.app.files import SECRET_MODE
from mutualedge.consortium import HubSnapshot
from mutualedge.errors import CorruptState
from mutualedge.model import NS_PER_S, UNREADABLE, EnterpriseName, InstantText, format_instant
from mutualedge.node import NodeSnapshot
from mutualedge.protocol import Note

STATUS_FILE = "status.json"

EVERY_NS = 1 * NS_PER_S
"""How often the process looks whether there is something new to say."""

AT_LEAST_EVERY_NS = 5 * NS_PER_S
"""Said again even if nothing changed, so that a reader can tell a process that hangs."""

DAYS_LOW = 14
"""So many days before something expires its owner is warned: long enough for a holiday."""

NS_PER_DAY = 24 * 3_600 * NS_PER_S

RUNNER_EVENT = "runner.spawned"
"""The event that says which walls stand around the runner and which are missing."""

Kind = Literal["hub", "node"]


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file ``status.json`` of one process.

    Attributes:
        start_ticks: When it started, in clock ticks since boot: with ``pid`` its identity.
        started: The same by the calendar.
        written: When this was said.
        is_stopped: It ended in order; nothing runs any more.
        client_url: Where its devices connect.
        answers: How fast its devices were answered lately.
        loop_lag_us: By how much its last look at itself came late: everything else waited as long.
        credentials_end: When the first of a node's credentials expires.
        runner: What was noted when the runner was started: walls and timing.
        node: What a node holds.
        hub: What the hub holds.
    """

    kind: Kind
    name: EnterpriseName
    pid: int
    start_ticks: int
    version: str
    started: InstantText
    written: InstantText
    is_stopped: bool
    client_url: str
    answers: Delays | None
    loop_lag_us: int
    runner: dict[str, str | int]
    node: NodeSnapshot | None
    hub: HubSnapshot | None
    credentials_end: InstantText | None = None


class StatusWriter:
    """Keeps a process's ``status.json``; everything it costs happens once a second.

    Made once the store is ours: only then is the folder's status ours to write.
    """

    def __init__(
        self, folder: Path, kind: Kind, name: EnterpriseName, clock_ns: Callable[[], int]
    ) -> None:
        """Take whose status it is; ``run`` writes it."""
        self.answers = DelayRing()
        self.credentials_end: InstantText | None = None
        self._path = folder / STATUS_FILE
        self._clock_ns = clock_ns
        self._runner: dict[str, str | int] = {}
        self._writing = threading.Lock()
        self._is_over = False
        ticks = start_ticks(os.getpid())
        assert ticks is not None, "this process runs"
        self._status = ProcessStatus(
            kind=kind,
            name=name,
            pid=os.getpid(),
            start_ticks=ticks,
            version=version("mutualedge"),
            started=format_instant(clock_ns()),
            written=format_instant(clock_ns()),
            is_stopped=False,
            client_url="",
            answers=None,
            loop_lag_us=0,
            runner={},
            node=None,
            hub=None,
        )

    def listening(self, note: Callable[[Note], None]) -> Callable[[Note], None]:
        """Return ``note``, but with what it says of the runner remembered."""

        def write(noted: Note) -> None:
            if noted.name == RUNNER_EVENT:
                self._runner = dict(noted.fields)
            note(noted)

        return write

    async def run(self, look: Callable[[], NodeSnapshot | HubSnapshot], client_url: str) -> None:
        """Write the status until cancelled; may be run again for a core that was made anew."""
        lag_us, written_ns = 0, 0
        while True:
            fresh = self._looked(look(), client_url, lag_us)
            now_ns = self._clock_ns()
            if fresh != self._status or now_ns >= written_ns + AT_LEAST_EVERY_NS:
                self._status, written_ns = fresh, now_ns
                await asyncio.to_thread(self._write, self._status, now_ns)
            due_ns = time.monotonic_ns() + EVERY_NS
            await asyncio.sleep(EVERY_NS / NS_PER_S)
            lag_us = (time.monotonic_ns() - due_ns) // NS_PER_US

    def __enter__(self) -> Self:
        """Return itself; at the end of the block the process has stopped."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say that the process stopped in order, if it ever said that it runs."""
        if self._status.client_url:
            # A write that a thread still has under way comes first, or not at all.
            stopped = msgspec.structs.replace(self._status, is_stopped=True)
            self._write(stopped, self._clock_ns())

    def _looked(
        self, view: NodeSnapshot | HubSnapshot, client_url: str, lag_us: int
    ) -> ProcessStatus:
        """Return the status as it is now; its lag alone is nothing new."""
        known = self._status
        fresh = msgspec.structs.replace(
            known,
            client_url=client_url,
            runner=self._runner,
            credentials_end=self.credentials_end,
            node=view if isinstance(view, NodeSnapshot) else None,
            hub=view if isinstance(view, HubSnapshot) else None,
        )
        if fresh == known:
            return known
        return msgspec.structs.replace(
            fresh, answers=self.answers.summary(), loop_lag_us=max(0, lag_us)
        )

    def _write(self, status: ProcessStatus, now_ns: int) -> None:
        """Replace the file whole; a reader never sees half of it. Not forced to disk."""
        written = msgspec.structs.replace(status, written=format_instant(now_ns))
        # One that cannot be written turns stale, which readers see; the process goes on.
        with self._writing, contextlib.suppress(OSError):
            if not self._is_over:
                self._is_over = status.is_stopped
                replace_file(self._path, msgspec.json.encode(written))


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file whole, for its owner only; loss of power may bring the old one back.

    Raises:
        OSError: The disk is full or gone; the old file stays.
    """
    fresh = path.with_name(f"{path.name}.new")
    number = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, SECRET_MODE)
    with os.fdopen(number, "wb") as file:
        file.write(content)
    fresh.replace(path)


def read_status(folder: Path) -> ProcessStatus | None:
    """Return what the process of this folder said last, None if it never ran.

    Raises:
        CorruptState: The file is not what this release writes.
    """
    path = folder / STATUS_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=ProcessStatus)
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        sentence = f"{path} cannot be read ({error}); delete it, a running process writes it anew."
        raise CorruptState("app.status.unreadable", sentence) from error
