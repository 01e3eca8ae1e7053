import asyncio
from pathlib import Path

import msgspec
import pytest

from mutualedge.app.devices import DeviceClient
from mutualedge.app.founding import HUB
from mutualedge.errors import MutualEdgeError, RefusedByPolicy
from mutualedge.model import DeviceId
from mutualedge.protocol import ReadingScored
from tests.e2e.plant import BAKERY, HARBOUR, Plant, plant, start_all
from tests.e2e.settlement import settlement_of, wait_settled

pytestmark = pytest.mark.e2e

JOB_BUDGET_MS = 1_000
SHORT_S = 0.8
"""Due before the bakery's own reservation of a second is over: only the harbour can."""

LONG_S = 3.0
CUT_OFF_S = 4.0
LEASE_MS = 15_000
SETTLE_TIMEOUT_S = 90.0

CUT_OFF_CODES = frozenset(
    {"nats.request.no-responders", "nats.request.timeout", "nats.connection.lost"}
)


def prepare(founded: Plant) -> None:
    """Let the bakery reserve a second for each job of its own."""
    founded.reserve(BAKERY, JOB_BUDGET_MS)


async def wait_offloaded(device: DeviceClient) -> ReadingScored:
    """Send readings until the harbour scores one."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await device.score(DeviceId("press"), [41.7], deadline_s=SHORT_S)
            except MutualEdgeError:
                await asyncio.sleep(0.1)


async def while_cut_off(device: DeviceClient) -> set[str]:
    """Send both kinds of readings without the hub; return why the harbour's were refused."""
    codes = set()
    async with asyncio.timeout(60):
        for round_number in range(round(CUT_OFF_S)):
            with pytest.raises(RefusedByPolicy) as caught:
                await device.score(DeviceId("press"), [float(round_number)], deadline_s=SHORT_S)
            codes.add(caught.value.code)
            scored = await device.score(DeviceId("oven"), [41.7], deadline_s=LONG_S)
            assert scored.placed == BAKERY
            await asyncio.sleep(max(0.0, 1.0 - SHORT_S))
    return codes


def test_cut_off_from_the_hub_a_node_serves_and_settles_later(tmp_path: Path) -> None:
    """Without the hub own work goes on and offloading says why not; afterwards all is proved."""

    async def main() -> None:
        async with plant(tmp_path / "trial", lease_ms=LEASE_MS) as founded:
            prepare(founded)
            await start_all(founded)
            async with await founded.connect_device() as device:
                assert (await wait_offloaded(device)).placed == HARBOUR
                await founded.kill_whole(HUB)
                codes = await while_cut_off(device)
                assert codes
                assert codes <= CUT_OFF_CODES
                assert founded.children[BAKERY].returncode is None
                await founded.start(HUB)
                assert (await wait_offloaded(device)).placed == HARBOUR
            await stop_borrowing(founded)
            await wait_settled(founded, SETTLE_TIMEOUT_S)
            await founded.stop_all()
            settled = settlement_of(founded)
            assert settled.report.status == "proved", settled.report.findings
            assert settled.report.counts.records >= 2
            assert settled.charged_twice == []
            books = [each for each in settled.leases.values() if each.executed_microcredits]
            assert [each.lost_microcredits for each in books] == [0] * len(books)

    asyncio.run(main())


async def stop_borrowing(founded: Plant) -> None:
    """Restart the bakery so that no further lease follows the one that runs."""
    await founded.stop(BAKERY)
    founded.choose(BAKERY, msgspec.structs.replace(founded.options(BAKERY), borrowing=None))
    await founded.start(BAKERY)
