"""A second enterprise joins from another machine, works, and leaves; real processes, real wire."""

import asyncio
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from mutualedge.app.auditing import export_bundle, merge_bundles, verify_file
from mutualedge.app.files import PROCESS_FILE
from mutualedge.app.founding import HUB, Founding, Place, found_consortium
from mutualedge.app.membership.joining import JOINING_FILE
from mutualedge.app.options import SETTINGS_FILE, SETTINGS_KEPT
from mutualedge.identity import verify_trust
from mutualedge.ledger import Ledger
from mutualedge.model import EnterpriseId
from mutualedge.node.books import final_height
from tests.e2e.command_line import SENTENCE
from tests.e2e.plant import BAKERY, HARBOUR, Plant, founding
from tests.e2e.two_machines import LOOPBACK, Machine, two_machines, why_not_two

pytestmark = pytest.mark.e2e

LEASE_MS = 4_000
POLL_S, SHORT_S, PATIENCE_S, JOIN_TIMEOUT_S = 0.2, 1.0, 60.0, 120.0

WHY_NOT = why_not_two()


@pytest.fixture(params=["loopback", "namespaces"])
def machines(request: pytest.FixtureRequest) -> Iterator[tuple[Machine, Machine]]:
    """Yield where the hub and the bakery are, and where the harbour is."""
    if request.param == "loopback":
        yield LOOPBACK, LOOPBACK
        return
    if WHY_NOT:
        pytest.skip(WHY_NOT)
    with two_machines() as apart:
        yield apart


def alone(place: Place) -> Founding:
    """Return a consortium of the bakery alone, that borrows from whoever joins."""
    pair = founding(LEASE_MS)
    anybody = msgspec.structs.replace(pair.borrowers[BAKERY], providers=())
    return Founding(
        consortium=pair.consortium,
        timing=pair.timing,
        lending=pair.lending,
        borrowers={BAKERY: anybody},
        members=(BAKERY,),
        place=place,
    )


class Site:
    """A consortium over two machines."""

    def __init__(self, plant: Plant, here: Machine, there: Machine) -> None:
        self.plant = plant
        self.here = here
        self.there = there

    def machine(self, name: EnterpriseId) -> Machine:
        return self.there if name == HARBOUR else self.here

    async def start(self, name: EnterpriseId) -> None:
        await self.plant.start(name, under=self.machine(name).under)

    async def command(self, at: EnterpriseId, *arguments: object, told: str = "") -> Process:
        command = (sys.executable, "-m", "mutualedge", *map(str, arguments))
        process = await asyncio.create_subprocess_exec(
            *self.machine(at).under, *command, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        assert process.stdin is not None
        process.stdin.write(told.encode())
        process.stdin.close()
        return process

    async def done(self, at: EnterpriseId, *arguments: object) -> str:
        """Run a command to its end and return what it printed; fail unless all is well."""
        return await self.ended(await self.command(at, *arguments))

    async def ended(self, process: Process) -> str:
        async with asyncio.timeout(JOIN_TIMEOUT_S):
            out, err = await process.communicate()
        assert (process.returncode, err.decode()) == (0, ""), out.decode()
        return out.decode()

    async def refused(self, at: EnterpriseId, *arguments: object) -> str:
        """Return the code with which a command is refused."""
        process = await self.command(at, *arguments)
        async with asyncio.timeout(JOIN_TIMEOUT_S):
            _, err = await process.communicate()
        found = SENTENCE.fullmatch(err.decode())
        assert found is not None, err.decode()
        return found["code"]

    async def invitation(self) -> str:
        return (await self.done(BAKERY, "invite", self.plant.own(BAKERY), HARBOUR)).strip()

    async def applied(self) -> str:
        """Return how the newcomer's application is described, once it is there."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                told = await self.done(BAKERY, "approve", self.plant.own(BAKERY))
                if "applies" in told:
                    return told
                await asyncio.sleep(POLL_S)

    async def called_away(self) -> None:
        """Return once the bakery scored a reading of the harbour's device."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await self.call(HARBOUR) == BAKERY:
                    return
                await asyncio.sleep(POLL_S)

    async def call(self, at: EnterpriseId) -> str:
        """Have a device beside a node send one reading; return who scored it, or why nobody."""
        url, password = self.plant.client_url(at), self.plant.told(at).device_password
        one_call = (sys.executable, "-m", "tests.e2e.one_call", url, password, str(SHORT_S))
        process = await asyncio.create_subprocess_exec(
            *self.machine(at).under, *one_call, stdout=PIPE
        )
        out, _ = await process.communicate()
        return out.decode()


@asynccontextmanager
async def founded(folder: Path, machines: tuple[Machine, Machine]) -> AsyncIterator[Site]:
    """Start hub and bakery on the one machine; whatever runs at the end is killed."""
    here, there = machines
    is_apart = here != there
    place = Place(host=here.address, leaf_port=7422, office_port=7423) if is_apart else Place()
    found_consortium(alone(place), folder)
    site = Site(Plant(folder), here, there)
    try:
        await site.start(HUB)
        await site.start(BAKERY)
        yield site
    finally:
        site.plant.kill_all()
        for child in site.plant.children.values():
            await child.wait()


async def join(site: Site) -> str:
    """Let the harbour join; return what it was told."""
    invitation = await site.invitation()
    joining = await site.command(HARBOUR, "join", site.plant.folder, "-", told=f"{invitation}\n")
    await site.applied()
    await site.done(BAKERY, "approve", site.plant.own(BAKERY), HARBOUR, "--yes")
    return await site.ended(joining)


def is_witnessed(plant: Plant) -> bool:
    """Tell whether the hub cosigned all of the bakery's log; there is nobody else left to."""
    with plant.store(BAKERY) as store:
        last = store.last_key("entry")
    sizes = [
        int(each["size"])
        for each in plant.notes(BAKERY, "checkpoint.cosigned")
        if each["witness"] == HUB
    ]
    return last is None or int(last) + 1 in sizes


def settle_quickly(plant: Plant) -> None:
    """Give the harbour the bakery's rhythms; what it joined with is meant for months."""
    bakery = plant.options(BAKERY)
    quick = msgspec.structs.replace(
        plant.options(HARBOUR), timing=bakery.timing, borrowing=bakery.borrowing
    )
    plant.choose(HARBOUR, quick)
    plant.fill(HARBOUR)


def test_an_enterprise_joins_works_and_leaves(
    tmp_path: Path, machines: tuple[Machine, Machine]
) -> None:
    """One invitation and one approval; its call is settled and proved; then it is out."""

    async def main() -> None:
        async with founded(tmp_path / "trial", machines) as site:
            plant = site.plant
            told = await join(site)
            assert "Fingerprint" in told
            assert "they are in order" in told
            assert "90 days" in await site.done(BAKERY, "renew", plant.own(BAKERY))
            settle_quickly(plant)
            await site.start(HARBOUR)
            await plant.wait_note(HARBOUR, "session.opened", timeout_s=PATIENCE_S)
            await site.called_away()
            await plant.wait_note(HARBOUR, "lease.resolved", timeout_s=PATIENCE_S)
            assert await site.refused(HARBOUR, "leave", plant.own(HARBOUR)) == (
                "membership.node.running"
            )
            await plant.stop(HARBOUR)
            assert "has left" in await site.done(HARBOUR, "leave", plant.own(HARBOUR))
            last = await plant.wait_note(BAKERY, "trust.adopted", beyond=1, timeout_s=PATIENCE_S)
            assert last["version"] == 3
            await plant.until(lambda: is_witnessed(plant), PATIENCE_S)
            await plant.stop_all()
            bundle = plant.folder / "bundle.jsonl"
            parts = [plant.folder / f"{name}.jsonl" for name in (BAKERY, HARBOUR)]
            for name, part in zip((BAKERY, HARBOUR), parts, strict=True):
                export_bundle([plant.own(name)], part)  # each at home, where its secrets are
            merge_bundles(parts, bundle)
            report = verify_file(bundle)
            assert report.status == "proved", report.findings
            assert report.counts.records > 0
            assert report.counts.settled_microcredits > 0

    asyncio.run(main())


def test_joining_goes_on_after_a_kill(tmp_path: Path) -> None:
    """Killed, `join` goes on, same keys, same fingerprint; it waits for a hub that starts."""

    async def main() -> None:
        async with founded(tmp_path / "trial", (LOOPBACK, LOOPBACK)) as site:
            own = site.plant.own(HARBOUR)
            invitation = await site.invitation()
            first = await site.command(HARBOUR, "join", site.plant.folder, invitation)
            waiting = await site.applied()
            first.kill()
            await first.wait()
            kept = shutil.copy(own / JOINING_FILE, tmp_path / "kept")
            await site.plant.stop(HUB)  # as for a moment when it lets another newcomer in
            again = await site.command(HARBOUR, "join", site.plant.folder, invitation)
            assert again.stdout is not None
            assert b"is asked again" in await again.stdout.readline()
            await site.start(HUB)
            await site.done(BAKERY, "approve", site.plant.own(BAKERY), HARBOUR, "--yes")
            told = await site.ended(again)
            mark = waiting.split("fingerprint ")[1].split(";")[0]
            assert f"Fingerprint: {mark}" in told
            assert not (own / JOINING_FILE).exists()
            await site.start(HARBOUR)
            code = await site.refused(HARBOUR, "join", site.plant.folder, invitation)
            assert code == "membership.folder.used"
            elsewhere = tmp_path / "elsewhere"
            code = await site.refused(HARBOUR, "join", elsewhere, invitation)
            assert code == "membership.newcomer.member"
            assert not [path for path in elsewhere.rglob("*") if path.is_file()]
            await site.plant.stop(HARBOUR)
            (own / PROCESS_FILE).unlink()  # as if killed once its ledger was written
            shutil.copy(kept, own / JOINING_FILE)
            assert "Joined" in await site.done(HARBOUR, "join", site.plant.folder, invitation)

    asyncio.run(main())


def test_a_leaver_killed_goes_on(tmp_path: Path) -> None:
    """Killed once the ledger was told, or later: it is called again, and has the last block."""

    async def main() -> None:
        async with founded(tmp_path / "trial", (LOOPBACK, LOOPBACK)) as site:
            plant, own = site.plant, site.plant.own(HARBOUR)
            await join(site)
            shutil.copytree(own, tmp_path / "before")
            settings = (own / SETTINGS_FILE).read_text("utf-8")
            assert "has left" in await site.done(HARBOUR, "leave", own)
            shutil.rmtree(own)
            shutil.copytree(tmp_path / "before", own)  # as if killed before it read anything
            for _ in range(2):
                assert "has left" in await site.done(HARBOUR, "leave", own)
                assert (own / SETTINGS_KEPT).read_text("utf-8") == settings
                with plant.store(HARBOUR) as store:
                    ledger = Ledger(verify_trust(plant.told(HARBOUR).trust), store.scan("ledger"))
                    assert not ledger.consortium.has(HARBOUR)
                    assert final_height(ledger, store) == ledger.height

    asyncio.run(main())


def test_what_cannot_join_is_told_why(tmp_path: Path) -> None:
    """A broken invitation, a silent hub, nobody's approval: each its own sentence."""

    async def main() -> None:
        async with founded(tmp_path / "trial", (LOOPBACK, LOOPBACK)) as site:
            folder, own = site.plant.folder, site.plant.own(BAKERY)
            invitation = await site.invitation()
            broken = invitation[:-20]
            assert await site.refused(HARBOUR, "join", folder, broken) == (
                "membership.invitation.broken"
            )
            assert await site.refused(HARBOUR, "join", folder, invitation, "--wait-s", 1) == (
                "membership.approval.missing"
            )
            assert await site.refused(BAKERY, "approve", own, "nobody", "--yes") == (
                "membership.application.unknown"
            )
            assert await site.refused(BAKERY, "invite", own, "Hub!") == "app.name.malformed"
            assert await site.refused(BAKERY, "invite", own, BAKERY) == (
                "membership.office.refused"
            )
            file = folder / "shifts.txt"
            file.write_text("the shift plan")
            assert await site.refused(HARBOUR, "init", file, "steel") == "membership.folder.used"
            await site.plant.stop(HUB)
            assert await site.refused(HARBOUR, "join", folder, invitation, "--wait-s", 1) == (
                "tls.server.silent"
            )

    asyncio.run(main())
