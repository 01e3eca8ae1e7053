import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mutualedge.app.devices import DeviceClient
from mutualedge.app.files import STORE_FILE
from mutualedge.app.founding import HUB
from mutualedge.errors import MutualEdgeError
from mutualedge.model import DeviceId, EnterpriseId
from tests.e2e.plant import BAKERY, HARBOUR, Plant, descendants, plant, start_all
from tests.e2e.taps import (
    Marks,
    Taps,
    file_bytes,
    marked_readings,
    memory_bytes,
    moved_bytes,
    traced,
)

pytestmark = pytest.mark.e2e

CALLS = 12
READINGS = 20
MARKED = 3
"""Of each batch so many readings and scores are looked for; a leak would not choose others."""

DEADLINE_S = 2.0
"""Nobody is in a hurry here, least of all under a tracer."""

TRIES_MAX = 100


@asynccontextmanager
async def full_bakery(folder: Path) -> AsyncIterator[Plant]:
    """A consortium whose bakery has no room of its own: every reading goes to the harbour."""
    async with plant(folder, lease_ms=60_000) as founded:
        founded.fill(BAKERY)
        yield founded


async def send_marked(
    founded: Plant, marks: Marks, calls: int = CALLS, marked: int = MARKED
) -> None:
    """Have the harbour score so many batches of marked readings."""
    scored_count = 0
    async with await founded.connect_device() as device:
        for attempt in range(TRIES_MAX):
            readings = marked_readings(attempt * READINGS, READINGS)
            marks.add(readings[-marked:])
            scored_count += await is_scored(device, readings, marks)
            if scored_count == calls:
                return
    pytest.fail(f"{scored_count} of {TRIES_MAX} batches were scored")


async def is_scored(device: DeviceClient, readings: list[float], marks: Marks) -> bool:
    """Send one batch; a busy machine may refuse some, what it scored came from the harbour."""
    try:
        scored = await device.score(DeviceId("oven-1"), readings, deadline_s=DEADLINE_S)
    except MutualEdgeError:
        return False
    assert scored.placed == HARBOUR
    marks.add(scored.scores[-MARKED:])
    return True


def test_no_subject_and_no_file_of_the_provider_holds_a_reading(tmp_path: Path) -> None:
    """All that passes the provider's server and the hub is ciphertext, and so is all they keep."""
    marks = Marks()
    taps = asyncio.run(listen(tmp_path / "trial", marks, tapped_members=(HARBOUR, HUB)))
    assert len(marks) >= 3 * CALLS * MARKED
    # The ears work: on its way from the device a reading is heard in full.
    assert marks.found_in(taps.all_bytes(BAKERY))
    assert "me.device.reading" in taps.subjects(BAKERY)
    for place in (HARBOUR, f"hub/{HARBOUR}", f"hub/{HUB}"):
        assert len(taps.heard[place]) > 0, place
        assert not marks.found_in(taps.all_bytes(place)), place
    assert "me.in.ask" in taps.subjects(HARBOUR)
    assert_files_hold_none(tmp_path / "trial", marks)


async def listen(folder: Path, marks: Marks, tapped_members: Sequence[EnterpriseId]) -> Taps:
    """Run marked calls with ears on both nodes' servers and on these members at the hub."""
    async with full_bakery(folder) as founded:
        await start_all(founded)
        async with Taps(founded) as taps:
            for name in (BAKERY, HARBOUR):
                await taps.tap_enterprise(name)
            for name in tapped_members:
                await taps.tap_hub(name)
            await taps.hear_out()
            await send_marked(founded, marks)
            await founded.wait_note(HARBOUR, "voucher.received")
            await founded.wait_note(HARBOUR, "checkpoint.cosigned")
            await taps.hear_out()
        founded.kill(HARBOUR)  # what it had written stays in the write-ahead log
        return taps


def test_the_hub_hears_no_result_of_a_members_devices(tmp_path: Path) -> None:
    """Even who runs the hub, with every right in the requester's account, hears ciphertext only."""
    marks = Marks()
    taps = asyncio.run(listen(tmp_path / "trial", marks, tapped_members=(BAKERY,)))
    assert "me.at.harbour.ask" in taps.subjects(f"hub/{BAKERY}")
    assert not marks.found_in(taps.all_bytes(f"hub/{BAKERY}"))


def assert_files_hold_none(folder: Path, marks: Marks) -> None:
    for owner in (HARBOUR, HUB):
        kept = dict(file_bytes(folder / owner))
        assert not [path for path, raw in kept.items() if marks.found_in(raw)]
        wal = folder / owner / f"{STORE_FILE}-wal"
        assert owner == HUB or kept[wal], "the killed node's write-ahead log was looked at"


def can_trace() -> bool:
    probe = ["strace", "--seccomp-bpf", "-f", "-o", os.devnull, "true"]
    found = shutil.which("strace") is not None
    return found and subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.mark.external
@pytest.mark.skipif(not can_trace(), reason="strace is missing or may not trace here")
def test_no_socket_of_the_providers_node_carries_a_reading(tmp_path: Path) -> None:
    """All that the provider's node, its server and its runner read and write is ciphertext."""
    marks = Marks()

    async def main() -> None:
        async with full_bakery(tmp_path / "trial") as founded:
            await founded.start(HUB)
            await founded.start(BAKERY, under=traced(tmp_path / "bakery"))
            await founded.start(HARBOUR, under=traced(tmp_path / "harbour"))
            await founded.wait_note(BAKERY, "session.opened", timeout_s=60)
            await send_marked(founded, marks)
            await stop_traced(founded)

    asyncio.run(main())
    # The ears work: the bakery's node receives its device's readings.
    assert any(marks.found_in(moved) for moved in moved_bytes(tmp_path / "bakery"))
    traces = list(moved_bytes(tmp_path / "harbour"))
    assert len(traces) >= 3, "node, server and runner were traced"
    assert sum(map(len, traces)) > CALLS * READINGS * 8
    assert not [found for moved in traces if (found := marks.found_in(moved))]


async def stop_traced(founded: Plant) -> None:
    """Stop the nodes below their tracers, which end with them."""
    for name in (BAKERY, HARBOUR):
        node = next(pid for pid, _ in descendants(founded.children[name].pid))
        os.kill(node, 15)
        await founded.children[name].wait()


def test_simulated_assurance_has_its_stated_limit(tmp_path: Path) -> None:
    """Here the provider's administrator can read the runner's memory; every result says so."""
    marks = Marks()

    async def main() -> list[float]:
        async with full_bakery(tmp_path / "trial") as founded:
            await start_all(founded)
            runner = runner_of(founded)
            found: list[float] = []
            for _ in range(10):
                await send_marked(founded, marks, calls=2, marked=READINGS)
                try:
                    found = next(filter(None, map(marks.found_in, memory_bytes(runner))), [])
                except PermissionError:
                    pytest.skip("this user may not read the memory of another user's process")
                if found:
                    break
            return found

    assert asyncio.run(main()), "the limit is stated wrongly: nothing was found"


def runner_of(founded: Plant) -> int:
    """Return the innermost process of the harbour's runner."""
    below = descendants(founded.children[HARBOUR].pid)
    return [pid for pid, command in below if "runner_process" in command][-1]
