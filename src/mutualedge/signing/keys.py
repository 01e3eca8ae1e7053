"""Ed25519 keys by value: 32 raw bytes in, named by the digest of the public half."""

import hashlib
from functools import cached_property, lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mutualedge.errors import PeerError
from mutualedge.model import KeyId

KEY_BYTES = 32
SIGNATURE_BYTES = 64

VERIFIED_MAX = 4096
"""Signatures remembered as valid; blocks, commands and vouchers are seen two to four times, and
what we signed ourselves comes back in blocks, statements and agreements."""

_verified: dict[bytes, None] = {}


class SigningKey:
    """A private Ed25519 key (RFC 8032); signing is deterministic, so the core may hold one."""

    def __init__(self, seed: bytes) -> None:
        """Take the 32-byte seed of the key.

        Raises:
            ValueError: The seed is not 32 bytes long.
        """
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_bytes = self._private.public_key().public_bytes_raw()

    @cached_property
    def key_id(self) -> KeyId:
        """Name of the key: SHA-256 of the raw public key, hexadecimal."""
        return key_id_of(self.public_bytes)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over exactly these bytes, known here to be valid."""
        signature = self._private.sign(message)
        _remember(_asked(self.public_bytes, signature, message))
        return signature


@lru_cache(maxsize=1024)
def key_id_of(public_bytes: bytes) -> KeyId:
    """Return the name of a public key: SHA-256 of its 32 raw bytes, hexadecimal."""
    return KeyId(hashlib.sha256(public_bytes).hexdigest())


@lru_cache(maxsize=1024)
def _public_key(public_bytes: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public_bytes)


def _asked(public_bytes: bytes, signature: bytes, message: bytes) -> bytes:
    """Return the digest of a question; the first two have one length each, so it is unambiguous."""
    return hashlib.sha256(public_bytes + signature + message).digest()


def _remember(asked: bytes) -> None:
    if len(_verified) >= VERIFIED_MAX:
        del _verified[next(iter(_verified))]
    _verified[asked] = None


def signature_is_valid(public_bytes: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether the key signed exactly this message; a malformed key signed nothing.

    What we signed or found valid is remembered by digest, so that asking again costs a hash.
    """
    if len(public_bytes) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    asked = _asked(public_bytes, signature, message)
    if asked in _verified:
        return True
    try:
        _public_key(public_bytes).verify(signature, message)
    except InvalidSignature:
        return False
    _remember(asked)
    return True


def verify_signature(public_bytes: bytes, signature: bytes, message: bytes, *, what: str) -> None:
    """Return if the key signed exactly this message.

    Args:
        public_bytes: Raw Ed25519 public key.
        signature: 64 bytes.
        message: What was signed.
        what: Name of the signed thing, for the error.

    Raises:
        PeerError: The signature is not the key's signature over the message.
    """
    if not signature_is_valid(public_bytes, signature, message):
        sentence = f"The signature on {what} does not verify; it was altered or signed by another."
        raise PeerError("signing.signature.invalid", sentence)
