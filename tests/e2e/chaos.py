"""Kills random processes of a consortium under load, then asks what was lost or doubled.

`python -m tests.e2e.chaos --kills 1000 --seed 7` prints one JSON object and exits 0 if nothing was.
The seed fixes who is killed when; what each process is doing at that moment is up to the machine.
The consortium is kept by `mutualedge up`, which is killed as well and then said again.
"""

import argparse
import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mutualedge.app.devices import DeviceClient, new_invocation
from mutualedge.app.founding import HUB
from mutualedge.app.local_processes import ERRORS_FILE
from mutualedge.app.rotation import rotated_files
from mutualedge.errors import MutualEdgeError, RefusedByPolicy
from mutualedge.model import DeviceId, InvocationId, Milliseconds
from mutualedge.protocol import ReadingScored
from tests.e2e.kept import NAMES, SUPERVISOR, KeptPlant, kept_plant
from tests.e2e.plant import BAKERY, HARBOUR, kill_process
from tests.e2e.settlement import Settlement, is_settled, settlement_of

LEASE_MS = 6_000
DEVICES = 8
READINGS = 20
JOB_BUDGET_MS = 500
DEADLINES_S = (0.4, 1.2)
"""The bakery reserves half a second for a job of its own: what is due sooner goes elsewhere."""

REPEATS_MAX = 5
REPEAT_AFTER_S = 0.2

AFTERWARDS_DEADLINE_S = 5.0
AFTERWARDS_REPEATS_MAX = 60
"""Once the storm is over nothing stays unanswered: a minute is enough for every process to start."""

BURST_MAX = 24
PAUSE_S_MAX = 0.4
"""Kills come in bursts, most of them while something still recovers from the kill before."""

RECOVERY_S_MAX = 20.0
WORK_S_MAX = 1.0
"""Between two bursts the harbour works again, if it can within so long, for up to so long. A busy
machine starts slowly, and kills at a fixed pace would find nothing but processes that start."""

SUPERVISOR_SHARE = 0.04
"""Of the kills. With the supervisor everything dies, which hides what one death alone does."""

POLL_S = 0.05
SETTLE_TIMEOUT_S = 90.0
"""The last lease's end, its grace and two restarts take ten seconds on an idle machine."""

STATUSES = frozenset({-9, 64, 70, 75})
"""Killed; refused a start; could not go on; found something taken. Nobody ends as if all were well."""

LAST_WORDS = (
    "[nats.server.ended]",
    "[nats.server.failed]",
)
"""Its server ended, perhaps while it started it."""

UP_STATUSES = frozenset({0, 3, 64})
"""All runs; something was killed meanwhile; the supervisor itself was."""


def storm_s_max(kills: int) -> float:
    """Return the longest a storm lasts: each kill a burst of its own, each pause the longest."""
    return kills * (RECOVERY_S_MAX + WORK_S_MAX + PAUSE_S_MAX)


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
    """Devices that never rest, and what became of each invocation.

    Attributes:
        accepted: Invocations that were sent at least once.
        acknowledged: Those that were answered with a result.
        refused: Those that were answered with a code.
        unanswered: Those that were not answered yet, to be asked again.
    """

    accepted: set[InvocationId] = field(default_factory=set)
    acknowledged: dict[InvocationId, ReadingScored] = field(default_factory=dict)
    refused: dict[InvocationId, str] = field(default_factory=dict)
    unanswered: dict[InvocationId, DeviceId] = field(default_factory=dict)
    sent: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    offloaded: int = 0
    is_over: bool = False

    async def drive(self, client: DeviceClient, device: DeviceId, chance: random.Random) -> None:
        """Send one batch after the other; what was not answered is asked again, unchanged."""
        while not self.is_over:
            invocation, deadline_s = new_invocation(), chance.choice(DEADLINES_S)
            self.accepted.add(invocation)
            self.unanswered[invocation] = device
            await self._insist(client, invocation, deadline_s, REPEATS_MAX)
            await asyncio.sleep(chance.uniform(0.0, 0.1))

    async def finish(self, client: DeviceClient) -> None:
        """Ask once more, unchanged, for whatever was not answered."""
        for invocation in list(self.unanswered):
            await self._insist(client, invocation, AFTERWARDS_DEADLINE_S, AFTERWARDS_REPEATS_MAX)

    async def _insist(
        self, client: DeviceClient, invocation: InvocationId, deadline_s: float, repeats_max: int
    ) -> None:
        for _ in range(repeats_max):
            if await self._send(client, invocation, deadline_s):
                del self.unanswered[invocation]
                return
            await asyncio.sleep(REPEAT_AFTER_S)

    async def _send(
        self, client: DeviceClient, invocation: InvocationId, deadline_s: float
    ) -> bool:
        """Send a batch; tell whether there was an answer, of whichever kind."""
        self.sent += 1
        readings = [40.0 + (index * 7) % 5 for index in range(READINGS)]
        device = self.unanswered[invocation]
        try:
            scored = await client.score(
                device, readings, deadline_s=deadline_s, invocation=invocation
            )
        except RefusedByPolicy as refusal:
            self.refused[invocation] = refusal.code
        except MutualEdgeError as failure:
            self.lost[failure.code] += 1
            return False
        else:
            self.offloaded += scored.placed == HARBOUR
            self.acknowledged[invocation] = scored
        return True


@dataclass(slots=True)
class Storm:
    """Kills what runs; who starts it again is the product."""

    founded: KeptPlant
    chance: random.Random
    load: Load
    killed: Counter[str] = field(default_factory=Counter)
    ups: Counter[int] = field(default_factory=Counter)

    async def operate(self) -> None:
        """Say `mutualedge up` whenever no supervisor runs, as systemd or an operator does."""
        while not (is_up := self.founded.is_supervised()) or not self.load.is_over:
            if is_up:
                await asyncio.sleep(POLL_S)
            else:
                ended = await self.founded.up()
                self.ups[ended.status] += 1

    async def blow(self, kills: int) -> None:
        """Kill so many processes."""
        while self.killed.total() < kills:
            await self._wait_work()
            await self._pause(WORK_S_MAX)
            for _ in range(self.chance.randint(1, BURST_MAX)):
                self._kill_one()
                await self._pause(PAUSE_S_MAX)

    async def _pause(self, s_max: float) -> None:
        await asyncio.sleep(self.chance.uniform(0, s_max))

    async def _wait_work(self) -> None:
        """Return once the harbour worked again, or after a while."""
        before = self.load.offloaded
        with contextlib.suppress(TimeoutError):
            await self.founded.until(lambda: self.load.offloaded > before, RECOVERY_S_MAX)

    def _kill_one(self) -> None:
        alive = list(self.founded.alive())
        roles = sorted({role for role, _ in alive} - {SUPERVISOR})
        if alive and self.chance.random() < SUPERVISOR_SHARE:
            roles = [SUPERVISOR]
        if roles:
            role = self.chance.choice(roles)
            process_id = self.chance.choice([pid for each, pid in alive if each == role])
            self.killed[role] += kill_process(process_id)


ROLES = frozenset(
    {
        SUPERVISOR,
        *("hub", "hub nats-server"),
        *(BAKERY, f"{BAKERY} nats-server", f"{BAKERY} runner"),
        *(HARBOUR, f"{HARBOUR} nats-server", f"{HARBOUR} runner"),
    }
)
"""Everything that can be killed."""


class Invocations(msgspec.Struct, frozen=True, kw_only=True):
    """What became of what the devices asked for: accepted is the sum of the three below it.

    Attributes:
        sent: Messages, repeats included.
        unheard: Messages without an answer, by why; each was sent again.
    """

    accepted: int
    delivered: dict[str, int]
    refused: dict[str, int]
    unanswered: list[str]
    sent: int
    unheard: dict[str, int]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a storm did and what it broke: nothing, if all goes well."""

    seed: int
    killed: dict[str, int]
    ended: dict[str, int]
    ups: dict[str, int]
    invocations: Invocations
    records: int
    leases: dict[str, int]
    executed_microcredits: int
    posted_microcredits: int
    balances_microcredits: int
    lost_microcredits_max: int
    exposure_microcredits: int
    audit: str
    storm_s: float
    elapsed_s: float
    broken: list[str]


async def rage(folder: Path, kills: int, seed: int) -> Outcome:
    """Run a whole storm in a new folder, let it settle, and judge what is left."""
    started_s = time.monotonic()
    async with kept_plant(folder, lease_ms=LEASE_MS) as founded:
        tell_bakery(founded, kills)
        up = await founded.up()
        assert up.status == 0, up
        storm = Storm(founded, random.Random(seed), Load())
        begun_s = time.monotonic()
        await blow_under_load(storm, kills, seed)
        storm_s = time.monotonic() - begun_s
        await founded.down()
        stop_borrowing(founded)
        up = await founded.up()
        assert up.status == 0, up
        await founded.until(lambda: is_settled(founded), SETTLE_TIMEOUT_S)
        await founded.down()
        return judged(storm, seed, storm_s, time.monotonic() - started_s)


async def blow_under_load(storm: Storm, kills: int, seed: int) -> None:
    """Let devices work through the whole storm, then ask until each invocation is answered."""
    load = storm.load
    async with await storm.founded.connect_device() as client, asyncio.TaskGroup() as running:
        running.create_task(storm.operate())
        async with asyncio.TaskGroup() as devices:
            for number in range(DEVICES):
                device = DeviceId(f"wrapper-{number}")
                devices.create_task(load.drive(client, device, random.Random(f"{seed} {number}")))
            await storm.blow(kills)
            load.is_over = True
        await load.finish(client)


def tell_bakery(founded: KeptPlant, kills: int) -> None:
    """Let it reserve much for its own jobs, and agree on leases that outlast the storm."""
    options = founded.options(BAKERY)
    timing = msgspec.structs.replace(
        options.timing,
        job_budget_ms=JOB_BUDGET_MS,
        dispute_window_ms=Milliseconds(dispute_window_ms(kills)),
    )
    founded.choose(BAKERY, msgspec.structs.replace(options, timing=timing))


def stop_borrowing(founded: KeptPlant) -> None:
    """Let the bakery borrow no further from its next start on."""
    founded.choose(BAKERY, msgspec.structs.replace(founded.options(BAKERY), borrowing=None))


def judged(storm: Storm, seed: int, storm_s: float, elapsed_s: float) -> Outcome:
    settled = settlement_of(storm.founded)
    books = settled.leases.values()
    ends = Counter(f"{note['process']} {note['status']}" for note in storm.founded.ends())
    return Outcome(
        seed=seed,
        killed=dict(sorted(storm.killed.items())),
        ended=dict(sorted(ends.items())),
        ups={str(status): times for status, times in sorted(storm.ups.items())},
        invocations=counted(storm.load),
        records=settled.report.counts.records,
        leases=dict(Counter(str(lease.status) for _, lease in settled.ledger.leases)),
        executed_microcredits=sum(each.executed_microcredits for each in books),
        posted_microcredits=sum(each.posted_microcredits for each in books),
        balances_microcredits=sum(
            account.balance_microcredits for _, account in settled.ledger.accounts
        ),
        lost_microcredits_max=max((each.lost_microcredits for each in books), default=0),
        exposure_microcredits=max((each.exposure_microcredits for each in books), default=0),
        audit=settled.report.status,
        storm_s=round(storm_s, 1),
        elapsed_s=round(elapsed_s, 1),
        broken=[
            *broken_money(settled),
            *broken_promises(settled, storm.load),
            *broken_ends(storm),
        ],
    )


def counted(load: Load) -> Invocations:
    delivered = Counter(str(scored.placed) for scored in load.acknowledged.values())
    return Invocations(
        accepted=len(load.accepted),
        delivered=dict(sorted(delivered.items())),
        refused=dict(sorted(Counter(load.refused.values()).items())),
        unanswered=sorted(load.unanswered),
        sent=load.sent,
        unheard=dict(sorted(load.lost.items())),
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
    fates = [*load.acknowledged, *load.refused, *load.unanswered]
    if Counter(fates) != Counter(load.accepted):
        yield f"{len(load.accepted)} invocations were accepted and {len(fates)} had an end"
    for invocation in load.unanswered:
        yield f"invocation {invocation} was not answered even after the storm"
    for invocation, scored in load.acknowledged.items():
        if scored.placed == HARBOUR and invocation not in settled.recorded:
            yield f"invocation {invocation} was acknowledged and nobody accounts for it"
    for invocation in settled.charged_twice:
        yield f"invocation {invocation} was charged twice"


def broken_ends(storm: Storm) -> Iterator[str]:
    """Yield how the processes ended and what they said, but for what a kill explains."""
    for note in storm.founded.ends():
        if note["status"] not in STATUSES:
            yield f"{note['process']} ended with status {note['status']}: {note['words']}"
    for status, times in storm.ups.items():
        if status not in UP_STATUSES:
            yield f"'mutualedge up' ended {times} times with {status}"
    for name in NAMES:
        for path in rotated_files(storm.founded.own(name) / ERRORS_FILE):
            for line in path.read_text().splitlines():
                if not line.endswith(LAST_WORDS):
                    yield f"{name} said: {line}"


def main() -> None:
    """Run a storm from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
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
