"""Keys, digests, canonical bytes, DSSE envelopes and the entropy ratchet."""

from mutualedge.signing.canonical import canonical_bytes, digest_of, parse_canonical
from mutualedge.signing.dsse import (
    Envelope,
    Signature,
    countersign,
    media_type,
    pre_authentication_encoding,
    sign_record,
    signed_only_by,
    valid_signers,
    verify_record,
)
from mutualedge.signing.entropy import Entropy
from mutualedge.signing.keys import (
    SigningKey,
    key_id_of,
    signature_is_valid,
    verify_signature,
)

__all__ = [
    "Entropy",
    "Envelope",
    "Signature",
    "SigningKey",
    "canonical_bytes",
    "countersign",
    "digest_of",
    "key_id_of",
    "media_type",
    "parse_canonical",
    "pre_authentication_encoding",
    "sign_record",
    "signature_is_valid",
    "signed_only_by",
    "valid_signers",
    "verify_record",
    "verify_signature",
]
