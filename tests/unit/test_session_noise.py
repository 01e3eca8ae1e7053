"""What the handshake refuses, and what both ends know when it is done."""

from collections.abc import Callable

import pytest

from mutualedge.errors import PeerError, UsageError
from mutualedge.model import AssuranceLevel, Digest, LeaseId
from mutualedge.session import Initiator, RecordKind, Responder, handshake_prologue
from mutualedge.session.noise import MESSAGE_BYTES_MAX

LOW_ORDER_KEY = bytes(32)


def prologue(
    assurance: AssuranceLevel = AssuranceLevel.SIMULATED, nonce: bytes = b"n" * 32
) -> bytes:
    return handshake_prologue(
        assurance=assurance,
        lease=LeaseId("1e" * 32),
        function=Digest("f0" * 32),
        trust_digest=Digest("7a" * 32),
        nonce=nonce,
    )


def initiator(start: bytes = b"") -> Initiator:
    return Initiator(
        prologue=start or prologue(), static_private=b"\x01" * 32, ephemeral_private=b"\x02" * 32
    )


def responder(start: bytes = b"") -> Responder:
    return Responder(
        prologue=start or prologue(), static_private=b"\x03" * 32, ephemeral_private=b"\x04" * 32
    )


def finished() -> tuple[Initiator, Responder]:
    one, other = initiator(), responder()
    other.read_message_1(one.write_message_1())
    one.read_message_2(other.write_message_2(b"evidence"))
    other.read_message_3(one.write_message_3(b"voucher"))
    return one, other


def code_of(step: Callable[[], object]) -> str:
    with pytest.raises((PeerError, UsageError)) as caught:
        step()
    return caught.value.code


def test_both_ends_agree() -> None:
    """Hash, exports, static keys and records are the same at both ends, and labels differ."""
    one, other = finished()
    assert one.evidence_hash == other.evidence_hash
    assert one.export(b"a") == other.export(b"a") != one.export(b"b")
    assert one.peer_static == other._static.public_key().public_bytes_raw()
    assert other.peer_static == one._static.public_key().public_bytes_raw()
    mine, theirs = one.split(), other.split()
    assert mine.secret == theirs.secret != one.export(b"content")
    assert theirs.opener.open(mine.sealer.seal(RecordKind.REQUEST, b"in")).content == b"in"
    assert mine.opener.open(theirs.sealer.seal(RecordKind.REPLY, b"out")).content == b"out"


@pytest.mark.parametrize(
    "start", [prologue(AssuranceLevel.ENCLAVE), prologue(nonce=b"x" * 32)], ids=["level", "nonce"]
)
def test_different_prologues_never_meet(start: bytes) -> None:
    """A simulated and a real peer cannot complete a handshake, nor can a replayed nonce."""
    one, other = initiator(), responder(start)
    other.read_message_1(one.write_message_1())
    answer = other.write_message_2(b"evidence")
    assert code_of(lambda: one.read_message_2(answer)) == "session.handshake.forged"


def test_swapped_responder_key() -> None:
    """A host that answers with its own static key changes the hash that evidence is bound to."""
    one = initiator()
    message_1 = one.write_message_1()
    runner, host = (
        responder(),
        Responder(prologue=prologue(), static_private=b"\x05" * 32, ephemeral_private=b"\x04" * 32),
    )
    runner.read_message_1(message_1)
    host.read_message_1(message_1)
    assert runner.evidence_hash != host.evidence_hash


def test_low_order_keys() -> None:
    """A public key that would make the shared secret known to all is refused at either end."""
    assert code_of(lambda: responder().read_message_1(LOW_ORDER_KEY)) == "session.handshake.key"
    one = initiator()
    one.write_message_1()
    assert code_of(lambda: one.read_message_2(LOW_ORDER_KEY + bytes(64))) == "session.handshake.key"


@pytest.mark.parametrize("count", [0, 31, MESSAGE_BYTES_MAX + 1])
def test_message_lengths(count: int) -> None:
    """A message shorter than its keys or longer than Noise allows is refused unread."""
    code = "session.handshake.length"
    assert code_of(lambda: responder().read_message_1(bytes(count))) == code
    one, (_, other) = initiator(), finished()
    one.write_message_1()
    assert code_of(lambda: one.read_message_2(bytes(count))) == code
    other._steps_done = 2
    assert code_of(lambda: other.read_message_3(bytes(count))) == code


def test_payload_too_long() -> None:
    """A payload that does not fit a Noise message is our own mistake and is not sent."""
    code = "session.handshake.oversize"
    assert code_of(lambda: initiator().write_message_1(bytes(MESSAGE_BYTES_MAX))) == code


def test_steps_come_once_and_in_order() -> None:
    """No step runs early or twice: repeating one would encrypt twice under one nonce."""
    one, other = finished()
    code = "session.handshake.order"
    assert code_of(lambda: initiator().write_message_3(b"")) == code
    assert code_of(lambda: initiator().evidence_hash) == code
    assert code_of(lambda: initiator().peer_static) == code
    assert code_of(lambda: initiator().export(b"")) == code
    assert code_of(lambda: initiator().split()) == code
    assert code_of(lambda: other.write_message_2(b"")) == code
    one.split()
    assert code_of(one.split) == code


def test_failed_handshake_stays_dead() -> None:
    """After a forged message nothing more can be read or written, not even the genuine one."""
    one, other = initiator(), responder()
    other.read_message_1(one.write_message_1())
    answer = other.write_message_2(b"evidence")
    assert code_of(lambda: one.read_message_2(answer[:-1] + b"\x00")) == "session.handshake.forged"
    assert code_of(lambda: one.read_message_2(answer)) == "session.handshake.order"
    assert code_of(lambda: one.write_message_3(b"secret")) == "session.handshake.order"


def test_prologue_is_canonical_json() -> None:
    """Protocol, level, lease, function, trust file and nonce stand there in one spelling."""
    assert prologue() == (
        b'{"assurance":"simulated","function":"'
        + b"f0" * 32
        + b'","lease":"'
        + b"1e" * 32
        + b'","nonce":"bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4=","protocol":"me-session/1",'
        + b'"trust":"'
        + b"7a" * 32
        + b'"}'
    )
