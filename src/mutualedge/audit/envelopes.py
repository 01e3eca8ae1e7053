"""Signed documents, strictly: exactly the signers that must sign, each signature valid, no other.

A signature nobody asked for is a byte nobody looks at, so it is refused here.
"""

from collections.abc import Mapping
from typing import TypeVar

from mutualedge.errors import MutualEdgeError
from mutualedge.model import KeyId
from mutualedge.signing import (
    Envelope,
    key_id_of,
    media_type,
    parse_canonical,
    pre_authentication_encoding,
    signature_is_valid,
)

T = TypeVar("T")


def parse_payload(envelope: Envelope, kind: type[T]) -> T | str:
    """Return the document inside, or why there is none; nothing is verified yet."""
    if envelope.payload_type != media_type(kind):
        return f"It is of type '{envelope.payload_type}', not '{media_type(kind)}'."
    return parse_document(envelope.payload, kind)


def parse_document(raw: bytes, kind: type[T]) -> T | str:
    """Return the document these bytes are, or why they are none."""
    try:
        return parse_canonical(raw, kind)
    except MutualEdgeError as error:
        return error.sentence


def check_signed_by_all(envelope: Envelope, *public_keys: bytes) -> str | None:
    """Return why these keys, all of them and no others, did not sign; None if they did."""
    keys = {key_id_of(each): each for each in public_keys}
    flaw = check_signatures(envelope, keys)
    if flaw is None and len(envelope.signatures) != len(keys):
        return f"It has {len(envelope.signatures)} signatures and needs {len(keys)}."
    return flaw


def check_signatures(envelope: Envelope, keys: Mapping[KeyId, bytes]) -> str | None:
    """Return why a signature of the envelope is not one of these keys'; None if all are."""
    message = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    seen: list[KeyId] = []
    for each in envelope.signatures:
        if each.keyid not in keys or each.keyid in seen:
            return f"Signature {len(seen) + 1} is of key {each.keyid[:16]}, which should not sign."
        if not signature_is_valid(keys[each.keyid], each.sig, message):
            return f"Signature {len(seen) + 1}, of key {each.keyid[:16]}, does not verify."
        seen.append(each.keyid)
    return None
