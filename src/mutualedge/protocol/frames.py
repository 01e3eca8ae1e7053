"""What node and runner say to each other over one inherited socket.

A frame is a MessagePack union behind a four-byte length. The node orders, the runner answers each
order with exactly one frame; the runner never speaks first.
"""

from typing import Annotated

import msgspec

from mutualedge.errors import PeerError
from mutualedge.model import (
    UNREADABLE,
    Bytes32,
    Count,
    HexDigest,
    HexInvocationId,
    HexLeaseId,
    PositiveCount,
)
from mutualedge.signing import Envelope

FRAME_BYTES_MAX = 4 << 20
"""Largest frame, 4 MiB: a function bundle; everything else is far smaller."""

HANDSHAKE_BYTES_MAX = 65_535
"""Largest Noise message (Noise revision 34, section 3)."""

RECORD_BYTES_MAX = 256 * 1024 + 64
"""Largest session record: 256 KiB of payload and its header and tag."""

Handshake = Annotated[bytes, msgspec.Meta(max_length=HANDSHAKE_BYTES_MAX)]
SealedRecord = Annotated[bytes, msgspec.Meta(max_length=RECORD_BYTES_MAX)]


class LoadBundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Verify, measure and compile a function bundle."""

    bundle: bytes


class BundleLoaded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """The bundle is ready; its digest is what evidence and records will name."""

    function: HexDigest
    fuel_per_ms: PositiveCount


class OpenResponder(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """Answer message 1 of a handshake for a lease."""

    session: Count
    agreement: Envelope
    nonce: Bytes32
    message: Handshake


class ResponderOpened(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """Message 2, and what the node needs to sign the placement and archive the evidence."""

    session: Count
    message: Handshake
    handshake: Bytes32
    meter_key: Bytes32
    evidence: bytes


class FinishResponder(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """Take message 3 of a handshake."""

    session: Count
    message: Handshake


class ResponderFinished(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """The session is ready; the requester's opening voucher arrived inside message 3."""

    session: Count
    opening: Envelope


class Execute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Open a sealed request, run it under its limits, seal the result, meter it.

    ``billable`` is false when the node already holds a paid record of this invocation: the
    runner then charges nothing for repeating it.
    """

    job: Count
    session: Count
    invocation: HexInvocationId
    record: SealedRecord
    billable: bool


class Executed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """The sealed result and the usage record, which stands inside the sealed result too."""

    job: Count
    reply: SealedRecord
    usage: bytes


class ExecuteLocal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Run a request of the node's own enterprise; nothing is sealed or metered."""

    job: Count
    function: HexDigest
    request: Annotated[bytes, msgspec.Meta(max_length=256 * 1024)]
    budget_ns: PositiveCount


class ExecutedLocal(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """The plain result of a local job."""

    job: Count
    status: str
    response: bytes


class SealBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Sign everything metered for a lease so far."""

    lease: HexLeaseId


class BatchSealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """The runner-signed batch, a ``meter.RecordBatch``; nothing when nothing was metered."""

    lease: HexLeaseId
    batch: Envelope | None


class FrameRefused(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """The order could not be carried out; ``subject`` is the job, session or lease it named."""

    order: str
    subject: str
    code: str
    sentence: str


RunnerOrder = LoadBundle | OpenResponder | FinishResponder | Execute | ExecuteLocal | SealBatch
RunnerAnswer = (
    BundleLoaded
    | ResponderOpened
    | ResponderFinished
    | Executed
    | ExecutedLocal
    | BatchSealed
    | FrameRefused
)

LENGTH_BYTES = 4
"""Each frame stands behind its length, big endian."""

_encoder = msgspec.msgpack.Encoder()
_orders: msgspec.msgpack.Decoder[RunnerOrder] = msgspec.msgpack.Decoder(RunnerOrder)
_answers: msgspec.msgpack.Decoder[RunnerAnswer] = msgspec.msgpack.Decoder(RunnerAnswer)


def encode_frame(frame: RunnerOrder | RunnerAnswer) -> bytes:
    """Return the frame behind its length."""
    body = _encoder.encode(frame)
    assert len(body) <= FRAME_BYTES_MAX, "every field of a frame is bounded"
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def parse_frame_length(prefix: bytes) -> int:
    """Return how many bytes follow.

    Raises:
        PeerError: More than a frame may have.
    """
    length_bytes = int.from_bytes(prefix, "big")
    if length_bytes > FRAME_BYTES_MAX:
        sentence = f"A frame of {length_bytes} bytes exceeds {FRAME_BYTES_MAX}; the socket is lost."
        raise PeerError("protocol.frame.oversize", sentence)
    return length_bytes


def parse_order(body: bytes) -> RunnerOrder:
    """Return the order inside a frame.

    Raises:
        PeerError: It is none.
    """
    try:
        return _orders.decode(body)
    except UNREADABLE as error:
        raise PeerError("protocol.frame.malformed", f"Not an order: {error}.") from error


def parse_answer(body: bytes) -> RunnerAnswer:
    """Return the runner's answer inside a frame.

    Raises:
        PeerError: It is none.
    """
    try:
        return _answers.decode(body)
    except UNREADABLE as error:
        raise PeerError("protocol.frame.malformed", f"Not an answer: {error}.") from error
