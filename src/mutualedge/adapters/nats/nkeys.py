"""NATS keys: Ed25519 keys whose text form names their role and carries a checksum.

Source: https://github.com/nats-io/nkeys (README, "Encoding"): base32 without padding over
prefix, key and CRC-16/XMODEM, least significant byte first.
"""

import base64
import binascii
import enum

from mutualedge.errors import UsageError
from mutualedge.signing import SigningKey

PUBLIC_TEXT_LENGTH = 56
"""Characters of a public key: base32 of 1 + 32 + 2 bytes."""

_SEED_PREFIX = 18 << 3
_CRC_BYTES = 2


class Role(enum.IntEnum):
    """What a key may sign for: its first byte, seen as the first letter of the text."""

    OPERATOR = 14 << 3
    ACCOUNT = 0
    USER = 20 << 3


class Nkey:
    """A private key in one role: signs tokens and the server's nonce."""

    def __init__(self, role: Role, seed: bytes) -> None:
        """Take the role and the 32-byte Ed25519 seed.

        Raises:
            ValueError: The seed is not 32 bytes long.
        """
        self._key = SigningKey(seed)
        self._seed = seed
        self.role = role
        self.public = encode_public(role, self._key.public_bytes)

    @property
    def seed_text(self) -> str:
        """The secret, as NATS tools write it (``SU...``); never log it."""
        return encode_seed(self.role, self._seed)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over exactly these bytes."""
        return self._key.sign(message)


def encode_public(role: Role, public_bytes: bytes) -> str:
    """Return the text of a raw public key: ``O``, ``A`` or ``U`` and 55 more characters."""
    return _encode(bytes([role]) + public_bytes)


def encode_seed(role: Role, seed: bytes) -> str:
    """Return the text of a seed; the role's five bits straddle the two prefix bytes."""
    return _encode(bytes([_SEED_PREFIX | role >> 5, (role & 31) << 3]) + seed)


def parse_public(text: str, role: Role) -> bytes:
    """Return the 32 raw bytes of a public key of this role.

    Raises:
        UsageError: Misspelt, or a key of another role.
    """
    try:
        raw = base64.b32decode(text) if len(text) == PUBLIC_TEXT_LENGTH else b""
    except (binascii.Error, ValueError):
        raw = b""
    body = raw[:-_CRC_BYTES]
    if body[:1] != bytes([role]) or _checksum(body) != raw[-_CRC_BYTES:]:
        sentence = f"'{text}' is not the public NATS key of an {role.name.lower()}; copy it whole."
        raise UsageError("nats.key.malformed", sentence)
    return body[1:]


def _encode(body: bytes) -> str:
    return base64.b32encode(body + _checksum(body)).decode().rstrip("=")


def _checksum(body: bytes) -> bytes:
    return binascii.crc_hqx(body, 0).to_bytes(_CRC_BYTES, "little")
