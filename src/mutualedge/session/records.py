"""The record layer: each record sealed by itself, so that a broker may reorder and repeat.

A record is a 20-byte header, authenticated, and the AES-256-GCM ciphertext of its content:

    version u8 | direction u8 | kind u8 | flags u8 | session 8 bytes | seq u64, big-endian

The nonce is the direction's secret start value xor ``seq``. After every 2^20 records the key
steps forward one way, so that a stolen key opens nothing of the steps before.
"""

import hmac
import struct
from dataclasses import dataclass, field
from enum import IntEnum

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mutualedge.errors import PeerError, UsageError
from mutualedge.session.replay import ReplayWindow

RECORD_VERSION = 1
CONTENT_BYTES_MAX = 256 * 1024
"""Longer content travels in parts; larger buffers cost page faults rather than cryptography."""

TAG_BYTES = 16
REKEY_SHIFT = 20
"""2^20 records a key: with 256 KiB each, far below AES-GCM's limits (RFC 8446 section 5.5)."""

SEQ_MAX = (1 << 48) - 1
"""Ends a session long before the 64-bit counter could wrap; nobody reaches it."""

SESSION_BYTES = 8
_HEADER = struct.Struct(">BBBB8sQ")
HEADER_BYTES = _HEADER.size
_FIN = 0x01


class Direction(IntEnum):
    """Which way a record travels; each way has its own key and numbering."""

    TO_RESPONDER = 0
    TO_INITIATOR = 1


class RecordKind(IntEnum):
    """What a record carries."""

    REQUEST = 1
    REPLY = 2


_KINDS = {int(kind): kind for kind in RecordKind}
"""A lookup costs a tenth of calling the enumeration."""


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What a genuine record carried, and its place in the sender's numbering.

    Attributes:
        is_last: False if more parts of the same content follow.
    """

    kind: RecordKind
    seq: int
    content: bytes
    is_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionKeys:
    """One end of a finished handshake.

    Attributes:
        sealer: Seals what this end sends.
        opener: Opens what the other end sends.
        secret: Salts the content digests of usage records (``content_salt``).
    """

    sealer: "Sealer"
    opener: "Opener"
    secret: bytes = field(repr=False)


def session_keys(
    *, to_responder: bytes, to_initiator: bytes, sends: Direction, session: bytes, secret: bytes
) -> SessionKeys:
    """Return the record layer of the end that sends in this direction.

    Args:
        to_responder: Key of the initiator's records, from the handshake.
        to_initiator: Key of the responder's records.
        sends: Direction of this end's own records.
        session: 8 bytes that name the session in every header.
        secret: Salts content digests.
    """
    by_direction = {Direction.TO_RESPONDER: to_responder, Direction.TO_INITIATOR: to_initiator}
    receives = Direction(1 - sends)
    return SessionKeys(
        sealer=Sealer(key=by_direction[sends], session=session, direction=sends),
        opener=Opener(key=by_direction[receives], session=session, direction=receives),
        secret=secret,
    )


class _Generation:
    """One step of a direction's key: cipher and nonce start, and how to get to the next step."""

    __slots__ = ("_chain", "cipher", "nonce_start")

    def __init__(self, chain: bytes) -> None:
        self._chain = chain
        self.cipher = AESGCM(hmac.digest(chain, b"me-session/1 record key", "sha256"))
        start = hmac.digest(chain, b"me-session/1 record nonce", "sha256")[:12]
        self.nonce_start = int.from_bytes(start, "big")

    def next(self) -> "_Generation":
        return _Generation(hmac.digest(self._chain, b"me-session/1 rekey", "sha256"))

    def nonce(self, seq: int) -> bytes:
        return (self.nonce_start ^ seq).to_bytes(12, "big")


class Sealer:
    """Seals one direction of a session, numbering records from 0."""

    def __init__(self, *, key: bytes, session: bytes, direction: Direction) -> None:
        """Take 32 bytes of key, used by no other sealer, and what every header says."""
        assert len(session) == SESSION_BYTES
        self._generation = _Generation(key)
        self._session = session
        self._direction = int(direction)
        self._next_seq = 0

    def seal(self, kind: RecordKind, content: bytes, *, is_last: bool = True) -> bytes:
        """Return the record that carries this content; sealing it again gives another record.

        Args:
            kind: What the content is.
            content: At most 256 KiB.
            is_last: False if further parts of the same content follow.

        Raises:
            UsageError: Content too long, or the session has used up its numbers.
        """
        seq = self._next_seq
        if len(content) > CONTENT_BYTES_MAX:
            sentence = f"A record holds {CONTENT_BYTES_MAX} bytes, got {len(content)}; send parts."
            raise UsageError("session.record.oversize", sentence)
        if seq > SEQ_MAX:
            raise UsageError("session.record.exhausted", "The session is used up; open a new one.")
        self._next_seq = seq + 1
        if seq and not seq & ((1 << REKEY_SHIFT) - 1):
            self._generation = self._generation.next()
        flags = _FIN if is_last else 0
        header = _HEADER.pack(RECORD_VERSION, self._direction, kind, flags, self._session, seq)
        generation = self._generation
        return header + generation.cipher.encrypt(generation.nonce(seq), content, header)


class Opener:
    """Opens one direction of a session, each record at most once, in whatever order they come."""

    def __init__(self, *, key: bytes, session: bytes, direction: Direction) -> None:
        """Take the key and header that the sender's ``Sealer`` was given."""
        assert len(session) == SESSION_BYTES
        self._current = _Generation(key)
        self._before: _Generation | None = None
        self._step = 0
        self._session = session
        self._direction = int(direction)
        self._window = ReplayWindow()

    def open(self, record: bytes) -> Opened:
        """Return the content of a record that is genuine and new.

        Raises:
            PeerError: ``session.record.malformed``, ``.oversize``, ``.foreign`` (another session
                or direction), ``.too-old``, ``.replayed``, ``.too-new`` or ``.forged``.
        """
        kind, flags, seq = self._parse_header(record)
        self._window.verify_new(seq)
        generation = self._generation_of(seq)
        header = record[:HEADER_BYTES]
        try:
            content = generation.cipher.decrypt(
                generation.nonce(seq), record[HEADER_BYTES:], header
            )
        except InvalidTag as error:
            sentence = f"Record {seq} was altered, or is not the peer's; drop it."
            raise PeerError("session.record.forged", sentence) from error
        self._window.mark(seq)
        self._advance(seq, generation)
        return Opened(kind=kind, seq=seq, content=content, is_last=bool(flags & _FIN))

    def validate(self) -> None:
        """Assert the invariants; the simulator calls it after every event."""
        self._window.validate()
        assert self._step == max(0, self._window.highest_seq) >> REKEY_SHIFT
        assert (self._before is None) == (self._step == 0)

    def _parse_header(self, record: bytes) -> tuple[RecordKind, int, int]:
        if len(record) > HEADER_BYTES + CONTENT_BYTES_MAX + TAG_BYTES:
            sentence = f"A record of {len(record)} bytes arrived; the content limit is 256 KiB."
            raise PeerError("session.record.oversize", sentence)
        if len(record) < HEADER_BYTES + TAG_BYTES:
            raise _malformed(f"{len(record)} bytes are too few")
        version, direction, number, flags, session, seq = _HEADER.unpack_from(record)
        if version != RECORD_VERSION or flags & ~_FIN or seq > SEQ_MAX:
            raise _malformed(f"version {version}, flags {flags:#x}, seq {seq}")
        if session != self._session or direction != self._direction:
            sentence = "The record is of another session or direction; open a new session."
            raise PeerError("session.record.foreign", sentence)
        kind = _KINDS.get(number)
        if kind is None:
            raise _malformed(f"kind {number}")
        return kind, flags, seq

    def _generation_of(self, seq: int) -> _Generation:
        """Return the key of this record; a step ahead is only derived here, not yet taken."""
        ahead = (seq >> REKEY_SHIFT) - self._step
        if ahead == 0:
            return self._current
        if ahead == 1:
            return self._current.next()
        # The window reaches back at most one step, and only if there was one.
        if ahead == -1 and self._before is not None:
            return self._before
        sentence = f"Record {seq} is further ahead than a million lost records; open a new session."
        raise PeerError("session.record.too-new", sentence)

    def _advance(self, seq: int, generation: _Generation) -> None:
        if seq >> REKEY_SHIFT > self._step:
            self._before, self._current = self._current, generation
            self._step += 1


def _malformed(why: str) -> PeerError:
    return PeerError("session.record.malformed", f"The record's header is not ours: {why}.")
