"""Digests of content that stay mute without the session's secret."""

import hashlib

from mutualedge.model import Digest
from mutualedge.signing import keyed_digest


def content_salt(secret: bytes, seq: int) -> bytes:
    """Return the salt of one usage record; revealing it opens that record's digests, no others.

    Args:
        secret: The session's (``SessionKeys.secret``): only its two ends can test a guess.
        seq: Number of the usage record.
    """
    return keyed_digest(secret, b"me-session/1 content" + seq.to_bytes(8, "big"))


def content_digest(salt: bytes, content: bytes) -> Digest:
    """Return what a usage record says of a request or response without giving it away."""
    return Digest(hashlib.sha256(salt + content).hexdigest())
