"""Real processes whose members change their trust file: they follow by themselves, and go on."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from mutualedge.adapters.nats import PasswordLogin, connect
from mutualedge.app.bus import NODE_USER, NatsBus
from mutualedge.app.founding import HUB, OFFLINE_KEY_FILE
from mutualedge.identity import verify_trust
from mutualedge.model import NS_PER_S, Digest
from mutualedge.protocol import Accepted, ProposeTrust
from mutualedge.signing import Envelope, SigningKey, sign_record
from tests.e2e.plant import BAKERY, HARBOUR, Plant, plant, start_all
from tests.e2e.settlement import settlement_of, wait_settled
from tests.e2e.test_e2e_cutoff import prepare, stop_borrowing, wait_offloaded

pytestmark = pytest.mark.e2e

LEASE_MS = 20_000
FOLLOW_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 90.0


def next_version(founded: Plant) -> Envelope:
    """Return a trust file that accepts one more measurement of the runner, signed by both."""
    before = verify_trust(founded.told(HARBOUR).trust)
    trust = msgspec.structs.replace(
        before.trust,
        version=2,
        previous=before.digest,
        runner_measurements=(*before.trust.runner_measurements, Digest("ab" * 32)),
    )
    seeds = [(founded.own(name) / OFFLINE_KEY_FILE).read_text() for name in (BAKERY, HARBOUR)]
    return sign_record(trust, *(SigningKey(bytes.fromhex(seed)) for seed in seeds))


async def propose(founded: Plant, trust: Envelope) -> None:
    """Ask the harbour, as its partner may, to bring the trust file to the ledger."""
    login = PasswordLogin(user=NODE_USER, password=founded.told(BAKERY).node_password)
    url = founded.client_url(BAKERY)
    client = await connect(url, login, name="office", report=lambda _event, _detail: None)
    async with client:
        reply = await NatsBus(client).request(HARBOUR, ProposeTrust(trust=trust), 10 * NS_PER_S)
    assert reply == Accepted()


def test_everybody_follows_a_new_trust_file_and_everything_is_paid(tmp_path: Path) -> None:
    """No process ends, the device keeps its connection, one lease spans the change."""

    async def main() -> None:
        async with plant(tmp_path / "trial", lease_ms=LEASE_MS) as founded:
            prepare(founded)
            await start_all(founded)
            async with await founded.connect_device() as device:
                assert (await wait_offloaded(device)).placed == HARBOUR
                sessions = len(founded.notes(BAKERY, "session.opened"))
                await propose(founded, next_version(founded))
                for name in (HUB, BAKERY, HARBOUR):
                    note = await founded.wait_note(
                        name, "core.restarted", timeout_s=FOLLOW_TIMEOUT_S
                    )
                    assert note["reason"] == "trust file version 2"
                await founded.wait_note(BAKERY, "session.opened", beyond=sessions)
                assert (await wait_offloaded(device)).placed == HARBOUR
                assert all(child.returncode is None for child in founded.children.values())
            await stop_borrowing(founded)
            await wait_settled(founded, SETTLE_TIMEOUT_S)
            await founded.stop_all()
            settled = settlement_of(founded)
            assert settled.report.status == "proved", settled.report.findings
            assert settled.report.trust_version == 2
            assert settled.report.counts.records >= 2
            assert settled.charged_twice == []
            assert [each.lost_microcredits for each in settled.leases.values()] == [0] * len(
                settled.leases
            )

    asyncio.run(main())
