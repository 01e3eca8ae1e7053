"""Kills random processes of a consortium under load, then asks what was lost or doubled.

`python -m tests.e2e.chaos --kills 1000 --seed 7` prints one JSON object and exits 0 if nothing was.
The seed fixes who is killed when; what each process is doing at that moment is up to the machine.
The consortium is kept by `mutualedge up`, which is killed as well and then said again.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mutualedge.app.local_processes import ERRORS_FILE
from mutualedge.app.operation.rotation import rotated_files
from mutualedge.model import Milliseconds
from tests.e2e.kept import NAMES, SUPERVISOR, KeptPlant, kept_plant
from tests.e2e.load import (
    JOB_BUDGET_MS,
    SETTLE_TIMEOUT_S,
    Invocations,
    Load,
    broken_money,
    broken_promises,
    counted,
    settle,
    under_load,
)
from tests.e2e.plant import BAKERY, HARBOUR, kill_process
from tests.e2e.settlement import Settlement

LEASE_MS = 6_000

BURST_MAX = 24
PAUSE_S_MAX = 0.4
"""Kills come in bursts, most of them while something still recovers from the kill before."""

RECOVERY_S_MAX = 5.0
WORK_S_MAX = 1.0
"""Between two bursts the harbour works again, if it can within so long, for up to so long. A busy
machine starts slowly, and kills at a fixed pace would find nothing but processes that start."""

SUPERVISOR_SHARE = 0.03
"""Of the kills. With the supervisor everything dies, which hides what one death alone does."""

POLL_S = 0.05

STATUSES = frozenset({-9, 64, 70, 75, 77})
"""Killed; refused a start; could not go on; found its port taken. None ends as if all were well."""

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
        if roles and self.chance.random() < SUPERVISOR_SHARE:
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
        begun_s = time.monotonic()
        async with asyncio.TaskGroup() as operating, under_load(founded, seed) as load:
            storm = Storm(founded, random.Random(seed), load)
            operating.create_task(storm.operate())
            await storm.blow(kills)
        storm_s = time.monotonic() - begun_s
        settled = await settle(founded)
        return judged(storm, settled, seed, storm_s, time.monotonic() - started_s)


def tell_bakery(founded: KeptPlant, kills: int) -> None:
    """Let it reserve much for its own jobs, and agree on leases that outlast the storm."""
    options = founded.options(BAKERY)
    timing = msgspec.structs.replace(
        options.timing,
        job_budget_ms=JOB_BUDGET_MS,
        dispute_window_ms=Milliseconds(dispute_window_ms(kills)),
    )
    founded.choose(BAKERY, msgspec.structs.replace(options, timing=timing))


def judged(
    storm: Storm, settled: Settlement, seed: int, storm_s: float, elapsed_s: float
) -> Outcome:
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
