"""The rehearsal: two enterprises on this machine, from founding to a proved credit."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mutualedge.app.auditing import export_bundle, verify_file
from mutualedge.app.devices import DeviceClient, connect_device
from mutualedge.app.files import NodeFile, enterprise_folder, read_process_file
from mutualedge.app.founding import HUB, Founding, found_consortium
from mutualedge.app.local_processes import Processes
from mutualedge.app.options import BorrowingSettings, LendingSettings, TimingSettings
from mutualedge.audit import Report
from mutualedge.errors import MutualEdgeError, UsageError
from mutualedge.model import DeviceId, EnterpriseId, Microcredits, Milliseconds
from mutualedge.protocol import ReadingScored

CANDY = EnterpriseId("candy")
LOGISTICS = EnterpriseId("logistics")

DEVICES = 8
ROUNDS = 8
READINGS = 60
ROUND_S = 0.5
DEADLINE_S = 0.12
LEASE_MS = 8_000
STEP_TIMEOUT_S = 20.0

TIMING = TimingSettings(
    job_budget_ms=20,
    network_ms=Milliseconds(5),
    window_calls=32,
    window_ms=Milliseconds(2_000),
    dispute_window_ms=Milliseconds(5_000),
    settle_grace_ms=Milliseconds(1_000),
    checkpoint_every_ms=Milliseconds(500),
    follow_every_ms=Milliseconds(200),
    request_timeout_ms=Milliseconds(2_000),
)
"""Everything in seconds that a plant has in hours, so that a whole lease fits the rehearsal."""

LENDING = LendingSettings(
    budget_ms=20,
    period_ms=25,
    deadline_ms=45,
    price_microcredits=Microcredits(50),
    credit_microcredits=Microcredits(10_000_000),
)

Say = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the readings."""

    local: int = 0
    offloaded: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    anomalies: int = 0
    slowest_ms: float = 0.0

    def add(self, scored: ReadingScored, elapsed_s: float) -> None:
        """Count a result."""
        if scored.placed == CANDY:
            self.local += 1
        else:
            self.offloaded += 1
        self.anomalies += sum(flag != 0 for flag in scored.flags)
        self.slowest_ms = max(self.slowest_ms, elapsed_s * 1000)


def founding() -> Founding:
    """Return the rehearsal's consortium: a candy factory borrows, a logistics hub lends."""
    borrowing = BorrowingSettings(
        providers=(LOGISTICS,),
        lease_ms=Milliseconds(LEASE_MS),
        renew_before_ms=Milliseconds(0),
        price_max_microcredits=Microcredits(100),
    )
    return Founding(
        consortium=EnterpriseId("rehearsal"),
        timing=TIMING,
        lending=LENDING,
        borrowers={CANDY: borrowing},
        members=(CANDY, LOGISTICS),
    )


async def rehearse(folder: Path, say: Say) -> tuple[Tally, Report]:
    """Run everything once in ``folder`` and return what happened and what the auditor says.

    Raises:
        UsageError: A process did not start or a step did not happen in time.
    """
    say("1. Two enterprises, 'candy' and 'logistics', found a consortium: keys, cards, trust file.")
    found_consortium(founding(), folder)
    say("2. The hub and both nodes start, each with its own NATS server, store and runner.")
    async with Processes(folder, say) as processes:
        await processes.start("hub", HUB)
        await asyncio.gather(processes.start("node", CANDY), processes.start("node", LOGISTICS))
        await processes.wait_for(CANDY, "runner.started", STEP_TIMEOUT_S)
        await processes.wait_for(CANDY, "session.opened", STEP_TIMEOUT_S)
        tally = await _send_readings(folder, say)
        say("7. When the lease ends, both sides sign one statement and the ledger settles it.")
        await processes.wait_for(CANDY, "lease.resolved", STEP_TIMEOUT_S)
        await processes.wait_for(LOGISTICS, "lease.resolved", STEP_TIMEOUT_S)
        await asyncio.sleep(3 * TIMING.checkpoint_every_ms / 1000)
    say("8. Every process is stopped. What they stored is exported as one bundle.")
    bundle = folder / "bundle.jsonl"
    folders = [enterprise_folder(folder, name) for name in (CANDY, LOGISTICS)]
    size_bytes = await asyncio.to_thread(export_bundle, folders, bundle)
    say(f"   {bundle} ({size_bytes / 1024:.0f} KiB)")
    say("9. The auditor re-checks everything, offline:")
    return tally, await asyncio.to_thread(verify_file, bundle)


async def _send_readings(folder: Path, say: Say) -> Tally:
    """Eight machines send readings at the same moments: more than one node can score in time."""
    say(
        f"6. {DEVICES} machines send {READINGS} readings each, {ROUNDS} times, all at once; each "
        f"answer is due after {DEADLINE_S * 1000:.0f} ms."
    )
    url, password = _device_access(folder)
    tally = Tally()
    async with await connect_device(url, password) as client:
        for round_number in range(ROUNDS):
            started_s = time.monotonic()
            calls = [_score(client, device, round_number, tally) for device in range(DEVICES)]
            await asyncio.gather(*calls)
            await asyncio.sleep(max(0.0, ROUND_S - (time.monotonic() - started_s)))
            say(
                f"   after round {round_number + 1}: scored here {tally.local}, at the partner "
                f"{tally.offloaded}, refused {tally.refused}{_reasons(tally)}"
            )
    if not tally.offloaded:
        sentence = "No reading went to the partner; a quieter machine has time to lend."
        raise UsageError("demo.nothing.lent", f"{sentence}{_reasons(tally)}")
    return tally


def _reasons(tally: Tally) -> str:
    told = ", ".join(f"{code} {count}" for code, count in tally.reasons.most_common())
    return f" ({told})" if told else ""


def _device_access(folder: Path) -> tuple[str, str]:
    own = enterprise_folder(folder, CANDY)
    told = read_process_file(own, NodeFile)
    return Processes.ready(own).client_url, told.device_password


async def _score(client: DeviceClient, device: int, round_number: int, tally: Tally) -> None:
    readings = machine_signal(device, round_number)
    started_s = time.monotonic()
    try:
        scored = await client.score(DeviceId(f"wrapper-{device}"), readings, deadline_s=DEADLINE_S)
    except MutualEdgeError as error:
        tally.refused += 1
        tally.reasons[error.code] += 1
    else:
        tally.add(scored, time.monotonic() - started_s)


def machine_signal(device: int, round_number: int) -> list[float]:
    """Return a synthetic motor temperature: a slow wave, and one spike in the last round."""
    start = round_number * READINGS
    values = [
        40.0 + 3.0 * math.sin((start + index + 17 * device) / 40.0) + 0.1 * ((index * 7) % 5)
        for index in range(READINGS)
    ]
    if device == 0 and round_number == ROUNDS - 1:
        values[READINGS // 2] += 35.0
    return values
