"""Checkpoints: the log's signed word for its size and root, and the proof that it lied.

Source: https://c2sp.org/tlog-checkpoint.
"""

import base64
from dataclasses import dataclass

from mutualedge.errors import PeerError, UsageError
from mutualedge.tlog.hashing import HASH_BYTES
from mutualedge.tlog.notes import (
    Note,
    NoteSigner,
    NoteVerifier,
    decode_base64,
    parse_note,
    sign_note,
    verify_note,
)
from mutualedge.tlog.tiles import SIZE_MAX

_LINES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log is at one moment.

    Attributes:
        origin: The log's unique name; here also the name of its key.
        size: Entries.
        root: RFC 6962 root over them.
        extensions: Opaque further lines of foreign logs; we write none.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note text that the log signs."""
        root = base64.b64encode(self.root).decode()
        lines = (self.origin, str(self.size), root, *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse_size(text: str) -> int:
    """Return a decimal tree size or index without leading zeros.

    Raises:
        PeerError: Any other spelling, or 2^63 and above.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(SIZE_MAX)):
        sentence = f"'{text[:32]}' is not a tree size in decimal digits."
        raise PeerError("tlog.checkpoint.size", sentence)
    size = int(text)
    if str(size) != text or size > SIZE_MAX:
        sentence = f"The tree size '{text}' has leading zeros or does not stay below 2^63."
        raise PeerError("tlog.checkpoint.size", sentence)
    return size


def parse_hash(text: str, *, what: str) -> bytes:
    """Return the 32 bytes of a hash in base64.

    Raises:
        PeerError: Not base64, or of another length.
    """
    digest = decode_base64(text, what=what)
    if len(digest) != HASH_BYTES:
        sentence = f"The {what} has {len(digest)} bytes instead of {HASH_BYTES}."
        raise PeerError("tlog.checkpoint.hash", sentence)
    return digest


def parse_checkpoint(text: str) -> Checkpoint:
    """Return what a checkpoint's note text says; verify the note's signature to believe it.

    Raises:
        PeerError: Fewer than three lines, an empty line, a malformed size or root.
    """
    lines = text.removesuffix("\n").split("\n")
    if not text.endswith("\n") or len(lines) < _LINES or not all(lines):
        sentence = "A checkpoint has the lines origin, size and root hash, none of them empty."
        raise PeerError("tlog.checkpoint.malformed", sentence)
    origin, size, root = lines[:_LINES]
    return Checkpoint(
        origin=origin,
        size=parse_size(size),
        root=parse_hash(root, what=f"root hash of '{origin}'"),
        extensions=tuple(lines[_LINES:]),
    )


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> str:
    """Return the signed note of a checkpoint.

    Never sign one that contradicts an earlier one: two of them prove a fork for ever.

    Raises:
        UsageError: The key's name is not the log's origin.
    """
    if signer.name != checkpoint.origin:
        sentence = f"The key '{signer.name}' cannot sign for the log '{checkpoint.origin}'."
        raise UsageError("tlog.checkpoint.origin", sentence)
    assert parse_checkpoint(checkpoint.text) == checkpoint, "what we sign must parse again"
    return sign_note(checkpoint.text, signer)


def verify_checkpoint(note: str, verifier: NoteVerifier) -> Checkpoint:
    """Return the checkpoint if the log signed it.

    Args:
        note: The signed note.
        verifier: The log's key, named by its origin.

    Raises:
        PeerError: Malformed, of another log, or not signed by this key.
    """
    return verify_parsed_checkpoint(parse_note(note), verifier)


def verify_parsed_checkpoint(note: Note, verifier: NoteVerifier) -> Checkpoint:
    """Return the checkpoint of a note that is already parsed; see `verify_checkpoint`."""
    checkpoint = parse_checkpoint(verify_note(note, verifier))
    if checkpoint.origin != verifier.name:
        sentence = f"The checkpoint is of log '{checkpoint.origin}', expected '{verifier.name}'."
        raise PeerError("tlog.checkpoint.origin", sentence)
    return checkpoint


def verify_fork(first: str, second: str, verifier: NoteVerifier) -> tuple[Checkpoint, Checkpoint]:
    """Return both checkpoints if together they prove that the log lied.

    Two roots signed for one size can have no innocent reason, and need no other evidence.

    Raises:
        PeerError: One is not the log's, or they do not contradict each other by themselves.
    """
    pair = verify_checkpoint(first, verifier), verify_checkpoint(second, verifier)
    if pair[0].size != pair[1].size or pair[0].root == pair[1].root:
        sentence = (
            f"The two checkpoints of '{verifier.name}' do not contradict each other by themselves;"
            " a fork is proved by different roots of one size."
        )
        raise PeerError("tlog.fork.unproved", sentence)
    return pair
