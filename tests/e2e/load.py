"""Devices that never rest, and the judgement on what became of what they asked for."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from mutualedge.app.devices import DeviceClient, new_invocation
from mutualedge.errors import MutualEdgeError, RefusedByPolicy
from mutualedge.model import DeviceId, InvocationId
from mutualedge.protocol import ReadingScored
from tests.e2e.kept import KeptPlant
from tests.e2e.plant import BAKERY, HARBOUR
from tests.e2e.settlement import Settlement, settlement_of, wait_settled

DEVICES = 8
READINGS = 20
JOB_BUDGET_MS = 500
DEADLINES_S = (0.4, 1.2)
"""The bakery reserves half a second for a job of its own: what is due sooner goes elsewhere."""

REPEATS_MAX = 5
REPEAT_AFTER_S = 0.2

AFTERWARDS_DEADLINE_S = 5.0
AFTERWARDS_REPEATS_MAX = 60
"""Afterwards nothing stays unanswered: a minute is enough for every process to start."""

SETTLE_TIMEOUT_S = 90.0
"""The last lease's end, its grace and two restarts take ten seconds on an idle machine."""


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


@asynccontextmanager
async def under_load(founded: KeptPlant, seed: int) -> AsyncIterator[Load]:
    """Let devices work through the whole block, then ask until each invocation is answered."""
    load = Load()
    async with await founded.connect_device() as client:
        async with asyncio.TaskGroup() as devices:
            for number in range(DEVICES):
                device = DeviceId(f"wrapper-{number}")
                devices.create_task(load.drive(client, device, random.Random(f"{seed} {number}")))
            yield load
            load.is_over = True
        await load.finish(client)


async def settle(founded: KeptPlant) -> Settlement:
    """Let the bakery borrow no further, wait until all is settled, and stop everything."""
    await founded.down()
    founded.choose(BAKERY, msgspec.structs.replace(founded.options(BAKERY), borrowing=None))
    up = await founded.up()
    assert up.status == 0, up
    await wait_settled(founded, SETTLE_TIMEOUT_S)
    await founded.down()
    return settlement_of(founded)


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
