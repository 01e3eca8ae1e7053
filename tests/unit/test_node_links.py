"""A requester's end of a session: replies must be about what was asked, once."""

import msgspec
import pytest

from mutualedge.errors import PeerError
from mutualedge.model import Digest, InvocationId
from mutualedge.node.links import AWAITED_MAX, Link
from mutualedge.protocol import SealedReply, encode_sealed
from mutualedge.session import (
    Initiator,
    RecordKind,
    Responder,
    SessionKeys,
    content_digest,
)
from mutualedge.signing import canonical_bytes
from tests.unit.ledger_world import METER
from tests.unit.node_world import invocation_of
from tests.unit.test_core_meter import usage_record

REQUEST, RESPONSE = b"request", b"response"
ASKED = invocation_of(1)


def new_link() -> tuple[Link, SessionKeys]:
    """Return the link and the runner's end of the same session."""
    initiator, responder = (
        end(prologue=b"", static_private=bytes([index]) * 32, ephemeral_private=b"e" * 32)
        for index, end in enumerate((Initiator, Responder), start=1)
    )
    assert isinstance(initiator, Initiator)
    assert isinstance(responder, Responder)
    responder.read_message_1(initiator.write_message_1(b""))
    initiator.read_message_2(responder.write_message_2(b""))
    responder.read_message_3(initiator.write_message_3(b""))
    return Link(session=1, meter=METER.key_id, keys=initiator.split()), responder.split()


def reply_record(
    keys: SessionKeys, changes: dict[str, object] | None = None, handed: bytes = RESPONSE
) -> bytes:
    """Return what an attested runner would seal about ``ASKED``, with these changes."""
    usage = msgspec.structs.replace(
        usage_record(),
        invocation=ASKED,
        request=content_digest(keys.secret, 1, "request", REQUEST),
        response=content_digest(keys.secret, 1, "response", RESPONSE),
    )
    raw = canonical_bytes(msgspec.structs.replace(usage, **(changes or {})))
    sealed = encode_sealed(SealedReply(usage=raw, response=handed))
    return keys.sealer.seal(RecordKind.REPLY, sealed)


def code_of(link: Link, record: bytes) -> str:
    with pytest.raises(PeerError) as refused:
        link.open(record)
    return refused.value.code


def test_the_reply_to_a_call_is_believed() -> None:
    """Record, raw record and result come out of one authenticated reply."""
    link, keys = new_link()
    link.seal(ASKED, REQUEST)
    usage, raw, response = link.open(reply_record(keys))
    assert (usage.invocation, response) == (ASKED, RESPONSE)
    assert canonical_bytes(usage) == raw


def test_a_reply_nobody_asked_for_is_refused() -> None:
    """A runner cannot charge for an invocation that this session never sent."""
    link, keys = new_link()
    link.seal(invocation_of(2), REQUEST)
    assert code_of(link, reply_record(keys)) == "session.reply.unasked"


def test_a_second_reply_to_one_call_is_refused() -> None:
    """Once a call has its result another one is not taken, however genuine."""
    link, keys = new_link()
    link.seal(ASKED, REQUEST)
    link.open(reply_record(keys))
    link.forget(ASKED)
    assert code_of(link, reply_record(keys)) == "session.reply.unasked"
    assert not link.awaits(ASKED)


@pytest.mark.parametrize(
    "changes",
    [
        {"request": Digest("ab" * 32)},
        {"response": Digest("ab" * 32)},
        {"seq": 2},
        {"meter": "ab" * 32},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_record_about_other_content_is_refused(changes: dict[str, object]) -> None:
    """Its digests must open to our request and the result beside it, under its own number."""
    link, keys = new_link()
    link.seal(ASKED, REQUEST)
    assert code_of(link, reply_record(keys, changes)) == "meter.record.content"
    assert link.awaits(ASKED)


def test_a_result_other_than_the_recorded_one_is_refused() -> None:
    """The record's digest is of the result that was handed over."""
    link, keys = new_link()
    link.seal(ASKED, REQUEST)
    assert code_of(link, reply_record(keys, handed=b"another result")) == "meter.record.content"


def test_what_is_awaited_is_bounded() -> None:
    """Calls without reply are remembered as far as the replay window reaches, oldest dropped."""
    link, _ = new_link()
    for number in range(AWAITED_MAX + 1):
        link.seal(InvocationId(f"{number:032x}"), REQUEST)
    assert not link.awaits(InvocationId(f"{0:032x}"))
    assert link.awaits(InvocationId(f"{1:032x}"))
    assert len(link._awaited) == AWAITED_MAX
