"""Kills random processes of a consortium under load, then asks what was lost or doubled.

`python -m tests.e2e.chaos --kills 1000 --seed 7` prints one JSON object and exits 0 if nothing was.
The seed fixes who is killed when; what each process is doing at that moment is up to the machine.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mutualedge.app.devices import DeviceClient, new_invocation
from mutualedge.app.founding import HUB, _free_port
from mutualedge.app.local_processes import ERRORS_FILE
from mutualedge.errors import MutualEdgeError, RefusedByPolicy
from mutualedge.model import DeviceId, EnterpriseId, InvocationId, Milliseconds
from mutualedge.protocol import ReadingScored
from tests.e2e.plant import (
    BAKERY,
    HARBOUR,
    READY_TIMEOUT_S,
    Plant,
    descendants,
    kill_process,
    plant,
    start_nodes,
)
from tests.e2e.settlement import Settlement, is_settled, settlement_of

LEASE_MS = 6_000
DEVICES = 8
READINGS = 20
JOB_BUDGET_MS = 500
DEADLINES_S = (0.4, 1.2)
"""The bakery reserves half a second for a job of its own: what is due sooner goes elsewhere."""

REPEATS_MAX = 5
REPEAT_AFTER_S = 0.2

BURST_MAX = 12
PAUSE_STARTS_MAX = 0.4
"""Kills come in bursts, most of them while something still recovers from the kill before."""

RECOVERY_STARTS_MAX = 8.0
WORK_STARTS_MAX = 1.0
"""Between two bursts the harbour works again, if it can, for up to so long.

All three are in starts: the time from a process's beginning until it answers, as this machine
needed it lately. A busy machine starts slowly, and kills at a fixed pace would then find
nothing but processes that are starting.
"""

LATELY_STARTS = 8
"""The quickest of so many tells how busy the machine is, not how many processes start at once."""

RESTART_AFTER_S = 0.1
SETTLE_TIMEOUT_S = 90.0
"""The last lease's end, its grace and two restarts take ten seconds on an idle machine."""

STATUSES = frozenset({-9, 64, 70})
"""Killed; refused a start; could not go on. Nobody ends by itself as if all were well."""

LAST_WORDS = (
    "[nats.server.ended]",
    "[nats.server.failed]",
)
"""Its server ended, perhaps while it started it."""


def storm_s_max(kills: int) -> float:
    """Return the longest a storm lasts: each kill a burst of its own, each pause the longest."""
    return kills * READY_TIMEOUT_S * (RECOVERY_STARTS_MAX + WORK_STARTS_MAX + PAUSE_STARTS_MAX)


def dispute_window_ms(kills: int) -> int:
    """Return how long after its end a lease can be claimed: until the storm is surely over.

    A claim is owed its answer only if ledger and claimant are up together once in the window. The
    storm kills them faster than a loaded machine starts them, and promises no such moment before
    its end; nor does the product. A shorter window would measure the machine, and what a claim
    that comes too late loses is the simulation's to judge: it kills by simulated time.
    """
    return round((storm_s_max(kills) + SETTLE_TIMEOUT_S) * 1000)


@dataclass(slots=True)
class Load:
    """Devices that never rest, and what they were told."""

    acknowledged: dict[InvocationId, ReadingScored] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    is_over: bool = False

    async def drive(self, client: DeviceClient, device: DeviceId, chance: random.Random) -> None:
        """Send one batch after the other; what was not answered is asked again, unchanged."""
        while not self.is_over:
            await self._send(client, device, chance.choice(DEADLINES_S))
            await asyncio.sleep(chance.uniform(0.0, 0.1))

    async def _send(self, client: DeviceClient, device: DeviceId, deadline_s: float) -> None:
        invocation = new_invocation()
        readings = [40.0 + (index * 7) % 5 for index in range(READINGS)]
        for _ in range(REPEATS_MAX):
            self.counts["sent"] += 1
            try:
                scored = await client.score(
                    device, readings, deadline_s=deadline_s, invocation=invocation
                )
            except RefusedByPolicy as refusal:
                self.counts[f"refused {refusal.code}"] += 1
                return
            except MutualEdgeError as failure:
                self.counts[f"unanswered {failure.code}"] += 1
                await asyncio.sleep(REPEAT_AFTER_S)
            else:
                self.counts["offloaded" if scored.placed == HARBOUR else "local"] += 1
                self.acknowledged[invocation] = scored
                return


@dataclass(slots=True)
class Storm:
    """Kills what runs, and starts again what a supervisor would."""

    founded: Plant
    chance: random.Random
    load: Load
    starts_s: deque[float]
    killed: Counter[str] = field(default_factory=Counter)
    ended: Counter[tuple[EnterpriseId, int]] = field(default_factory=Counter)

    async def keep(self, name: EnterpriseId) -> None:
        """Start a process again whenever it ended, as its supervisor does."""
        while True:
            status = await self.founded.children[name].wait()
            self.ended[name, status] += 1
            await asyncio.sleep(RESTART_AFTER_S)
            begun_s = time.monotonic()
            if await self.founded.wait_ready(name, await self.founded.spawn(name)):
                self.starts_s.append(time.monotonic() - begun_s)

    @property
    def start_s(self) -> float:
        """How long a process takes to start these days."""
        return min(self.starts_s)

    async def blow(self, kills: int) -> None:
        """Kill so many processes."""
        while self.killed.total() < kills:
            await self._wait_work()
            await self._pause(WORK_STARTS_MAX)
            for _ in range(self.chance.randint(1, BURST_MAX)):
                self._kill_one()
                await self._pause(PAUSE_STARTS_MAX)

    async def _pause(self, starts_max: float) -> None:
        await asyncio.sleep(self.chance.uniform(0, starts_max) * self.start_s)

    async def _wait_work(self) -> None:
        """Return once the harbour worked again, or after a while."""
        before = self.load.counts["offloaded"]
        timeout_s = RECOVERY_STARTS_MAX * self.start_s
        with contextlib.suppress(TimeoutError):
            await self.founded.until(lambda: self.load.counts["offloaded"] > before, timeout_s)

    def _kill_one(self) -> None:
        alive = list(self._alive())
        if alive:
            role = self.chance.choice(sorted({role for role, _ in alive}))
            process_id = self.chance.choice([pid for each, pid in alive if each == role])
            self.killed[role] += kill_process(process_id)

    def _alive(self) -> Iterator[tuple[str, int]]:
        for name, child in self.founded.children.items():
            if child.returncode is None:
                yield name, child.pid
                for process_id, command in descendants(child.pid):
                    yield f"{name} {role_of(command)}", process_id


ROLES = frozenset(
    {
        *("hub", "hub nats-server"),
        *(BAKERY, f"{BAKERY} nats-server", f"{BAKERY} runner"),
        *(HARBOUR, f"{HARBOUR} nats-server", f"{HARBOUR} runner"),
    }
)
"""Everything that can be killed."""


def role_of(command: str) -> str:
    return "nats-server" if "nats-server" in command else "runner"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a storm did and what it broke: nothing, if all goes well."""

    seed: int
    killed: dict[str, int]
    ended: dict[str, int]
    devices: dict[str, int]
    records: int
    leases: dict[str, int]
    executed_microcredits: int
    posted_microcredits: int
    lost_microcredits_max: int
    exposure_microcredits: int
    audit: str
    start_s: float
    elapsed_s: float
    broken: list[str]


async def rage(folder: Path, kills: int, seed: int) -> Outcome:
    """Run a whole storm in a new folder, let it settle, and judge what is left."""
    started_s = time.monotonic()
    chance = random.Random(seed)
    async with plant(folder, lease_ms=LEASE_MS) as founded:
        tell_bakery(founded, kills)
        begun_s = time.monotonic()
        await founded.start(HUB)
        starts_s = deque([time.monotonic() - begun_s], maxlen=LATELY_STARTS)
        await start_nodes(founded)
        storm = Storm(founded, chance, load := Load(), starts_s)
        async with await founded.connect_device() as client, asyncio.TaskGroup() as running:
            keeping = [running.create_task(storm.keep(name)) for name in founded.children]
            for number in range(DEVICES):
                device = DeviceId(f"wrapper-{number}")
                running.create_task(load.drive(client, device, random.Random(f"{seed} {number}")))
            await storm.blow(kills)
            load.is_over = True
            await stop_borrowing(founded)
            await founded.until(lambda: is_settled(founded), SETTLE_TIMEOUT_S)
            for task in keeping:
                task.cancel()
        await founded.stop_all()
        return judged(founded, storm, load, seed, time.monotonic() - started_s)


def tell_bakery(founded: Plant, kills: int) -> None:
    """Let it reserve much for its own jobs, and be found by its devices after a restart."""
    options = founded.options(BAKERY)
    timing = msgspec.structs.replace(
        options.timing,
        job_budget_ms=JOB_BUDGET_MS,
        dispute_window_ms=Milliseconds(dispute_window_ms(kills)),
    )
    network = msgspec.structs.replace(options.network, client_port=_free_port())
    founded.choose(BAKERY, msgspec.structs.replace(options, timing=timing, network=network))


async def stop_borrowing(founded: Plant) -> None:
    """End the bakery; whoever keeps it starts it again, and it borrows no further."""
    founded.choose(BAKERY, msgspec.structs.replace(founded.options(BAKERY), borrowing=None))
    await founded.stop(BAKERY)


def judged(founded: Plant, storm: Storm, load: Load, seed: int, elapsed_s: float) -> Outcome:
    settled = settlement_of(founded)
    books = settled.leases.values()
    return Outcome(
        seed=seed,
        killed=dict(sorted(storm.killed.items())),
        ended={f"{name} {status}": n for (name, status), n in sorted(storm.ended.items())},
        devices=dict(sorted(load.counts.items())),
        records=settled.report.counts.records,
        leases=dict(Counter(str(lease.status) for _, lease in settled.ledger.leases)),
        executed_microcredits=sum(each.executed_microcredits for each in books),
        posted_microcredits=sum(each.posted_microcredits for each in books),
        lost_microcredits_max=max((each.lost_microcredits for each in books), default=0),
        exposure_microcredits=max((each.exposure_microcredits for each in books), default=0),
        audit=settled.report.status,
        start_s=round(storm.start_s, 2),
        elapsed_s=round(elapsed_s, 1),
        broken=[
            *broken_money(settled),
            *broken_promises(settled, load),
            *broken_ends(founded, storm),
        ],
    )


def broken_money(settled: Settlement) -> Iterator[str]:
    """Yield what is wrong with the sums."""
    for finding in settled.report.findings[:5]:
        yield f"audit: {finding.rule} line {finding.line} [{finding.subject}] {finding.sentence}"
    if settled.report.status != "proved":
        yield f"the auditor says {settled.report.status}"
    if sum(account.balance_microcredits for _, account in settled.ledger.accounts):
        yield "the balances do not sum to zero"
    for lease_id, books in settled.leases.items():
        if books.lost_microcredits < 0:
            yield f"lease {lease_id}: posted {-books.lost_microcredits} more than executed"
        if books.lost_microcredits > books.exposure_microcredits:
            yield f"lease {lease_id}: lost {books.lost_microcredits}, more than W"
    for lease_id, lease in settled.ledger.leases:
        if not lease.is_resolved:
            yield f"lease {lease_id} is {lease.status} for ever"


def broken_promises(settled: Settlement, load: Load) -> Iterator[str]:
    """Yield which invocations were lost or doubled."""
    for invocation, scored in load.acknowledged.items():
        if scored.placed == HARBOUR and invocation not in settled.recorded:
            yield f"invocation {invocation} was acknowledged and nobody accounts for it"
    for invocation in settled.charged_twice:
        yield f"invocation {invocation} was charged twice"


def broken_ends(founded: Plant, storm: Storm) -> Iterator[str]:
    """Yield how the processes ended and what they said, but for what a kill explains."""
    for (name, status), times in storm.ended.items():
        # The bakery is asked to end once, so that it borrows no further; perhaps while it starts.
        was_asked = name == BAKERY and status in {0, -15} and times == 1
        if status not in STATUSES and not was_asked:
            yield f"{name} ended {times} times with status {status}"
    for name in founded.children:
        said = (founded.own(name) / ERRORS_FILE).read_text()
        for line in said.splitlines():
            if not line.endswith(LAST_WORDS):
                yield f"{name} said: {line}"


def main() -> None:
    """Run a storm from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="new folder for stores, logs and bundle")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutualedge-chaos-") as temporary:
        folder = asked.keep or Path(temporary) / "trial"
        outcome = asyncio.run(rage(folder.resolve(), asked.kills, asked.seed))
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    sys.exit(1 if outcome.broken else 0)


if __name__ == "__main__":
    main()
