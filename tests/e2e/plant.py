"""A consortium of real processes on loopback that a test starts, watches, kills and restarts."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.devices import DeviceClient, connect_device
from mutualedge.app.files import STORE_FILE, NodeFile, read_process_file
from mutualedge.app.founding import HUB, Founding, found_consortium
from mutualedge.app.local_processes import ERRORS_FILE, Processes
from mutualedge.app.options import (
    BorrowingSettings,
    LendingSettings,
    NodeOptions,
    TimingSettings,
    write_settings,
)
from mutualedge.app.processes import EVENTS_FILE, READY_FILE
from mutualedge.app.settings import read_options
from mutualedge.model import EnterpriseId, Microcredits, Milliseconds

BAKERY = EnterpriseId("bakery")
HARBOUR = EnterpriseId("harbour")
"""The bakery borrows, the harbour lends."""

READY_TIMEOUT_S = 30.0
"""A process starts in one second; on a loaded machine several start at once."""

POLL_S = 0.02

TIMING = TimingSettings(
    job_budget_ms=20,
    network_ms=Milliseconds(5),
    window_calls=32,
    window_ms=Milliseconds(2_000),
    dispute_window_ms=Milliseconds(5_000),
    settle_grace_ms=Milliseconds(1_000),
    checkpoint_every_ms=Milliseconds(300),
    follow_every_ms=Milliseconds(200),
    request_timeout_ms=Milliseconds(1_000),
)
"""Seconds where a plant has hours, so that tests see leases end."""

LENDING = LendingSettings(
    budget_ms=20,
    period_ms=25,
    deadline_ms=45,
    price_microcredits=Microcredits(50),
    credit_microcredits=Microcredits(1_000_000_000),
)

FULL_NODE_BUDGET_MS = 60_000
"""A node that reserves a minute for each job of its own keeps no shorter deadline: it is full."""

Note = dict[str, str | int]


def founding(lease_ms: int) -> Founding:
    """Return a consortium in which the bakery borrows from the harbour, lease after lease."""
    borrowing = BorrowingSettings(
        providers=(HARBOUR,),
        lease_ms=Milliseconds(lease_ms),
        renew_before_ms=Milliseconds(0),
        price_max_microcredits=Microcredits(100),
    )
    return Founding(
        consortium=EnterpriseId("trial"),
        timing=TIMING,
        lending=LENDING,
        borrowers={BAKERY: borrowing},
        members=(BAKERY, HARBOUR),
    )


class Plant:
    """The processes of one consortium, each in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: dict[EnterpriseId, Process] = {}

    def own(self, name: EnterpriseId) -> Path:
        return self.folder / name

    async def start(self, name: EnterpriseId, *, under: Sequence[str] = ()) -> None:
        """Start a process and return once it answers, or fail with what it said.

        Args:
            name: The hub or an enterprise.
            under: Program and arguments to start it with, such as a tracer.
        """
        child = await self.spawn(name, under=under)
        if not await self.wait_ready(name, child):
            said = (self.own(name) / ERRORS_FILE).read_text()[-2000:]
            raise AssertionError(f"'{name}' ended with {child.returncode}: {said}")

    async def spawn(self, name: EnterpriseId, *, under: Sequence[str] = ()) -> Process:
        """Start a process without waiting for it."""
        own = self.own(name)
        (own / READY_FILE).unlink(missing_ok=True)
        kind = "hub" if name == HUB else "node"
        with (own / EVENTS_FILE).open("ab") as events, (own / ERRORS_FILE).open("ab") as errors:
            child = await asyncio.create_subprocess_exec(
                *under,
                *(sys.executable, "-m", "mutualedge", kind, str(own)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=events,
                stderr=errors,
            )
        self.children[name] = child
        return child

    async def wait_ready(self, name: EnterpriseId, child: Process) -> bool:
        """Return once a process answers (true) or ended before that (false)."""
        ready = self.own(name) / READY_FILE
        await self.until(lambda: ready.exists() or child.returncode is not None, READY_TIMEOUT_S)
        return child.returncode is None

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> None:
        """Return once something holds; fail if it does not in time."""
        async with asyncio.timeout(timeout_s):
            while not holds():  # noqa: ASYNC110 - what is waited for happens in other processes
                await asyncio.sleep(POLL_S)

    def notes(self, name: EnterpriseId, event: str) -> list[Note]:
        """Return what a process noted under this name so far, over all its starts."""
        lines = (self.own(name) / EVENTS_FILE).read_bytes().split(b"\n")[:-1]
        notes = [msgspec.json.decode(line, type=Note) for line in lines]
        return [note for note in notes if note["event"] == event]

    async def wait_note(
        self, name: EnterpriseId, event: str, *, beyond: int = 0, timeout_s: float = 30.0
    ) -> Note:
        """Return the first note of this name after so many."""
        await self.until(lambda: len(self.notes(name, event)) > beyond, timeout_s)
        return self.notes(name, event)[beyond]

    def client_url(self, name: EnterpriseId) -> str:
        return Processes.ready(self.own(name)).client_url

    def told(self, name: EnterpriseId) -> NodeFile:
        return read_process_file(self.own(name), NodeFile)

    def options(self, name: EnterpriseId) -> NodeOptions:
        return read_options(self.own(name), NodeOptions)

    def choose(self, name: EnterpriseId, options: NodeOptions) -> None:
        """Change what a node does from its next start on."""
        write_settings(self.own(name), options)

    def reserve(self, name: EnterpriseId, job_budget_ms: int) -> None:
        """Let a node reserve so much time for each job of its own."""
        options = self.options(name)
        timing = msgspec.structs.replace(options.timing, job_budget_ms=job_budget_ms)
        self.choose(name, msgspec.structs.replace(options, timing=timing))

    def fill(self, name: EnterpriseId) -> None:
        """Leave a node no room of its own, so that every reading goes to a partner."""
        self.reserve(name, FULL_NODE_BUDGET_MS)
        self.choose(name, msgspec.structs.replace(self.options(name), lending=None))

    async def connect_device(self, name: EnterpriseId = BAKERY) -> DeviceClient:
        return await connect_device(self.client_url(name), self.told(name).device_password)

    def store(self, name: EnterpriseId) -> SqliteStore:
        return SqliteStore(self.own(name) / STORE_FILE, read_only=True)

    def kill(self, name: EnterpriseId) -> None:
        """End a process as a loss of power would."""
        self.children[name].kill()

    async def kill_whole(self, name: EnterpriseId) -> None:
        """End a process and return once its server, which dies with it, is gone too."""
        below = [process_id for process_id, _ in descendants(self.children[name].pid)]
        self.kill(name)
        await self.children[name].wait()
        await self.until(lambda: not any(map(command_of, below)), READY_TIMEOUT_S)

    async def stop(self, name: EnterpriseId) -> int:
        """Ask a process to end and return its exit status."""
        child = self.children[name]
        if child.returncode is None:
            child.terminate()
        async with asyncio.timeout(READY_TIMEOUT_S):
            return await child.wait()

    async def stop_all(self) -> None:
        for name in self.children:
            await self.stop(name)

    def kill_all(self) -> None:
        for child in self.children.values():
            if child.returncode is None:
                child.kill()


@asynccontextmanager
async def plant(folder: Path, *, lease_ms: int = 4_000) -> AsyncIterator[Plant]:
    """Found a consortium in a new folder; whatever still runs at the end is killed."""
    found_consortium(founding(lease_ms), folder)
    founded = Plant(folder)
    try:
        yield founded
    finally:
        founded.kill_all()
        for child in founded.children.values():
            await child.wait()


async def start_all(founded: Plant) -> None:
    """Start hub and nodes and return once the bakery has a session at the harbour."""
    await founded.start(HUB)
    await start_nodes(founded)


async def start_nodes(founded: Plant) -> None:
    """Start both nodes and return once the bakery has a session at the harbour."""
    await asyncio.gather(founded.start(BAKERY), founded.start(HARBOUR))
    await founded.wait_note(BAKERY, "session.opened")


def descendants(process_id: int) -> Iterator[tuple[int, str]]:
    """Yield the processes below one, with their command lines, parents first (Linux)."""
    for task in Path(f"/proc/{process_id}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in children:
            command = command_of(child)
            if command is not None:
                yield child, command
                yield from descendants(child)


def command_of(process_id: int) -> str | None:
    """Return a process's command line, or nothing if it has ended."""
    try:
        raw = Path(f"/proc/{process_id}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return raw.replace(b"\0", b" ").decode(errors="replace") or None


def kill_process(process_id: int) -> bool:
    """Kill one process; false if it has ended already."""
    try:
        os.kill(process_id, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
