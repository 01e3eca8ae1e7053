"""Signed notes: a text, and signature lines by named keys, parsed as strictly as they are written.

Source: https://c2sp.org/signed-note.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from mutualedge.errors import PeerError, UsageError
from mutualedge.signing import SigningKey, signature_is_valid

NOTE_BYTES_MAX = 1 << 19
"""512 KiB: 64 witnesses' signatures even when each is a post-quantum one of 5 kB in base64."""

SIGNATURES_MAX = 100
"""Signature lines of one note; twice a full consortium's witnesses is still below it."""

NAME_BYTES_MAX = 255
"""Length of a key name; the cosignature format for post-quantum keys has one byte for it."""

NAMES_REMEMBERED = 256
"""Log and witness keys of a full consortium; each checkpoint names the same few again."""

PUBLIC_KEY_BYTES = 32
KEY_HASH_BYTES = 4

_SEPARATOR = "\n\n"
_DASH = "\u2014 "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_VKEY_PARTS = 3


class NoteAlgorithm(IntEnum):
    """Signature type identifier byte; separates the uses of keys that share a name."""

    ED25519 = 0x01
    COSIGNATURE_V1 = 0x04


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteVerifier:
    """A public key that a reader of notes trusts, under a name."""

    name: str
    public_bytes: bytes
    algorithm: NoteAlgorithm = NoteAlgorithm.ED25519

    def __post_init__(self) -> None:
        """Refuse names and keys that no note could carry."""
        if not is_key_name(self.name):
            sentence = f"'{self.name}' cannot name a note key: no spaces, no plus, 1 to 255 bytes."
            raise UsageError("tlog.vkey.name", sentence)
        if len(self.public_bytes) != PUBLIC_KEY_BYTES:
            sentence = f"The key of '{self.name}' must be a raw Ed25519 public key of 32 bytes."
            raise UsageError("tlog.vkey.key", sentence)

    @property
    def key_hash(self) -> bytes:
        """The four bytes that stand before each signature of this key ("key ID")."""
        return _key_hash(self.name, self.algorithm, self.public_bytes)

    @property
    def vkey(self) -> str:
        """The key as one line for a configuration file: ``name+hash+base64``."""
        material = base64.b64encode(bytes([self.algorithm]) + self.public_bytes).decode()
        return f"{self.name}+{self.key_hash.hex()}+{material}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSigner:
    """A private key that signs notes under a name."""

    name: str
    key: SigningKey
    algorithm: NoteAlgorithm = NoteAlgorithm.ED25519

    @property
    def verifier(self) -> NoteVerifier:
        """The public half, for those who rely on it."""
        return NoteVerifier(
            name=self.name, public_bytes=self.key.public_bytes, algorithm=self.algorithm
        )

    def signature_over(self, message: bytes, *, prefix: bytes = b"") -> "NoteSignature":
        """Return the signature line's content: ``prefix`` stands before the Ed25519 signature."""
        return NoteSignature(
            name=self.name,
            key_hash=self.verifier.key_hash,
            signature=prefix + self.key.sign(message),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line, not yet verified."""

    name: str
    key_hash: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line as it stands in a note, with its newline."""
        material = base64.b64encode(self.key_hash + self.signature).decode()
        return f"{_DASH}{self.name} {material}\n"

    def is_by(self, verifier: NoteVerifier) -> bool:
        """Tell whether the line claims to be this key's; others are ignored."""
        return self.name == verifier.name and self.key_hash == verifier.key_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A parsed note; its text means nothing until a trusted key's signature is verified."""

    text: str
    signatures: tuple[NoteSignature, ...]

    @property
    def signed_text(self) -> str:
        """The whole note: text, blank line, signature lines."""
        return f"{self.text}\n" + "".join(each.line for each in self.signatures)

    def signatures_by(self, verifier: NoteVerifier) -> tuple[bytes, ...]:
        """Return the signatures that claim to be this key's, in order of the note."""
        return tuple(each.signature for each in self.signatures if each.is_by(verifier))


def is_key_name(name: str) -> bool:
    """Tell whether a signature line can carry this name."""
    return len(name) <= NAME_BYTES_MAX and _is_short_key_name(name)


@lru_cache(maxsize=NAMES_REMEMBERED)
def _is_short_key_name(name: str) -> bool:
    forbidden = any(each.isspace() or each < " " or each == "+" for each in name)
    return not forbidden and 0 < len(name.encode(errors="replace")) <= NAME_BYTES_MAX


@lru_cache(maxsize=NAMES_REMEMBERED)
def _key_hash(name: str, algorithm: NoteAlgorithm, public_bytes: bytes) -> bytes:
    material = bytes([algorithm]) + public_bytes
    return hashlib.sha256(name.encode() + b"\n" + material).digest()[:KEY_HASH_BYTES]


def decode_base64(text: str, *, what: str) -> bytes:
    """Return the bytes of standard base64 in its one spelling.

    Raises:
        PeerError: Another alphabet, missing padding or stray bits.
    """
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        sentence = f"The {what} is not base64; it was damaged in transit."
        raise PeerError("tlog.note.base64", sentence) from error
    if base64.b64encode(raw).decode() != text:
        sentence = f"The {what} is base64 in another spelling than the standard one."
        raise PeerError("tlog.note.base64", sentence)
    return raw


def parse_vkey(vkey: str) -> NoteVerifier:
    """Return the verifier that a ``name+hash+base64`` line describes.

    Raises:
        UsageError: Malformed, an algorithm we do not verify, or the hash belongs to another key.
    """
    parts = vkey.split("+", 2)
    sentence = f"'{vkey}' is not a verifier key; it looks like name+01234567+base64."
    if len(parts) != _VKEY_PARTS:
        raise UsageError("tlog.vkey.malformed", sentence)
    name, key_hash, material = parts
    try:
        raw = decode_base64(material, what="verifier key")
        verifier = NoteVerifier(
            name=name, public_bytes=raw[1:], algorithm=NoteAlgorithm(int.from_bytes(raw[:1], "big"))
        )
    except (PeerError, ValueError) as error:
        raise UsageError("tlog.vkey.malformed", sentence) from error
    if verifier.key_hash.hex() != key_hash:
        sentence = f"The key '{name}' does not have the hash {key_hash}; it was mistyped."
        raise UsageError("tlog.vkey.hash", sentence)
    return verifier


def sign_note(text: str, signer: NoteSigner) -> str:
    """Return the note over this text with the signer's Ed25519 signature.

    Args:
        text: One or more lines, the last one ended by a newline.
        signer: An `ED25519` key; cosignatures have their own message.

    Raises:
        UsageError: The text cannot stand in a note.
    """
    assert signer.algorithm is NoteAlgorithm.ED25519, "cosign is for cosignatures"
    if not text.endswith("\n") or _CONTROL.search(text):
        sentence = "A note's text ends in a newline and holds no other control character."
        raise UsageError("tlog.note.text", sentence)
    signature = signer.signature_over(text.encode())
    return Note(text=text, signatures=(signature,)).signed_text


def parse_note(note: str) -> Note:
    """Return text and signature lines of a note, nothing verified.

    Raises:
        PeerError: Too large, control characters, no signatures, or a malformed line.
    """
    try:
        note_bytes = len(note.encode())
    except UnicodeEncodeError as error:
        raise _malformed("it holds characters that are not Unicode text") from error
    if note_bytes > NOTE_BYTES_MAX:
        sentence = f"The note has {note_bytes} bytes; at most {NOTE_BYTES_MAX} are read."
        raise PeerError("tlog.note.size", sentence)
    if _CONTROL.search(note):
        raise _malformed("it holds control characters")
    text, separator, tail = note.rpartition(_SEPARATOR)
    if not separator or not tail.endswith("\n"):
        raise _malformed("text, blank line and signature lines are expected")
    lines = tail[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise _malformed(f"it has more than {SIGNATURES_MAX} signatures")
    signatures = tuple(parse_signature_line(f"{line}\n") for line in lines)
    return Note(text=f"{text}\n", signatures=signatures)


def parse_signature_line(line: str) -> NoteSignature:
    """Return one signature line's parts; the newline belongs to the line.

    Raises:
        PeerError: Not a signature line.
    """
    name, space, material = line.removeprefix(_DASH).removesuffix("\n").partition(" ")
    if not (line.startswith(_DASH) and line.endswith("\n") and space and is_key_name(name)):
        raise _malformed(f"'{line[:80].strip()}' is not a signature line")
    raw = decode_base64(material, what=f"signature of '{name}'")
    if len(raw) <= KEY_HASH_BYTES:
        raise _malformed(f"the signature of '{name}' is too short")
    return NoteSignature(name=name, key_hash=raw[:KEY_HASH_BYTES], signature=raw[KEY_HASH_BYTES:])


def _malformed(why: str) -> PeerError:
    return PeerError("tlog.note.malformed", f"This is not a signed note: {why}.")


def verify_note(note: Note, verifier: NoteVerifier) -> str:
    """Return the note's text if this key signed it.

    Raises:
        PeerError: No signature of this key, or one that does not verify.
    """
    assert verifier.algorithm is NoteAlgorithm.ED25519, "verify_cosignature is for cosignatures"
    signatures = note.signatures_by(verifier)
    if not signatures:
        sentence = f"The note carries no signature of '{verifier.name}'."
        raise PeerError("tlog.note.unsigned", sentence)
    message = note.text.encode()
    if not all(signature_is_valid(verifier.public_bytes, each, message) for each in signatures):
        sentence = f"The signature of '{verifier.name}' does not verify; the note was altered."
        raise PeerError("tlog.note.signature", sentence)
    return note.text


def with_signatures(note: str, lines: Iterable[str]) -> str:
    """Return the note with signature lines added; a newer one of the same key replaces the older.

    Verify the lines first (`verify_cosignature`): a bad line of a known key spoils the note.

    Raises:
        PeerError: The note or a line is malformed, or the note grows too large.
    """
    parsed = parse_note(note)
    added = {(each.name, each.key_hash): each for each in map(parse_signature_line, lines)}
    kept = [each for each in parsed.signatures if (each.name, each.key_hash) not in added]
    merged = Note(text=parsed.text, signatures=(*kept, *added.values())).signed_text
    parse_note(merged)
    return merged
