"""The one byte string of a value: sorted, compact JSON that re-encodes to itself."""

import hashlib
from typing import TypeVar

import msgspec

from mutualedge.errors import PeerError
from mutualedge.model import UNREADABLE, Digest

T = TypeVar("T")

_encoder = msgspec.json.Encoder(order="sorted")
_decoders: dict[object, msgspec.json.Decoder[object]] = {}


def canonical_bytes(value: object) -> bytes:
    """Return sorted, compact UTF-8 JSON; integers must stay below 2^53, floats do not occur."""
    return _encoder.encode(value)


def parse_canonical(raw: bytes, kind: type[T]) -> T:
    """Return the value that ``raw`` is the canonical bytes of.

    Args:
        raw: Received bytes.
        kind: The msgspec type expected.

    Raises:
        PeerError: Not JSON, not of this type, or another spelling of it (space, key order,
            duplicate keys), which a signature could hide behind.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        value = decoder.decode(raw)
    except UNREADABLE as error:
        sentence = f"Expected a {kind.__name__} as JSON: {error}."
        raise PeerError("signing.json.malformed", sentence) from error
    if _encoder.encode(value) != raw:
        sentence = f"The {kind.__name__} is not in canonical form; its sender must re-encode it."
        raise PeerError("signing.json.not-canonical", sentence)
    return value  # type: ignore[return-value]  # the decoder of `kind` returns a `kind`


def digest_of(raw: bytes) -> Digest:
    """Return the lowercase hexadecimal SHA-256 of exactly these bytes."""
    return Digest(hashlib.sha256(raw).hexdigest())
