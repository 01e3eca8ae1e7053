"""Digests of content that stay mute without the session's secret."""

import hashlib

from mutualedge.model import Digest


def content_salt(secret: bytes, seq: int, part: str) -> bytes:
    """Return the salt of one digest; revealing it opens that digest and no other.

    Args:
        secret: The session's (``SessionKeys.secret``): only its two ends can test a guess.
        seq: Number of the usage record.
        part: ``request`` or ``response``: who shows one keeps the other.
    """
    person = f"me/1 {part}".encode()
    salted = hashlib.blake2b(seq.to_bytes(8, "big"), key=secret, person=person, digest_size=32)
    return salted.digest()


def content_digest(secret: bytes, seq: int, part: str, content: bytes) -> Digest:
    """Return what a usage record says of a request or response without giving it away."""
    return Digest(hashlib.sha256(content_salt(secret, seq, part) + content).hexdigest())
