"""A hostile host between requester and runner: what it can forward never verifies."""

import msgspec

from mutualedge.attest import MeterAttestation
from mutualedge.model import AssuranceLevel
from mutualedge.session import Initiator, Responder, handshake_prologue
from tests.unit.attest_world import (
    FUNCTION,
    LEASE,
    PLATFORM,
    Session,
    bound_data,
    codes,
)

PROLOGUE = handshake_prologue(
    assurance=AssuranceLevel.SIMULATED,
    lease=LEASE,
    function=FUNCTION,
    trust_digest=FUNCTION,
    nonce=b"n" * 32,
)


def initiator(seed: bytes) -> Initiator:
    return Initiator(prologue=PROLOGUE, static_private=b"\x01" * 32, ephemeral_private=seed * 32)


def answered(message_1: bytes, seed: bytes) -> tuple[Responder, bytes]:
    """Return a runner that read message 1, and its evidence over that handshake."""
    responder = Responder(
        prologue=PROLOGUE, static_private=b"\x03" * 32, ephemeral_private=seed * 32
    )
    responder.read_message_1(message_1)
    bound = bound_data(handshake=responder.evidence_hash)
    return responder, PLATFORM.collect(bound)


def judged(requester: Initiator, message_2: bytes) -> tuple[str, ...]:
    """Return why the requester refuses this answer, judging by its own handshake hash."""
    evidence = requester.read_message_2(message_2)
    around: MeterAttestation = Session(handshake=requester.evidence_hash).attestation()
    return codes(msgspec.structs.replace(around, evidence=evidence))


def test_direct_session_is_accepted() -> None:
    """Both ends compute the same hash, and evidence over it is accepted."""
    requester = initiator(b"\x02")
    responder, evidence = answered(requester.write_message_1(), b"\x04")
    message_2 = responder.write_message_2(evidence)
    assert judged(requester, message_2) == ()
    assert requester.evidence_hash == responder.evidence_hash


def test_replayed_message_2_is_refused() -> None:
    """Evidence of an earlier session, spliced into a new one by the host, is refused."""
    _, earlier = answered(initiator(b"\x02").write_message_1(), b"\x04")
    requester = initiator(b"\x05")
    responder, _ = answered(requester.write_message_1(), b"\x06")
    assert judged(requester, responder.write_message_2(earlier)) == ("attest.evidence.binding",)


def test_man_in_the_middle_is_refused() -> None:
    """A host that talks to both ends with its own keys can relay only evidence for itself."""
    requester, host = initiator(b"\x02"), initiator(b"\x07")
    runner, evidence = answered(host.write_message_1(), b"\x04")
    relayed = host.read_message_2(runner.write_message_2(evidence))
    posing = Responder(
        prologue=PROLOGUE, static_private=b"\x08" * 32, ephemeral_private=b"\x09" * 32
    )
    posing.read_message_1(requester.write_message_1())
    assert judged(requester, posing.write_message_2(relayed)) == ("attest.evidence.binding",)
