"""Digests of content that stay mute without the session's secret."""

import hashlib
import hmac

from mutualedge.model import Digest


def content_salt(secret: bytes, seq: int) -> bytes:
    """Return the salt of one usage record; revealing it opens that record's digests, no others."""
    return hmac.digest(secret, b"me-session/1 content" + seq.to_bytes(8, "big"), "sha256")


def content_digest(secret: bytes, seq: int, content: bytes) -> Digest:
    """Return what a usage record says of a request or response without giving it away.

    Both ends of the session compute it; nobody else can test a guess at the content.

    Args:
        secret: The session's (``SessionKeys.secret``).
        seq: Number of the usage record.
        content: The request or response.
    """
    return Digest(hashlib.sha256(content_salt(secret, seq) + content).hexdigest())
