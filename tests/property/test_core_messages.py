"""Laws of what is said: every message comes back as it was, and no bytes crash a reader."""

import string
from collections.abc import Callable
from functools import cache
from typing import TypeVar, get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from mutualedge.errors import MutualEdgeError
from mutualedge.model.identifiers import DIGEST_PATTERN, INVOCATION_PATTERN, NAME_PATTERN
from mutualedge.protocol import (
    LENGTH_BYTES,
    Reading,
    Reply,
    Request,
    RunnerAnswer,
    RunnerHello,
    RunnerOrder,
    SealedReply,
    SealedRequest,
    encode_frame,
    encode_json,
    encode_message,
    encode_sealed,
    parse_answer,
    parse_frame_length,
    parse_json_reply,
    parse_order,
    parse_reading,
    parse_reply,
    parse_request,
    parse_sealed,
)
from mutualedge.protocol.enrolment import RELEASE_PATTERN
from mutualedge.signing import Envelope, canonical_bytes, parse_canonical

T = TypeVar("T")

SAMPLE_ITEMS_MAX = 3
SAMPLE_BYTES_MAX = 80
"""Longer ones would only repeat the same bytes of MessagePack."""

PATTERNS = {
    DIGEST_PATTERN: st.binary(min_size=32, max_size=32).map(bytes.hex),
    INVOCATION_PATTERN: st.binary(min_size=16, max_size=16).map(bytes.hex),
    RELEASE_PATTERN: st.sampled_from(("0.1.0", "1.0.dev7+g1a2b3c4", "9" * 64)),
    NAME_PATTERN: st.sampled_from(("a", "candy", "forge-2", "x" * 32)),
}


def values_of(kind: inspect.Type) -> st.SearchStrategy[object]:  # noqa: PLR0911  # one per type
    """Return every value of a message field's type, by the bounds the type itself declares."""
    match kind:
        case inspect.StructType():
            return structs(kind.cls)
        case inspect.IntType(ge=least, le=most):
            return st.integers(least, most)
        case inspect.BytesType(min_length=least, max_length=most):
            return st.binary(min_size=least or 0, max_size=min(most or SAMPLE_BYTES_MAX, 80))
        case inspect.StrType(pattern=str() as pattern):
            return PATTERNS[pattern]
        case inspect.StrType(max_length=most):
            return st.text(string.printable, max_size=min(most or SAMPLE_BYTES_MAX, 80))
        case inspect.VarTupleType(item_type=item, min_length=least):
            items = st.lists(values_of(item), min_size=least or 0, max_size=SAMPLE_ITEMS_MAX)
            return items.map(tuple)
        case inspect.UnionType(types=types):
            return st.one_of(*map(values_of, types))
        case inspect.FloatType():
            return st.floats(allow_nan=False, allow_infinity=False)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case _:
            raise AssertionError(kind)


@cache
def structs(kind: type[T]) -> st.SearchStrategy[T]:
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return st.builds(kind, **{field.name: values_of(field.type) for field in described.fields})


def any_of(union: object) -> st.SearchStrategy[msgspec.Struct]:
    return st.one_of(*map(structs, get_args(union)))


requests = any_of(Request)
replies = any_of(Reply)
orders = any_of(RunnerOrder)
answers = any_of(RunnerAnswer)
sealed = any_of(RunnerHello | SealedRequest | SealedReply)


def parse_each(raw: bytes) -> None:
    """Read the bytes as everything a peer could send; only our own errors may come out."""
    readers: tuple[Callable[[bytes], object], ...] = (
        parse_request,
        parse_reply,
        parse_order,
        parse_answer,
        parse_reading,
        parse_json_reply,
        lambda body: parse_sealed(body, SealedRequest),
        lambda body: parse_sealed(body, SealedReply),
        lambda body: parse_sealed(body, RunnerHello),
        lambda body: parse_canonical(body, Envelope),
    )
    for read in readers:
        try:
            read(raw)
        except MutualEdgeError as error:
            assert error.code.startswith(("protocol.", "signing.")), error  # noqa: PT017


@given(requests)
def test_every_request_comes_back(request: Request) -> None:
    """What was asked is what is read, whatever the kind of request."""
    assert parse_request(encode_message(request)) == request


@given(replies)
def test_every_reply_comes_back(reply: Reply) -> None:
    """What was replied is what is read, whatever the kind of reply."""
    assert parse_reply(encode_message(reply)) == reply


@given(replies)
def test_every_reply_comes_back_as_json(reply: Reply) -> None:
    """Devices read the same reply as JSON."""
    assert parse_json_reply(encode_json(reply)) == reply


@given(structs(Reading))
def test_every_reading_comes_back_as_json(reading: Reading) -> None:
    """What a device sends is what the node reads."""
    assert parse_reading(encode_json(reading)) == reading


@given(orders)
def test_every_order_comes_back(order: RunnerOrder) -> None:
    """A frame's length says how much follows, and what follows is the order."""
    frame = encode_frame(order)
    assert parse_frame_length(frame[:LENGTH_BYTES]) == len(frame) - LENGTH_BYTES
    assert parse_order(frame[LENGTH_BYTES:]) == order


@given(answers)
def test_every_answer_comes_back(answer: RunnerAnswer) -> None:
    """What the runner answered is what the node reads."""
    assert parse_answer(encode_frame(answer)[LENGTH_BYTES:]) == answer


@given(sealed)
def test_every_sealed_content_comes_back(
    content: RunnerHello | SealedRequest | SealedReply,
) -> None:
    """What was sealed is what is read, as its own kind only."""
    assert parse_sealed(encode_sealed(content), type(content)) == content


@given(structs(Envelope))
def test_canonical_bytes_are_one_to_one(envelope: Envelope) -> None:
    """A value has one spelling, and that spelling is the value."""
    raw = canonical_bytes(envelope)
    assert parse_canonical(raw, Envelope) == envelope
    assert canonical_bytes(parse_canonical(raw, Envelope)) == raw


def flipped(raw: bytes, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(requests | replies | orders | answers, st.data())
def test_flipped_bits_crash_no_reader(message: Request | Reply, data: st.DataObject) -> None:
    """A message with any bit flipped is read or refused with a code, nothing else."""
    raw = msgspec.msgpack.encode(message)
    parse_each(flipped(raw, data.draw(st.integers(0, 8 * len(raw) - 1), label="bit")))


@given(replies | structs(Reading), st.data())
def test_flipped_bits_of_json_crash_no_reader(message: Reply, data: st.DataObject) -> None:
    """Text with any bit flipped is read or refused with a code, nothing else."""
    raw = encode_json(message)
    parse_each(flipped(raw, data.draw(st.integers(0, 8 * len(raw) - 1), label="bit")))


@given(st.binary(max_size=300))
def test_noise_crashes_no_reader(raw: bytes) -> None:
    """Bytes from anywhere are read or refused with a code, nothing else."""
    parse_each(raw)


@given(requests | replies, st.data())
def test_a_truncated_message_is_refused(message: Request | Reply, data: st.DataObject) -> None:
    """No proper beginning of a message is a message."""
    raw = encode_message(message)
    cut = raw[: data.draw(st.integers(0, len(raw) - 1), label="length")]
    for read in (parse_request, parse_reply):
        try:
            read(cut)
        except MutualEdgeError as error:
            assert error.code == "protocol.message.malformed"  # noqa: PT017
        else:
            raise AssertionError(cut)
