"""Messages and frames that are refused, each with its code, before anybody acts on them."""

import json

import msgspec
import pytest

from mutualedge.errors import PeerError
from mutualedge.protocol import (
    FRAME_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    Accepted,
    AskBlocks,
    SealedReply,
    SealedRequest,
    encode_message,
    parse_answer,
    parse_frame_length,
    parse_json_reply,
    parse_order,
    parse_reading,
    parse_reply,
    parse_request,
    parse_sealed,
)
from tests.unit.node_world import reading_of

NOT_TEXT = msgspec.msgpack.encode({"type": "Accepted"}).replace(b"Accepted", b"Acc\xffpted")
INVALID_KEY = b"\x81\xa7\xffeading\x01"


def code_of(read: object, raw: bytes) -> str:
    assert callable(read)
    with pytest.raises(PeerError) as refused:
        read(raw)
    return refused.value.code


def reading_json(**changes: object) -> bytes:
    reading = json.loads(msgspec.json.encode(reading_of(1)))
    return json.dumps(reading | changes).encode()


@pytest.mark.parametrize("read", [parse_request, parse_reply, parse_reading, parse_json_reply])
def test_an_oversize_message_is_refused_unread(read: object) -> None:
    """More than 1 MiB is refused by its length; exactly 1 MiB is read."""
    assert code_of(read, bytes(MESSAGE_BYTES_MAX + 1)) == "protocol.message.oversize"
    assert code_of(read, bytes(MESSAGE_BYTES_MAX)) == "protocol.message.malformed"


def test_an_unknown_message_is_refused() -> None:
    """A tag nobody knows, a field too many, or the other direction's message is malformed."""
    for fields in ({"type": "Bribe"}, {"type": "Accepted", "more": 1}, {}, {"type": 7}):
        assert code_of(parse_reply, msgspec.msgpack.encode(fields)) == "protocol.message.malformed"
    request = encode_message(AskBlocks(from_height=1))
    assert code_of(parse_reply, request) == "protocol.message.malformed"
    assert code_of(parse_request, encode_message(Accepted())) == "protocol.message.malformed"


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "Press 1"},
        {"device": ""},
        {"invocation": "xyz"},
        {"readings": []},
        {"readings": [1.0] * 121},
        {"readings": [None]},
        {"remaining_ns": -1},
        {"remaining_ns": 2**53},
        {"type": "Accepted"},
        {"surprise": True},
    ],
    ids=lambda changes: f"{next(iter(changes.items()))!s:.30}",
)
def test_a_reading_out_of_bounds_is_refused(changes: dict[str, object]) -> None:
    """Every field of what a device sends has a bound; beyond it nothing is guessed."""
    assert code_of(parse_reading, reading_json(**changes)) == "protocol.message.malformed"


def test_a_plain_reading_is_accepted() -> None:
    """The same reading without a change is read, whole numbers and the default included."""
    assert parse_reading(reading_json()) == reading_of(1)
    assert parse_reading(reading_json(readings=[20, 20.5])).readings == (20.0, 20.5)


def test_an_oversize_frame_ends_the_conversation() -> None:
    """A length beyond 4 MiB is refused before its body is waited for."""
    assert parse_frame_length(FRAME_BYTES_MAX.to_bytes(4, "big")) == FRAME_BYTES_MAX
    prefix = (FRAME_BYTES_MAX + 1).to_bytes(4, "big")
    assert code_of(parse_frame_length, prefix) == "protocol.frame.oversize"


@pytest.mark.parametrize("read", [parse_order, parse_answer])
@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x80", encode_message(Accepted())])
def test_an_unknown_frame_is_refused(read: object, body: bytes) -> None:
    """What is neither an order nor an answer is malformed."""
    assert code_of(read, body) == "protocol.frame.malformed"


@pytest.mark.parametrize("read", [parse_order, parse_answer])
@pytest.mark.parametrize("body", [NOT_TEXT, INVALID_KEY])
def test_a_frame_of_broken_text_is_refused(read: object, body: bytes) -> None:
    """Text that is not UTF-8 is malformed like everything else; it kills neither end."""
    assert code_of(read, body) == "protocol.frame.malformed"


@pytest.mark.parametrize("read", [parse_request, parse_reply])
@pytest.mark.parametrize("body", [NOT_TEXT, INVALID_KEY])
def test_a_message_of_broken_text_is_refused(read: object, body: bytes) -> None:
    """Text that is not UTF-8 is malformed like everything else."""
    assert code_of(read, body) == "protocol.message.malformed"


@pytest.mark.parametrize("kind", [SealedRequest, SealedReply])
@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x80", INVALID_KEY])
def test_broken_sealed_content_is_refused(kind: type, body: bytes) -> None:
    """An authenticated peer that seals nonsense is told so; it kills neither end."""
    assert code_of(lambda raw: parse_sealed(raw, kind), body) == "protocol.sealed.malformed"
