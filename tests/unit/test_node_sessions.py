"""The borrowing side before it says anything secret: weak evidence gets nothing."""

from collections.abc import Callable

import msgspec
import pytest

from mutualedge.attest import Placement
from mutualedge.model import NS_PER_MS, format_instant
from mutualedge.protocol import FinishSession, OpenSession, Reply, SessionOffered, SessionReady
from mutualedge.signing import SigningKey, parse_canonical, sign_record
from tests.simulation.founding import keys_of, seed_of
from tests.unit.node_world import (
    CANDY,
    FORGE,
    Collect,
    World,
    code_of,
    founded,
    joined_world,
    new_runner,
    open_world,
)

FORGE_PLATFORM = founded().platforms[FORGE]


def wrong_measurement(report_data: bytes) -> bytes:
    return FORGE_PLATFORM.quote(report_data, "11" * 32, "0" * 64)


def debug_enclave(report_data: bytes) -> bytes:
    return FORGE_PLATFORM.quote(report_data, FORGE_PLATFORM.mr_enclave, "0" * 64, debug=True)


def relayed(report_data: bytes) -> bytes:
    """Quote another session's data, as who relays a genuine runner's evidence would."""
    return FORGE_PLATFORM.collect(bytes(64) if report_data else report_data)


def assert_nothing_was_trusted(world: World, code: str) -> None:
    """Check that the refusal has this code and that neither voucher nor secret left."""
    codes = {note["code"] for note in world.candy.noted("session.not_opened")}
    assert code in codes, codes
    assert all(note["provider"] == FORGE for note in world.candy.noted("session.not_opened"))
    assert world.candy.asked(OpenSession)
    assert world.candy.asked(FinishSession) == []
    assert dict(world.candy.store.scan("meter")) == {}
    assert world.candy.node.snapshot().sessions == 0


@pytest.mark.parametrize(
    ("collect", "code"),
    [
        (wrong_measurement, "attest.evidence.measurement"),
        (debug_enclave, "attest.evidence.debug"),
        (founded().platforms[CANDY].collect, "attest.platform.unregistered"),
        (relayed, "attest.evidence.binding"),
        (lambda _: b"quote", "attest.evidence.malformed"),
    ],
    ids=["measurement", "debug", "platform", "relayed", "noise"],
)
def test_bad_evidence_gets_no_voucher_and_no_message_three(collect: Collect, code: str) -> None:
    """Another runner, machine or session than agreed: nothing secret leaves, nothing is owed."""
    world = joined_world(runner=new_runner(FORGE, 5, collect=collect))
    world.run(3_000)
    assert_nothing_was_trusted(world, code)


def bent_placement(change: Callable[[Placement], Placement], key: SigningKey) -> World:
    """Return a world in which forge's node signs other placements."""
    world = joined_world()

    def bend(reply: Reply) -> Reply:
        if not isinstance(reply, SessionOffered):
            return reply
        placement = change(parse_canonical(reply.placement.payload, Placement))
        return msgspec.structs.replace(reply, placement=sign_record(placement, key))

    world.bend = bend
    world.run(3_000)
    return world


def test_a_stale_placement_gets_nothing() -> None:
    """A placement signed an hour ago may be about a machine that moved since."""

    def old(placement: Placement) -> Placement:
        at = format_instant(joined_world().now_ns - 3600_000 * NS_PER_MS)
        return msgspec.structs.replace(placement, at=at)

    world = bent_placement(old, keys_of(FORGE).node)
    assert_nothing_was_trusted(world, "attest.placement.stale")


def test_a_placement_of_another_session_gets_nothing() -> None:
    """The node must vouch for this very handshake."""

    def moved(placement: Placement) -> Placement:
        return msgspec.structs.replace(placement, handshake=bytes(32))

    world = bent_placement(moved, keys_of(FORGE).node)
    assert_nothing_was_trusted(world, "attest.placement.mismatch")


def test_a_placement_of_another_signer_gets_nothing() -> None:
    """Only the provider's registered node key says where its runner runs."""
    world = bent_placement(lambda placement: placement, SigningKey(seed_of("stranger")))
    assert_nothing_was_trusted(world, "attest.placement.unsigned")


def test_good_evidence_is_archived_before_message_three() -> None:
    """Attestation and opened account are rows of the same event that sends the voucher."""
    world = joined_world()
    world.holding = (FinishSession,)
    world.run(3_000)
    assert len(world.candy.asked(FinishSession)) == 1
    assert len(dict(world.candy.store.scan("attestation"))) == 1
    assert len(dict(world.candy.store.scan("meter"))) == 1
    assert world.candy.node.snapshot().sessions == 0


def test_refused_evidence_is_not_asked_for_again_at_once() -> None:
    """A partner with a wrong runner is left alone for ten minutes, not hammered."""
    world = joined_world(runner=new_runner(FORGE, 5, collect=wrong_measurement))
    world.run(10_000)
    assert len(world.candy.asked(OpenSession)) == 1


def test_a_session_the_provider_never_confirms_is_not_used() -> None:
    """Without the answer to message 3 no call is sealed; another session is opened later."""
    world = joined_world()
    world.holding = (FinishSession,)
    world.run(3_000)
    world.time_out(*world.held.pop())
    assert code_of(world.read(1)) == "market.lease.none"
    world.holding = ()
    world.run(3_000)
    assert world.candy.node.snapshot().sessions == 1


def test_after_a_restart_a_new_session_is_opened() -> None:
    """Session keys are in memory only; the lease and the meter's account go on."""
    world = open_world()
    lease_id, meters = world.lease_id, list(world.candy.lease.accounts)
    world.candy.restart()
    assert world.candy.node.snapshot().sessions == 0
    world.run(3_000)
    assert world.candy.node.snapshot().sessions == 1
    assert world.lease_id == lease_id
    assert list(world.candy.lease.accounts) == meters


def test_an_answer_of_the_wrong_kind_opens_nothing() -> None:
    """A provider that answers message 1 with something else is noted as misplaced."""
    world = joined_world()
    world.bend = lambda reply: (
        SessionReady(session=1) if isinstance(reply, SessionOffered) else reply
    )
    world.run(3_000)
    assert_nothing_was_trusted(world, "protocol.reply.misplaced")
