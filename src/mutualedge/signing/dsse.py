"""Dead Simple Signing Envelope: signatures over exact bytes and their declared type.

Source: https://github.com/secure-systems-lab/dsse, protocol version 1.0.
"""

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from mutualedge.errors import PeerError
from mutualedge.model import Digest, HexKeyId, KeyId
from mutualedge.signing.canonical import canonical_bytes, digest_of, parse_canonical
from mutualedge.signing.keys import SigningKey, key_id_of, signature_is_valid

PAYLOAD_BYTES_MAX = 1 << 20
"""A signed document larger than 1 MiB is refused before it is parsed."""

SIGNATURES_MAX = 64

T = TypeVar("T")


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key's signature over the pre-authentication encoding of the envelope."""

    keyid: HexKeyId
    sig: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


class Envelope(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """A payload, its type and who signed it; JSON form is the DSSE envelope."""

    payload: Annotated[bytes, msgspec.Meta(max_length=PAYLOAD_BYTES_MAX)]
    payload_type: Annotated[str, msgspec.Meta(max_length=128)]
    signatures: Annotated[tuple[Signature, ...], msgspec.Meta(max_length=SIGNATURES_MAX)]

    @property
    def payload_digest(self) -> Digest:
        """SHA-256 of the payload: the identity of the document, whoever signed it."""
        return digest_of(self.payload)


def media_type(kind: type) -> str:
    """Return the payload type of a record class: ``application/vnd.mutualedge.NAME.v1+json``."""
    return f"application/vnd.mutualedge.{kind.__name__.lower()}.v1+json"


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed (DSSE "PAE")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_record(record: object, *keys: SigningKey) -> Envelope:
    """Return the envelope over the record's canonical bytes, signed by each key in turn."""
    envelope = Envelope(
        payload=canonical_bytes(record), payload_type=media_type(type(record)), signatures=()
    )
    for key in keys:
        envelope = countersign(envelope, key)
    return envelope


def countersign(envelope: Envelope, key: SigningKey) -> Envelope:
    """Return the envelope with this key's signature, made now, in place of what bears its name.

    Ed25519 is deterministic, so signing again changes nothing; but whoever handed us the
    envelope may have written anything under our key's name.
    """
    message = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    made = Signature(keyid=key.key_id, sig=key.sign(message))
    names = [each.keyid for each in envelope.signatures]
    place = names.index(key.key_id) if key.key_id in names else len(names)
    others = tuple(each for each in envelope.signatures if each.keyid != key.key_id)
    return _with_signatures(envelope, (*others[:place], made, *others[place:]))


def signed_only_by(envelope: Envelope, *public_keys: bytes) -> Envelope:
    """Return the envelope with one valid signature of each of these keys, in their order.

    What a peer added beside them is a byte nobody looks at, and an auditor refuses it.

    Raises:
        PeerError: One of the keys did not sign.
    """
    message = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    kept = tuple(_valid_signature(envelope, public, message) for public in public_keys)
    return _with_signatures(envelope, kept)


def _valid_signature(envelope: Envelope, public: bytes, message: bytes) -> Signature:
    for each in envelope.signatures:
        if each.keyid == key_id_of(public) and signature_is_valid(public, each.sig, message):
            return each
    sentence = "The document lacks a valid signature of a party that must sign it."
    raise PeerError("signing.envelope.unsigned", sentence)


def _with_signatures(envelope: Envelope, signatures: tuple[Signature, ...]) -> Envelope:
    return Envelope(
        payload=envelope.payload, payload_type=envelope.payload_type, signatures=signatures
    )


def valid_signers(envelope: Envelope, keys: Mapping[KeyId, bytes]) -> tuple[KeyId, ...]:
    """Return which of these keys signed the envelope, in the order of its signatures.

    Args:
        envelope: The signed document.
        keys: Raw public keys by key id; others are ignored.
    """
    message = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    return tuple(
        each.keyid
        for each in envelope.signatures
        if each.keyid in keys and signature_is_valid(keys[each.keyid], each.sig, message)
    )


def verify_record(envelope: Envelope, kind: type[T], *public_keys: bytes) -> T:
    """Return the record if every one of these keys signed it.

    Args:
        envelope: The signed document.
        kind: Record class expected.
        public_keys: Raw Ed25519 public keys, at least one.

    Raises:
        PeerError: Wrong type, a signature missing or invalid, or the payload is malformed.
    """
    assert public_keys, "verifying against no key would accept anything"
    if envelope.payload_type != media_type(kind):
        sentence = f"Expected a {kind.__name__}, got '{envelope.payload_type}'."
        raise PeerError("signing.envelope.type", sentence)
    message = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    for public in public_keys:
        named = (each for each in envelope.signatures if each.keyid == key_id_of(public))
        if not any(signature_is_valid(public, each.sig, message) for each in named):
            sentence = f"The {kind.__name__} lacks a valid signature of a party that must sign it."
            raise PeerError("signing.envelope.unsigned", sentence)
    return parse_canonical(envelope.payload, kind)
