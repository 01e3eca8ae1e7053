"""What a site meets in its years, one at a time and under load: each is said, survived, settled."""

import asyncio
import contextlib
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from mutualedge.app.files import STORE_FILE
from mutualedge.app.founding import HUB
from mutualedge.app.options import HubOptions
from mutualedge.app.settings import read_options
from mutualedge.model import EnterpriseId
from tests.e2e.kept import NAMES, KeptPlant, kept_plant
from tests.e2e.load import JOB_BUDGET_MS, Load, broken_money, broken_promises, settle, under_load
from tests.e2e.plant import BAKERY, HARBOUR, TIMING, kill_process
from tests.e2e.settlement import Settlement

pytestmark = pytest.mark.e2e

LEASE_MS = 4_000
PATIENCE_S = 60.0
TRIES = 3
"""A process that ended so often for a lasting reason would have been given up by now."""

STOLEN_S_MAX = 0.2
"""A server dies with its process within milliseconds; the next one starts after 250 of them."""

DISK_BYTES = 24 << 20
CHUNK_BYTES = 4 << 10

GONE_S = 2 * (LEASE_MS + TIMING.dispute_window_ms) / 1000
"""Every lease of before ends, its grace and its dispute window pass, and as much again."""


@asynccontextmanager
async def working(folder: Path, seed: int) -> AsyncIterator[tuple[KeptPlant, Load]]:
    """Keep a consortium whose devices work; afterwards everything must add up."""
    async with kept_plant(folder, lease_ms=LEASE_MS) as founded:
        founded.reserve(BAKERY, JOB_BUDGET_MS)
        up = await founded.up()
        assert up.status == 0, up
        async with under_load(founded, seed) as load:
            await wait_offloaded(founded, load)
            yield founded, load
            await wait_offloaded(founded, load)
        settled = await settle(founded)
        assert [*broken_money(settled), *broken_promises(settled, load)] == []
        assert settled.report.counts.records > 0
        assert named_losses(founded) == losses_of(settled)


def losses_of(settled: Settlement) -> dict[str, int]:
    """Return by lease what was executed and not paid."""
    books = settled.leases.items()
    return {lease: each.lost_microcredits for lease, each in books if each.lost_microcredits}


def named_losses(founded: KeptPlant) -> dict[str, int]:
    """Return what the harbour says that it lost."""
    notes = founded.notes(HARBOUR, "lease.underpaid")
    return {str(note["lease"]): int(note["unpaid"]) for note in notes}


def leases_of(founded: KeptPlant, event: str) -> set[str]:
    return {str(note["lease"]) for note in founded.notes(HARBOUR, event)}


def at_home_of(load: Load) -> int:
    return len(load.acknowledged) - load.offloaded


async def wait_offloaded(founded: KeptPlant, load: Load) -> None:
    """Return once the harbour worked again."""
    before = load.offloaded
    await founded.until(lambda: load.offloaded > before, PATIENCE_S)


async def wait_said(founded: KeptPlant, name: EnterpriseId, code: str) -> str:
    """Return what a process said when it ended with this code, again and again."""
    begun = founded.child(name).starts
    await founded.until(
        lambda: (
            founded.child(name).starts > begun + TRIES
            and founded.child(name).last_words.endswith(f"[{code}]")
        ),
        PATIENCE_S,
    )
    assert not founded.child(name).is_given_up
    return founded.child(name).last_words


def starts_of_others(founded: KeptPlant, name: EnterpriseId) -> dict[EnterpriseId, int]:
    return {each: founded.child(each).starts for each in NAMES if each != name}


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Put the folder of the process that is the test's parameter on a small disk of its own."""
    own = tmp_path / "trial" / str(request.getfixturevalue("name"))
    own.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(own)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"only who may mount can have a small disk: {mounted.stderr.strip()}")
    yield own
    subprocess.run(["umount", "--lazy", str(own)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Leave no room on a disk for the length of the block."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(CHUNK_BYTES))
    yield
    ballast.unlink()


@pytest.mark.parametrize("name", [BAKERY, HARBOUR, HUB])
def test_on_a_full_disk_a_process_ends_and_goes_on_once_there_is_room(
    small_disk: Path, name: EnterpriseId
) -> None:
    """It names what it cannot write; nothing that was acknowledged is lost; nobody has to come."""

    async def main() -> None:
        async with working(small_disk.parent, seed=1) as (founded, load):
            others = starts_of_others(founded, name)
            with full(small_disk):
                said = await wait_said(founded, name, "machine.disk.full")
                assert str(small_disk) in said
                assert "free space" in said
            await wait_offloaded(founded, load)
            assert starts_of_others(founded, name) == others
            ends = founded.ends()
            assert {(end["process"], end["status"]) for end in ends} == {(name, os.EX_TEMPFAIL)}
            assert f"{small_disk / STORE_FILE} " in str(ends[0]["words"])

    asyncio.run(main())


def port_of(founded: KeptPlant, name: EnterpriseId) -> int:
    if name == HUB:
        return read_options(founded.own(HUB), HubOptions).network.leaf_port
    return founded.options(name).network.client_port


@contextmanager
def stolen(founded: KeptPlant, name: EnterpriseId) -> Iterator[None]:
    """Kill a process and have another program at its port before it is started again."""
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # its old connections linger
        kill_process(founded.process_id(name))
        end_s = time.monotonic() + STOLEN_S_MAX
        while time.monotonic() < end_s:
            with contextlib.suppress(OSError):
                thief.bind(("127.0.0.1", port_of(founded, name)))
                break
        else:
            pytest.fail("its server did not die with it")
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        yield


@pytest.mark.parametrize("name", [BAKERY, HUB])
def test_a_process_whose_port_was_taken_says_so_until_it_is_free(
    tmp_path: Path, name: EnterpriseId
) -> None:
    """The others run on meanwhile; the port is tried again for as long as it takes."""

    async def main() -> None:
        async with working(tmp_path / "trial", seed=2) as (founded, _):
            others = starts_of_others(founded, name)
            with stolen(founded, name):
                said = await wait_said(founded, name, "nats.server.port-taken")
                assert f":{port_of(founded, name)}" in said
            assert starts_of_others(founded, name) == others

    asyncio.run(main())


@pytest.mark.parametrize("restarted", [(), (BAKERY, HARBOUR)])
def test_the_hub_may_be_gone_for_longer_than_any_window(
    tmp_path: Path, restarted: tuple[EnterpriseId, ...]
) -> None:
    """Own work goes on; what was lent before is paid afterwards, also by who died meanwhile."""

    async def main() -> None:
        async with working(tmp_path / "trial", seed=3) as (founded, load):
            lent = leases_of(founded, "lease.signed")
            with stolen(founded, HUB):
                for name in restarted:
                    before = founded.child(name).starts
                    kill_process(founded.process_id(name))
                    await founded.wait_restarted(name, before)
                await asyncio.sleep(GONE_S)
                offloaded, at_home = load.offloaded, at_home_of(load)
                await founded.until(lambda: at_home_of(load) > at_home, PATIENCE_S)
                assert load.offloaded == offloaded
            await founded.until(lambda: leases_of(founded, "lease.resolved") >= lent, PATIENCE_S)
        if not restarted:
            assert not lent & set(named_losses(founded))

    asyncio.run(main())


@pytest.mark.parametrize("name", [BAKERY, HARBOUR])
def test_a_node_comes_back_after_its_nats_server_died(tmp_path: Path, name: EnterpriseId) -> None:
    """The node ends with its server and is started again; its devices find it where it was."""

    async def main() -> None:
        async with working(tmp_path / "trial", seed=4) as (founded, load):
            before = founded.child(name).starts
            kill_process(founded.process_id(f"{name} nats-server"))
            await founded.wait_restarted(name, before)
            (end,) = founded.ends()
            assert (end["process"], end["status"]) == (name, 75)
            assert str(end["words"]).endswith("[nats.server.ended]")
            answered = len(load.acknowledged)
            await founded.until(lambda: len(load.acknowledged) > answered, PATIENCE_S)

    asyncio.run(main())
