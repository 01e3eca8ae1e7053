import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from mutualedge.app.accounts import CREDENTIALS_LIFE_NS
from mutualedge.app.files import HubFile, NodeFile, read_process_file, write_process_file
from mutualedge.app.founding import HUB
from mutualedge.app.status import NS_PER_DAY, read_status
from mutualedge.identity import Authority, SpiffeIdentity, issue_certificate, public_key_of
from mutualedge.model import DeviceId, EnterpriseId
from tests.e2e.command_line import Ended, mutualedge
from tests.e2e.plant import BAKERY, HARBOUR, Plant, plant

pytestmark = pytest.mark.e2e

LATE_DAYS = 3


def expire(founded: Plant, name: EnterpriseId) -> None:
    """Give a member the certificate that it would have had if it had not renewed it."""
    hub, own = read_process_file(founded.own(HUB), HubFile), founded.own(name)
    told = read_process_file(own, NodeFile)
    root_pem, key_pem = hub.root_pem.encode(), hub.authority_key_pem.encode()
    authority = Authority(certificate_pem=root_pem, private_key_pem=key_pem)
    certificate = issue_certificate(
        authority,
        public_key_pem=public_key_of(told.tls.private_key_pem.encode()),
        identity=SpiffeIdentity(consortium=EnterpriseId("trial"), enterprise=name, role="leaf"),
        now_ns=time.time_ns() - CREDENTIALS_LIFE_NS - LATE_DAYS * NS_PER_DAY + NS_PER_DAY // 2,
        lifetime_ns=CREDENTIALS_LIFE_NS,
    )
    tls = msgspec.structs.replace(told.tls, certificate_pem=certificate.decode())
    write_process_file(own, msgspec.structs.replace(told, tls=tls))


def is_heard(founded: Plant, name: EnterpriseId) -> bool:
    """Tell whether a node says that the hub answers it."""
    status = read_status(founded.own(name))
    return status is not None and status.node is not None and status.node.hub_since is not None


async def command(*arguments: object) -> Ended:
    return await asyncio.to_thread(mutualedge, *arguments)


def test_an_expired_certificate_is_named_and_renewed(tmp_path: Path) -> None:
    """The node serves its devices, says why it is alone, and one command mends it."""

    async def main() -> None:
        async with plant(tmp_path / "trial") as founded:
            expire(founded, BAKERY)
            await founded.start(HUB)
            await asyncio.gather(founded.start(HARBOUR), founded.start(BAKERY))
            await founded.until(lambda: is_heard(founded, HARBOUR), 30)
            await assert_says_why(founded)
            assert not is_heard(founded, BAKERY)
            assert not founded.notes(HARBOUR, "credentials.expired")
            renewed = await command("renew", founded.own(BAKERY))
            assert (renewed.status, renewed.err) == (0, "")
            await founded.stop(BAKERY)
            await founded.start(BAKERY)
            await founded.until(lambda: is_heard(founded, BAKERY), 30)
            assert len(founded.notes(BAKERY, "credentials.expired")) == 1

    asyncio.run(main())


async def assert_says_why(founded: Plant) -> None:
    """Assert that events, status and doctor name the certificate while devices are served."""
    note = await founded.wait_note(BAKERY, "credentials.expired")
    assert (note["what"], note["days"]) == ("certificate", -LATE_DAYS)
    assert "mutualedge renew" in str(note["advice"])
    await founded.wait_note(BAKERY, "runner.started")
    async with await founded.connect_device(BAKERY) as device:
        scored = await device.score(DeviceId("oven-1"), [41.7], deadline_s=3)
    assert scored.placed == BAKERY
    status = await command("status", founded.folder)
    assert f"{BAKERY}: credentials expired at" in status.out
    doctor = await command("doctor", founded.folder)
    assert f"certificate of {BAKERY}: Expired {LATE_DAYS} days ago" in doctor.out
