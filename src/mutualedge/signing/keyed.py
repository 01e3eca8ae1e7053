"""Digests under a key: HMAC-SHA256 (RFC 2104)."""

import hashlib

BLOCK_BYTES = 64
"""SHA-256 works in blocks of 64 bytes; a key is filled up to one."""

_INNER = bytes(each ^ 0x36 for each in range(256))
_OUTER = bytes(each ^ 0x5C for each in range(256))


def keyed_digest(key: bytes, message: bytes) -> bytes:
    """Return the 32 bytes of HMAC-SHA256.

    Written as the two hashes it is: the library's ``hmac`` looks its algorithm up at each call,
    which takes longer than both, and hashing is warm wherever this is used.

    Args:
        key: At most 64 bytes.
        message: Any length.
    """
    assert len(key) <= BLOCK_BYTES, "a longer key would have to be hashed first"
    filled = key.ljust(BLOCK_BYTES, b"\0")
    inner = hashlib.sha256(filled.translate(_INNER) + message).digest()
    return hashlib.sha256(filled.translate(_OUTER) + inner).digest()
