"""What stands inside the encryption, between requester and runner only."""

from typing import Annotated, TypeVar

import msgspec

from mutualedge.errors import PeerError
from mutualedge.model import UNREADABLE, Bytes32, HexInvocationId, HexLeaseId
from mutualedge.signing import Envelope

T = TypeVar("T")

EVIDENCE_BYTES_MAX = 16_384
"""An SGX quote has about 5 KiB, most of it certificates; three times that is room enough."""


class RunnerHello(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Payload of handshake message 2: who meters, and evidence bound to this handshake."""

    meter_key: Bytes32
    evidence: Annotated[bytes, msgspec.Meta(max_length=EVIDENCE_BYTES_MAX)]


class SessionGrant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The requester's word that a handshake is its own; signed with its settlement key.

    Without it the provider could speak to its own runner in the requester's place and have
    invented calls metered.

    Attributes:
        handshake: Hash that the evidence in message 2 is bound to.
    """

    lease: HexLeaseId
    handshake: Bytes32


class SessionOpening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Payload of handshake message 3: who speaks, and the voucher that opens the account.

    Attributes:
        grant: Envelope of a ``SessionGrant``.
        voucher: Envelope of a ``meter.Voucher`` over nothing.
    """

    grant: Envelope
    voucher: Envelope


class SealedRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call's content; the invocation inside is the one that counts."""

    invocation: HexInvocationId
    request: bytes


class SealedReply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A result and the usage record of making it, authenticated together by the session."""

    usage: bytes
    response: bytes


_encoder = msgspec.msgpack.Encoder()
_decoders: dict[object, msgspec.msgpack.Decoder[object]] = {}


def encode_sealed(value: RunnerHello | SessionOpening | SealedRequest | SealedReply) -> bytes:
    """Return the MessagePack bytes to encrypt."""
    return _encoder.encode(value)


def parse_sealed(raw: bytes, kind: type[T]) -> T:
    """Return the decrypted content.

    Raises:
        PeerError: The authenticated peer sent something else.
    """
    decoder = _decoders.setdefault(kind, msgspec.msgpack.Decoder(kind))
    try:
        return decoder.decode(raw)  # type: ignore[return-value]  # a decoder of `kind`
    except UNREADABLE as error:
        sentence = f"The peer's session content is not a {kind.__name__}: {error}."
        raise PeerError("protocol.sealed.malformed", sentence) from error
