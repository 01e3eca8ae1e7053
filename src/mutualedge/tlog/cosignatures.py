"""Cosignatures: witnesses' word that a checkpoint extends all they saw of that log, and when.

Source: https://c2sp.org/tlog-cosignature, Ed25519 form ("cosignature/v1").
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mutualedge.errors import PeerError, UsageError
from mutualedge.signing import signature_is_valid
from mutualedge.tlog.checkpoints import parse_checkpoint
from mutualedge.tlog.notes import (
    Note,
    NoteAlgorithm,
    NoteSignature,
    NoteSigner,
    NoteVerifier,
    parse_note,
)

TIMESTAMP_S_MAX = 2**63 - 1
"""Largest POSIX time that the format allows."""

_TIMESTAMP_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """One witness's verified cosignature."""

    witness: str
    time_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CosignatureCount:
    """How many of the trusted witnesses cosigned, and whether that is enough."""

    cosigned: tuple[Cosigned, ...]
    quorum: int

    @property
    def reached(self) -> bool:
        """Whether at least ``quorum`` different witnesses cosigned."""
        return len(self.cosigned) >= self.quorum


def _message(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def cosign(text: str, cosigner: NoteSigner, time_s: int) -> str:
    """Return the cosignature line over a checkpoint's note text.

    Only a witness that verified consistency may call this.

    Args:
        text: The checkpoint's text, without signature lines.
        cosigner: A `COSIGNATURE_V1` key, used for nothing else.
        time_s: POSIX time now, whole seconds.

    Raises:
        PeerError: The text is not a checkpoint.
    """
    assert cosigner.algorithm is NoteAlgorithm.COSIGNATURE_V1, "a log key must not cosign"
    assert 0 <= time_s <= TIMESTAMP_S_MAX, "POSIX seconds"
    parse_checkpoint(text)
    prefix = time_s.to_bytes(_TIMESTAMP_BYTES, "big")
    return cosigner.signature_over(_message(text, time_s), prefix=prefix).line


def verify_cosignature(note: Note, verifier: NoteVerifier) -> int:
    """Return the POSIX time of this witness's (latest) cosignature on a checkpoint.

    Raises:
        PeerError: It has none, or one that does not verify.
    """
    assert verifier.algorithm is NoteAlgorithm.COSIGNATURE_V1, "verify_checkpoint is for logs"
    signatures = note.signatures_by(verifier)
    if not signatures:
        sentence = f"The checkpoint carries no cosignature of '{verifier.name}'."
        raise PeerError("tlog.cosignature.missing", sentence)
    parse_checkpoint(note.text)
    return max(_verify_timestamped(note.text, each, verifier) for each in signatures)


def claimed_time_s(cosignature: NoteSignature) -> int:
    """Return the POSIX time that a cosignature says, to show; ``verify_cosignature`` proves it."""
    return int.from_bytes(cosignature.signature[:_TIMESTAMP_BYTES], "big")


def _verify_timestamped(text: str, signature: bytes, verifier: NoteVerifier) -> int:
    time_s = int.from_bytes(signature[:_TIMESTAMP_BYTES], "big")
    signed = _message(text, time_s)
    valid = signature_is_valid(verifier.public_bytes, signature[_TIMESTAMP_BYTES:], signed)
    if not valid or time_s > TIMESTAMP_S_MAX:
        sentence = f"The cosignature of '{verifier.name}' does not verify; drop or renew it."
        raise PeerError("tlog.cosignature.invalid", sentence)
    return time_s


def count_cosignatures(
    note: str, witnesses: Sequence[NoteVerifier], quorum: int
) -> CosignatureCount:
    """Return which of the trusted witnesses cosigned this checkpoint; each key counts once.

    Args:
        note: The checkpoint; verify the log's own signature apart.
        witnesses: Keys that the reader trusts.
        quorum: How many of them it wants.

    Raises:
        PeerError: Malformed, or a trusted witness's cosignature does not verify.
        UsageError: One key is listed twice: it would count as two witnesses.
    """
    if len({each.public_bytes for each in witnesses}) != len(witnesses):
        sentence = "Two witnesses of the list share a key; each needs its own."
        raise UsageError("tlog.witness.key-shared", sentence)
    parsed = parse_note(note)
    cosigned = tuple(
        Cosigned(witness=each.name, time_s=verify_cosignature(parsed, each))
        for each in witnesses
        if parsed.signatures_by(each)
    )
    return CosignatureCount(cosigned=cosigned, quorum=quorum)
