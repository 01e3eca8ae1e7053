"""What parties say to each other over the bus: one union of requests, one of replies."""

from typing import Annotated, TypeVar

import msgspec

from mutualedge.errors import PeerError
from mutualedge.model import (
    UNREADABLE,
    Amount,
    Bytes32,
    Count,
    DeviceName,
    DurationNs,
    HexDigest,
    HexInvocationId,
    HexLeaseId,
    PositiveCount,
)
from mutualedge.protocol.enrolment import EnrolmentReply, EnrolmentRequest
from mutualedge.protocol.frames import Handshake, SealedRecord
from mutualedge.signing import Envelope

MESSAGE_BYTES_MAX = 1 << 20
"""Largest message, 1 MiB: the bus refuses larger ones (facts: chunk above 256 KiB)."""

READINGS_MAX = 120
"""Readings in one invocation; a request is then about 1 KiB."""

COLLATERAL_BYTES_MAX = 65_536
"""Intel's collateral for one platform family has about 15 KiB."""

BLOCKS_MAX = 16
"""Ledger blocks in one reply."""

NOTE_CHARACTERS_MAX = 65_536

T = TypeVar("T")

Record = Annotated[bytes, msgspec.Meta(max_length=8192)]


class AskOffer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """What would you lend for this function?"""

    function: HexDigest


class OfferMade(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """A ``market.Offer`` signed by the node."""

    offer: Envelope


class ProposeLease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """A ``market.Agreement`` and its ``Commitment``, signed by the requester alone so far."""

    agreement: Envelope
    commitment: Envelope


class LeaseSigned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Both documents with both signatures; the provider's processor time is reserved."""

    agreement: Envelope
    commitment: Envelope


class OpenSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Message 1 of the handshake with the runner that will serve a lease.

    ``trust_version`` is that of the sender's trust file: the handshake only succeeds with a runner
    that believes the very same, and the provider can say so in plain words.
    """

    lease: HexLeaseId
    trust_version: PositiveCount
    nonce: Bytes32
    message: Handshake


class SessionOffered(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """Message 2 (evidence inside), the collateral to check it with, and the node's placement."""

    session: Count
    message: Handshake
    collateral: Annotated[bytes, msgspec.Meta(max_length=COLLATERAL_BYTES_MAX)]
    placement: Envelope


class FinishSession(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """Message 3: the requester appraised the evidence and opens the meter's account."""

    lease: HexLeaseId
    session: Count
    message: Handshake


class SessionReady(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Calls may follow."""

    session: Count


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """One sealed invocation under a lease; repeated with the same identity it is one call."""

    lease: HexLeaseId
    session: Count
    invocation: HexInvocationId
    record: SealedRecord
    remaining_ns: DurationNs


class CallDone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """The sealed result with its usage record inside."""

    record: SealedRecord


class LateReply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sealed reply that did not reach the requester when it was made."""

    seq: PositiveCount
    session: Count
    record: SealedRecord


class AskVoucher(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Sign for the records since your last voucher; late replies on demand."""

    lease: HexLeaseId
    meter_key: Bytes32
    through_seq: PositiveCount
    total_microcredits: Amount
    records: Annotated[tuple[Record, ...], msgspec.Meta(max_length=128)]
    replies: Annotated[tuple[LateReply, ...], msgspec.Meta(max_length=128)]
    batch: Envelope | None


class VoucherSigned(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """The requester's running total for one meter, a ``meter.Voucher``."""

    voucher: Envelope


class RepliesMissing(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """I did not get these results yet; send them and I sign."""

    seqs: Annotated[tuple[PositiveCount, ...], msgspec.Meta(max_length=128)]


class AskStatement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Countersign the statement of a finished lease."""

    statement: Envelope


class StatementSigned(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """The statement with both signatures."""

    statement: Envelope


class AddCheckpoint(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """Cosign my log's checkpoint (C2SP tlog-witness add-checkpoint body)."""

    body: Annotated[str, msgspec.Meta(max_length=NOTE_CHARACTERS_MAX)]


class CheckpointCosigned(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """The cosignature line."""

    line: Annotated[str, msgspec.Meta(max_length=1024)]


class CheckpointConflict(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """The witness knows another size; ask again from there (tlog-witness status 409)."""

    size: Count


class SubmitCommands(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """Signed ledger commands (``ledger.Command``)."""

    commands: Annotated[tuple[Envelope, ...], msgspec.Meta(min_length=1, max_length=64)]


class CommandsOrdered(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """The commands stand in this block; read it for their outcomes."""

    height: PositiveCount


class AskBlocks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Blocks from this height on."""

    from_height: PositiveCount


class SignedBlock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A block and the members' countersignatures the hub holds for it."""

    block: Envelope
    countersignatures: tuple[Envelope, ...]


class Blocks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """At most sixteen blocks, in order, and the ledger's height."""

    blocks: Annotated[tuple[SignedBlock, ...], msgspec.Meta(max_length=BLOCKS_MAX)]
    height: Count


class SubmitCountersignatures(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """I re-executed these blocks and got the same state (``ledger.Countersignature``)."""

    countersignatures: Annotated[tuple[Envelope, ...], msgspec.Meta(max_length=BLOCKS_MAX)]


class ProposeTrust(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Have the ledger adopt this trust file; the members' signatures on it are the authority."""

    trust: Envelope


class Accepted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Received and durable."""


class Reading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Consecutive readings of one device; ``invocation`` makes a repeat the same question."""

    device: DeviceName
    invocation: HexInvocationId
    readings: Annotated[tuple[float, ...], msgspec.Meta(min_length=1, max_length=READINGS_MAX)]
    remaining_ns: DurationNs
    guaranteed: bool = False


class ReadingScored(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """One score and flag per reading; ``placed`` names the enterprise that computed it."""

    invocation: HexInvocationId
    scores: tuple[float, ...]
    flags: tuple[int, ...]
    placed: str
    assurance: str
    timing: str


class Refused(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """No, and why: a stable code and a sentence; ``breach`` is signed when a lease promised it."""

    code: str
    sentence: str
    breach: Envelope | None = None


class Breach(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider's signed admission that it refused a call inside a lease."""

    lease: HexLeaseId
    invocation: HexInvocationId
    code: str


Request = (
    AskOffer
    | ProposeLease
    | OpenSession
    | FinishSession
    | Call
    | AskVoucher
    | AskStatement
    | AddCheckpoint
    | SubmitCommands
    | AskBlocks
    | SubmitCountersignatures
    | ProposeTrust
    | Reading
    | EnrolmentRequest
)
Reply = (
    OfferMade
    | LeaseSigned
    | SessionOffered
    | SessionReady
    | CallDone
    | VoucherSigned
    | RepliesMissing
    | StatementSigned
    | CheckpointCosigned
    | CheckpointConflict
    | CommandsOrdered
    | Blocks
    | Accepted
    | ReadingScored
    | EnrolmentReply
    | Refused
)

_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
_json_replies: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)
_readings: msgspec.json.Decoder[Reading] = msgspec.json.Decoder(Reading)


def encode_message(message: Request | Reply) -> bytes:
    """Return the MessagePack bytes of a request or reply."""
    return _encoder.encode(message)


def encode_json(message: Reading | Reply) -> bytes:
    """Return the JSON bytes of what devices send and receive."""
    return msgspec.json.encode(message)


def parse_request(raw: bytes) -> Request:
    """Return the request these bytes are.

    Raises:
        PeerError: Malformed, unknown, or over 1 MiB.
    """
    return _parse(_requests, raw)


def parse_reply(raw: bytes) -> Reply:
    """Return the reply these bytes are.

    Raises:
        PeerError: Malformed, unknown, or over 1 MiB.
    """
    return _parse(_replies, raw)


def parse_reading(raw: bytes) -> Reading:
    """Return the reading a device sent as JSON.

    Raises:
        PeerError: Not JSON, not a reading, or over 1 MiB.
    """
    return _parse(_readings, raw)


def parse_json_reply(raw: bytes) -> Reply:
    """Return the reply a node sent a device as JSON.

    Raises:
        PeerError: Malformed, unknown, or over 1 MiB.
    """
    return _parse(_json_replies, raw)


def _parse(decoder: msgspec.msgpack.Decoder[T] | msgspec.json.Decoder[T], raw: bytes) -> T:
    if len(raw) > MESSAGE_BYTES_MAX:
        sentence = f"A message of {len(raw)} bytes exceeds {MESSAGE_BYTES_MAX}; split the input."
        raise PeerError("protocol.message.oversize", sentence)
    try:
        return decoder.decode(raw)
    except UNREADABLE as error:
        sentence = f"The message cannot be read: {error}."
        raise PeerError("protocol.message.malformed", sentence) from error
