"""The rehearsal: three enterprises on this machine, from founding to proved credits.

A day of 24 hours passes in seconds. Each enterprise is busy at another hour, so each borrows and
lends in turn; in the middle one node loses power while it works for the others.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mutualedge.app.auditing import export_bundle, verify_file
from mutualedge.app.demo.books import (
    Books,
    is_final,
    is_witnessed,
    read_books,
    unresolved,
    used_leases,
)
from mutualedge.app.demo.cast import LEASE_MS, MACHINES, TRADES, founding
from mutualedge.app.demo.day import HOURS, Day
from mutualedge.app.demo.floor import DEADLINE_S, Floor
from mutualedge.app.demo.stock import Devices
from mutualedge.app.demo.tally import Tally
from mutualedge.app.demo.words import sentence_of
from mutualedge.app.files import NodeFile, enterprise_folder, read_process_file
from mutualedge.app.founding import HUB, found_consortium
from mutualedge.app.local_processes import Fields, Processes
from mutualedge.app.processes import cause_of
from mutualedge.audit import Report
from mutualedge.errors import UsageError
from mutualedge.model import NS_PER_S, AssuranceLevel, EnterpriseId

BUNDLE_FILE = "bundle.jsonl"

STEP_TIMEOUT_S = 20.0

SETTLE_TIMEOUT_S = 40.0
"""After the last lease's end: graces and dispute window, several times over."""

WITNESS_TIMEOUT_S = 10.0
"""Twenty checkpoints; a log that lacks a cosignature then is exported all the same, and judged."""

CLOSINGS_MAX = 5
"""Times the hub is stopped; a block sealed just then needs it again to be countersigned."""

POLL_S = 0.1
TELL_EVERY_S = 1.4
"""Somebody watches: so often something is said, in whole hours of the rehearsal's day."""

OUTAGE_HOUR = 13
"""When the factory is at its busiest and the builder has room for it."""

IN_FLIGHT_S = 0.02
"""After a tick began: its machines have reported, and what does not fit at home is at partners."""

OFF_S = 1.0
"""Until somebody switches the node on again; its start comes on top."""

Say = Callable[[str], None]

GRADES = ("best-effort", "prioritised", "enforced")
"""How well a node keeps its times, worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What happened, and what the auditor says about it.

    Attributes:
        timing: Grade of each enterprise's runner, the worst of its starts.
        assurance: The weakest that a session's evidence proved.
        attested_sessions: Sessions opened after their evidence was appraised.
        off_s: How long the node without power was away.
    """

    tally: Tally
    books: Books
    report: Report
    timing: dict[EnterpriseId, str]
    assurance: AssuranceLevel
    attested_sessions: int
    off_s: float

    @property
    def weakest_timing(self) -> str:
        """The worst grade of all runners."""
        return min(self.timing.values(), key=GRADES.index)


@dataclass(slots=True, kw_only=True)
class Stage:
    """What all acts of the rehearsal share."""

    folder: Path
    day: Day
    devices: Devices
    say: Say
    processes: Processes
    tally: Tally = field(default_factory=Tally)
    floors: dict[EnterpriseId, Floor] = field(default_factory=dict)
    off_s: float = 0.0

    def __post_init__(self) -> None:
        """Open a shop floor for each enterprise."""
        for name, devices in self.devices.items():
            self.floors[name] = Floor(name, devices, self.tally)


async def rehearse(folder: Path, day: Day, devices: Devices, say: Say) -> Rehearsed:
    """Run everything once in ``folder`` and return what happened and what the auditor says.

    Raises:
        UsageError: A process did not start or a step did not happen in time.
    """

    def hear(name: EnterpriseId, event: str, fields: Fields) -> None:
        sentence = sentence_of(name, event, fields)
        if sentence is not None:
            say(sentence)

    who = ", ".join(f"{name} ({trade})" for name, trade in TRADES.items())
    say(f"1. Three enterprises found a consortium: {who}. Each makes its keys and member card.")
    found_consortium(founding(), folder)
    async with Processes(folder, hear) as processes:
        stage = Stage(folder=folder, day=day, devices=devices, say=say, processes=processes)
        await _open(stage)
        async with _devices_connected(stage):
            await _live_through(stage)
        await _settle(stage)
    return await _prove(stage)


async def _open(stage: Stage) -> None:
    """Start everything and return once every enterprise can borrow from both others."""
    say, processes = stage.say, stage.processes
    say("2. The hub and three nodes start, each with its own NATS server, store and runner.")
    await processes.start("hub", HUB)
    say("   the hub answers")
    await asyncio.gather(*(processes.start("node", name) for name in TRADES))
    partners = len(TRADES) - 1
    for name in TRADES:
        await processes.wait_for(name, "runner.started", STEP_TIMEOUT_S)
        await processes.wait_for(name, "lease.agreed", STEP_TIMEOUT_S, count=partners)
    say(f"   Walls around each runner: {_walls(processes, 'layers')}.")
    say(f"   Walls that are missing: {_walls(processes, 'missing')}.")
    leases = len(TRADES) * partners
    say(
        f"3. Each borrows from both others: {leases} leases of {LEASE_MS / 1000:.0f} s are signed "
        "by both sides, and the ledger reserves their price."
    )
    for name in TRADES:
        await processes.wait_for(name, "session.opened", STEP_TIMEOUT_S, count=partners)
    say(
        "4. Borrowers appraise the evidence of the runners that will work for them: it fits the "
        f"trust file; assurance: {_assurance(processes)}. {leases} encrypted sessions are open."
    )


def _walls(processes: Processes, field: str) -> str:
    """Return what stands around the runners, or does not, once where it is the same."""
    walls = [str(processes.notes(name, "runner.spawned")[-1][field]) for name in TRADES]
    return "; ".join(dict.fromkeys(walls))


@asynccontextmanager
async def _devices_connected(stage: Stage) -> AsyncIterator[None]:
    try:
        for name in TRADES:
            await _connect(stage, name)
        yield
    finally:
        for floor in stage.floors.values():
            await floor.disconnect()


async def _connect(stage: Stage, name: EnterpriseId) -> None:
    own = enterprise_folder(stage.folder, name)
    password = read_process_file(own, NodeFile).device_password
    await stage.floors[name].connect(Processes.ready(own).client_url, password)


async def _live_through(stage: Stage) -> None:
    """Let the machines report, tell what happens, and cut the power of one node."""
    day = stage.day
    machines = sum(map(len, stage.devices.values()))
    stage.say(
        f"5. The day begins: {HOURS} hours in {day.length_s:.0f} s. {machines} machines report "
        f"{day.invocations} times; each answer is due after {DEADLINE_S * 1000:.0f} ms."
    )
    since_s = asyncio.get_running_loop().time()
    try:
        async with asyncio.TaskGroup() as living:
            for name, floor in stage.floors.items():
                living.create_task(floor.work(day.turns[name], since_s))
            living.create_task(_tell_hours(stage, since_s))
            living.create_task(_lose_power(stage, since_s))
    except ExceptionGroup as failed:
        raise cause_of(failed) from failed
    if any(floor.has_backlog for floor in stage.floors.values()):
        stage.say("   Readings of your files that got no result are sent again.")
        for floor in stage.floors.values():
            await floor.catch_up(HOURS - 1)


async def _sleep_until(at_s: float) -> None:
    await asyncio.sleep(max(0.0, at_s - asyncio.get_running_loop().time()))


async def _tell_hours(stage: Stage, since_s: float) -> None:
    """Say who lent to whom, every few hours."""
    step = hours_between(stage.day.length_s)
    for until in range(step, HOURS + 1, step):
        await _sleep_until(since_s + stage.day.at_s(until) + DEADLINE_S)
        hours = range(until - step, until)
        told = "; ".join(roles_of(stage.tally, hours)) or "nobody borrows"
        stage.say(f"   {hours.start:02}:00 to {until:02}:00  {told}")


def hours_between(day_s: float) -> int:
    """Return how many hours of a day of this length one sentence is about."""
    whole = (hours for hours in range(1, HOURS) if HOURS % hours == 0)
    return next((each for each in whole if day_s * each / HOURS >= TELL_EVERY_S), HOURS)


def roles_of(tally: Tally, hours: range) -> Iterator[str]:
    """Yield what each enterprise that needed others in these hours got from whom."""
    for name in TRADES:
        count = tally.count(name, hours)
        lenders = sorted(tally.lenders(name, hours).items())
        parts = []
        if lenders:
            helped = " and ".join(f"{lender} runs {number}" for lender, number in lenders)
            parts.append(f"{helped} of its {count.invocations}")
        if count.refused:
            parts.append(f"{count.refused} refused")
        if count.unanswered:
            parts.append(f"{count.unanswered} unanswered")
        if parts:
            yield f"{name}{' borrows' if lenders else ''}: {', '.join(parts)}"


async def _lose_power(stage: Stage, since_s: float) -> None:
    """Kill a node when partners have just sent it work, and start it again."""
    say, processes, clock_s = stage.say, stage.processes, asyncio.get_running_loop().time
    await _sleep_until(since_s + stage.day.at_s(OUTAGE_HOUR) + IN_FLIGHT_S)
    off_s = clock_s()
    await processes.kill(MACHINES)
    say(
        f"   {OUTAGE_HOUR}:00  {MACHINES}' node loses power (kill -9) while it has promised its "
        "time to the others."
    )
    await stage.floors[MACHINES].disconnect()
    await asyncio.sleep(OFF_S)
    starts = len(processes.notes(MACHINES, "runner.started"))
    await processes.start("node", MACHINES)
    await _connect(stage, MACHINES)
    await processes.wait_for(MACHINES, "runner.started", STEP_TIMEOUT_S, count=starts + 1)
    stage.off_s = clock_s() - off_s
    say(
        f"   {MACHINES}' node is back after {stage.off_s:.1f} s with all it had stored. Its new "
        "runner must show new evidence before anybody sends it work."
    )


async def _settle(stage: Stage) -> None:
    """Return once every lease that was used is settled and every log is cosigned.

    Raises:
        UsageError: A lease is not settled in time.
    """
    used = used_leases(stage.folder, TRADES)
    ends_ns = [terms.ends_ns for terms in unresolved(stage.folder, TRADES, used)]
    ends_s = max(0.0, (max(ends_ns, default=0) - time.time_ns()) / NS_PER_S)
    stage.say(
        f"6. The day is over. The last lease in use ends in {ends_s:.1f} s; for each both sides "
        "sign a statement, and the ledger settles it."
    )
    is_settled = partial(_all_settled, stage.folder, used)
    if not await _until(is_settled, ends_s + SETTLE_TIMEOUT_S):
        sentence = "A lease is not settled in time; repeat with --keep and look at the events."
        raise UsageError("demo.lease.unsettled", sentence)
    stage.say(
        f"   {len(used)} leases were used and are settled. Partners and hub cosign the logs, and "
        "all members countersign the last block."
    )
    await _until(partial(_all_witnessed, stage.folder), WITNESS_TIMEOUT_S)
    await _close_ledger(stage)


async def _close_ledger(stage: Stage) -> None:
    """Stop the hub behind a block that all members countersigned; leases are renewed meanwhile."""
    is_closed = partial(is_final, stage.folder, TRADES)
    for _ in range(CLOSINGS_MAX):
        await _until(is_closed, STEP_TIMEOUT_S)
        await stage.processes.stop(HUB)
        if is_closed():
            return
        await stage.processes.start("hub", HUB)


async def _until(holds: Callable[[], bool], timeout_s: float) -> bool:
    """Return whether something holds within a time."""
    clock_s = asyncio.get_running_loop().time
    ends_s = clock_s() + timeout_s
    while not (held := holds()) and clock_s() < ends_s:  # noqa: ASYNC110 - it happens in other processes
        await asyncio.sleep(POLL_S)
    return held


def _all_settled(folder: Path, used: frozenset[str]) -> bool:
    return not any(unresolved(folder, TRADES, used))


def _all_witnessed(folder: Path) -> bool:
    return all(is_witnessed(folder, name, witnesses=len(TRADES)) for name in TRADES)


async def _prove(stage: Stage) -> Rehearsed:
    """Export what the stopped processes stored, and have it audited."""
    bundle = stage.folder / BUNDLE_FILE
    folders = [enterprise_folder(stage.folder, name) for name in TRADES]
    size_bytes = await asyncio.to_thread(export_bundle, folders, bundle)
    stage.say(
        "7. Every process is stopped. What they stored is exported as one bundle of "
        f"{size_bytes / 1024:.0f} KiB."
    )
    stage.say("8. The auditor re-checks everything, offline.")
    report = await asyncio.to_thread(verify_file, bundle)
    processes = stage.processes
    return Rehearsed(
        tally=stage.tally,
        books=await asyncio.to_thread(read_books, stage.folder, bundle),
        report=report,
        timing={name: _grade(processes, name) for name in TRADES},
        assurance=_assurance(processes),
        attested_sessions=sum(len(processes.notes(name, "session.opened")) for name in TRADES),
        off_s=stage.off_s,
    )


def _grade(processes: Processes, name: EnterpriseId) -> str:
    grades = [str(note["timing"]) for note in processes.notes(name, "runner.spawned")]
    return min(grades, key=GRADES.index)


def _assurance(processes: Processes) -> AssuranceLevel:
    """Return the weakest level that anybody's evidence proved."""
    levels = [
        AssuranceLevel(str(note["assurance"]))
        for name in TRADES
        for note in processes.notes(name, "evidence.appraised")
    ]
    return min(levels, key=lambda level: level.rank)
