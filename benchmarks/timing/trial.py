"""Nodes of one machine, with and without priority, asked in turns beside hogs."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.timing.round import WARM, WARM_UP_CALLS, Answer, Asked, Outcome, Round
from mutualedge.adapters.linux.priority import NICE
from mutualedge.app.files import NodeFile, enterprise_folder, read_process_file
from mutualedge.app.founding import Founding, found_consortium
from mutualedge.app.local_processes import ERRORS_FILE, Processes
from mutualedge.app.options import LendingSettings, NodeOptions, TimingSettings, write_settings
from mutualedge.app.processes import EVENTS_FILE, READY_FILE
from mutualedge.app.settings import read_options
from mutualedge.app.status import ProcessStatus, read_status
from mutualedge.model import EnterpriseId

GRANTED, ORDINARY, RAISED = map(EnterpriseId, ("granted", "ordinary", "raised"))

START = (sys.executable, "-m", "benchmarks.timing.start")

NODES: Mapping[EnterpriseId, Sequence[str]] = {
    GRANTED: (),
    ORDINARY: (*START, "ordinary"),
    RAISED: (*START, "real-time"),
}
"""What each is started with: nothing, so that it takes what priority it is given; without the right
to any; with real time for the node and its message server, where that is granted."""

JOB_BUDGET_MS, PERIOD_MS, DEADLINE_MS = 8, 25, 20
"""What admission sets aside for a job, how often it comes, and when its result loses its worth."""

HOGS_BEYOND_CORES = 2

REAL_TIME = (os.SCHED_RR, os.SCHED_FIFO)

HOG = "from time import monotonic as s; end = s() + 20\nwhile s() < end: pass"
"""Takes one processor; it ends by itself, should nobody be left to end it."""

READY_TIMEOUT_S, ROUND_TIMEOUT_S, STATUS_TIMEOUT_S = 20.0, 60.0, 10.0
POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How one node did.

    Attributes:
        timing: The grade that its results carry.
        reason: How, or why no better.
        scheduling: Of the node's own process and its message server: ``ordinary``, ``raised`` or
            ``real time``.
        answers: One for each question, in order.
        guaranteed: To a question that wanted a guarantee, with time in plenty.
        late: How many results the node itself counts as late, from its start on.
    """

    timing: str
    reason: str
    scheduling: str
    answers: tuple[Answer, ...]
    guaranteed: Answer
    late: int

    @property
    def missed(self) -> int:
        """Questions without a result within the deadline, on the device's own clock."""
        return sum(bool(each.code) or each.delay_us > DEADLINE_MS * 1_000 for each in self.answers)


def hog_count() -> int:
    """Return one for each processor and some: whoever waits for a turn waits for real."""
    return len(os.sched_getaffinity(0)) + HOGS_BEYOND_CORES


async def trial(folder: Path, calls: int) -> dict[EnterpriseId, Kept]:
    """Ask each node so many questions beside hogs, and return how each did.

    Args:
        folder: A new one.
        calls: Questions for each node, one each ``PERIOD_MS``.
    """
    _found(folder)
    async with AsyncExitStack() as stack:
        for name, under in NODES.items():
            await stack.enter_async_context(_node(enterprise_folder(folder, name), under))
        device = await stack.enter_async_context(_device(_round(folder, calls)))
        async with _hogs(hog_count()):
            outcome = await _told_to_begin(device)
        return {name: await _kept(name, enterprise_folder(folder, name), outcome) for name in NODES}


def _found(folder: Path) -> None:
    """Found enterprises that neither lend nor borrow; no hub is started."""
    timing = TimingSettings(job_budget_ms=JOB_BUDGET_MS)
    founding = Founding(
        consortium=EnterpriseId("trial"),
        timing=timing,
        lending=LendingSettings(),
        borrowers={},
        members=tuple(NODES),
    )
    found_consortium(founding, folder)
    for name in founding.members:
        own = enterprise_folder(folder, name)
        options = read_options(own, NodeOptions)
        write_settings(own, msgspec.structs.replace(options, lending=None, borrowing=None))


@asynccontextmanager
async def _node(own: Path, under: Sequence[str]) -> AsyncIterator[None]:
    """Run a node until the block ends; ``under`` is a program to start it with."""
    command = (*under, sys.executable, "-m", "mutualedge", "node", str(own))
    with (own / EVENTS_FILE).open("ab") as events, (own / ERRORS_FILE).open("ab") as errors:
        child = await asyncio.create_subprocess_exec(*command, stdout=events, stderr=errors)
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not (own / READY_FILE).exists():
                assert child.returncode is None, (own / ERRORS_FILE).read_text()[-2000:]
                await asyncio.sleep(POLL_S)
        yield
    finally:
        await _ended(child)


@asynccontextmanager
async def _device(order: Round) -> AsyncIterator[Process]:
    """Start a device and yield it once it has warmed both nodes up."""
    command = (sys.executable, "-m", "benchmarks.timing.device")
    child = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=1 << 20)
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(msgspec.json.encode(order) + b"\n")
        async with asyncio.timeout(ROUND_TIMEOUT_S):
            warm = await child.stdout.readline()
        assert warm.decode().strip() == WARM, "the device did not start"
        yield child
    finally:
        await _ended(child)


async def _told_to_begin(device: Process) -> Outcome:
    assert device.stdin is not None
    assert device.stdout is not None
    device.stdin.write(b"begin\n")
    async with asyncio.timeout(ROUND_TIMEOUT_S):
        return msgspec.json.decode(await device.stdout.readline(), type=Outcome)


@asynccontextmanager
async def _hogs(count: int) -> AsyncIterator[None]:
    """Let so many programs take all the processor time they get, until the block ends."""
    hogs = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", HOG, stdin=DEVNULL)
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for hog in hogs:
            await _ended(hog)


async def _ended(child: Process) -> None:
    with suppress(ProcessLookupError):
        child.terminate()
    await child.wait()


def _round(folder: Path, calls: int) -> Round:
    nodes = []
    for name in NODES:
        own = enterprise_folder(folder, name)
        password = read_process_file(own, NodeFile).device_password
        nodes.append(Asked(name=name, url=Processes.ready(own).client_url, password=password))
    return Round(nodes=tuple(nodes), calls=calls, period_ms=PERIOD_MS, deadline_ms=DEADLINE_MS)


async def _kept(name: EnterpriseId, own: Path, outcome: Outcome) -> Kept:
    (guaranteed,) = (each for each in outcome.guaranteed if each.name == name)
    answers = tuple(each for each in outcome.answers if each.name == name)
    status = await _status_after(own, WARM_UP_CALLS + len(answers) + 1)
    assert status.node is not None
    return Kept(
        timing=str(status.runner["timing"]),
        reason=str(status.runner["timing_reason"]),
        scheduling=_scheduling(status.pid),
        answers=answers,
        guaranteed=guaranteed,
        late=status.node.readings.late,
    )


def _scheduling(pid: int) -> str:
    if os.sched_getscheduler(pid) in REAL_TIME:
        return "real time"
    return "raised" if os.getpriority(os.PRIO_PROCESS, pid) == NICE else "ordinary"


async def _status_after(own: Path, readings: int) -> ProcessStatus:
    """Return a node's status once it knows of so many readings, within seconds."""
    async with asyncio.timeout(STATUS_TIMEOUT_S):
        while True:
            status = read_status(own)
            if status is not None and status.node and status.node.readings.taken >= readings:
                return status
            await asyncio.sleep(POLL_S)
