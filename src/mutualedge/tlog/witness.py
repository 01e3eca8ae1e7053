"""The witness: cosigns a log's checkpoint only if it extends everything it cosigned before.

Source: https://c2sp.org/tlog-witness, with same size and other root answered by 422 (C2SP
pull request 280, July 2026).
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import msgspec

from mutualedge.errors import CorruptState, PeerError, UsageError
from mutualedge.model import Bytes32
from mutualedge.tlog.checkpoints import (
    Checkpoint,
    parse_checkpoint,
    parse_hash,
    parse_size,
    verify_parsed_checkpoint,
)
from mutualedge.tlog.cosignatures import cosign
from mutualedge.tlog.hashing import empty_root
from mutualedge.tlog.notes import NOTE_BYTES_MAX, Note, NoteSigner, NoteVerifier, parse_note
from mutualedge.tlog.proofs import PROOF_HASHES_MAX, verify_consistency
from mutualedge.tlog.tiles import SIZE_MAX

REQUEST_BYTES_MAX = NOTE_BYTES_MAX + 4096
"""A note, 63 proof lines of 45 bytes and the size line."""


class WitnessedCheckpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The row a witness keeps per log: the latest checkpoint it cosigned, as the log signed it."""

    origin: str
    size: Annotated[int, msgspec.Meta(ge=0, le=SIZE_MAX)]
    root: Bytes32
    note: Annotated[str, msgspec.Meta(max_length=NOTE_BYTES_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkEvidence:
    """Two checkpoints the log signed that do not fit together.

    Attributes:
        accepted: The note we cosigned last.
        offered: The note we were asked to cosign.
        conclusive: Same size, other root: proof by itself (`verify_fork`). Otherwise the asking
            party may merely have sent a wrong proof; ask the log for one before accusing it.
    """

    accepted: str
    offered: str
    conclusive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessConfirmed:
    """Yes: persist the row, then answer 200 with the line, in this order."""

    line: str
    row: WitnessedCheckpoint

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return 200


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessConflict:
    """The request starts from another size than our latest: ask again from ``size``."""

    size: int
    evidence: ForkEvidence | None = None

    @property
    def status(self) -> int:
        """HTTP status of the answer; its body is the size and a newline."""
        return 409


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessRefused:
    """No: asking again unchanged is pointless.

    Attributes:
        status: HTTP status: 400 malformed, 403 unsigned, 404 unknown log, 422 inconsistent.
        code: Stable dotted name of the reason.
        sentence: What the asking side should do.
        evidence: What to keep and show if the log may have forked.
    """

    status: int
    code: str
    sentence: str
    evidence: ForkEvidence | None = None


WitnessAnswer: TypeAlias = WitnessConfirmed | WitnessConflict | WitnessRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class AddCheckpoint:
    """A parsed ``add-checkpoint`` request."""

    old_size: int
    proof: tuple[bytes, ...]
    note: str


def add_checkpoint_body(old_size: int, proof: Sequence[bytes], note: str) -> str:
    """Return the request by which a log asks a witness to cosign.

    Args:
        old_size: Size the witness cosigned last; 0 if unknown (it answers with the right one).
        proof: Consistency proof from that size; empty from 0.
        note: The log's signed checkpoint.
    """
    lines = [f"old {old_size}", *(base64.b64encode(each).decode() for each in proof)]
    return "\n".join(lines) + f"\n\n{note}"


def parse_add_checkpoint(body: str) -> AddCheckpoint:
    """Return the parts of an ``add-checkpoint`` request, nothing verified.

    Raises:
        PeerError: Too large or not of this form.
    """
    head, blank, note = body.partition("\n\n")
    old, *proof_lines = head.split("\n")
    prefix, space, size = old.partition(" ")
    well_formed = blank and prefix == "old" and space and len(proof_lines) <= PROOF_HASHES_MAX
    if not well_formed or len(body) > REQUEST_BYTES_MAX:
        sentence = "An add-checkpoint request is an old size, at most 63 hashes and a checkpoint."
        raise PeerError("tlog.witness.malformed", sentence)
    proof = tuple(parse_hash(line, what="consistency proof line") for line in proof_lines)
    return AddCheckpoint(old_size=parse_size(size), proof=proof, note=note)


class Witness:
    """One witness key and the latest checkpoint it cosigned of each log it was told to watch.

    It moves on before its answer leaves, so the caller persists the row first; if that fails, the
    process must stop without answering. Answer requests one at a time.
    """

    def __init__(self, cosigner: NoteSigner, logs: Mapping[str, Sequence[NoteVerifier]]) -> None:
        """Take the cosignature key and the trusted keys of each log, by origin.

        A log has several keys while it rotates them; each is named by the origin.

        Raises:
            UsageError: A log has no key, or one under another name.
        """
        for origin, keys in logs.items():
            if not keys or any(key.name != origin for key in keys):
                sentence = f"Give the witness at least one key of log '{origin}', under this name."
                raise UsageError("tlog.witness.keys", sentence)
        self._cosigner = cosigner
        self._logs = {origin: tuple(keys) for origin, keys in logs.items()}
        self._rows: dict[str, WitnessedCheckpoint] = {}

    @classmethod
    def restore(
        cls,
        cosigner: NoteSigner,
        logs: Mapping[str, Sequence[NoteVerifier]],
        rows: Iterable[WitnessedCheckpoint],
    ) -> "Witness":
        """Return the witness as it was when it persisted these rows.

        A witness whose rows are lost must not be restarted under the same key.

        Raises:
            CorruptState: A row contradicts the note it holds, or stands twice.
        """
        witness = cls(cosigner, logs)
        for row in rows:
            if row.origin in witness._rows or not _row_is_sound(row):
                sentence = f"The witness's row for log '{row.origin}' is damaged; retire its key."
                raise CorruptState("tlog.witness.row", sentence)
            witness._rows[row.origin] = row
        return witness

    def snapshot(self) -> tuple[WitnessedCheckpoint, ...]:
        """Return every row, sorted by origin."""
        return tuple(self._rows[origin] for origin in sorted(self._rows))

    def validate(self) -> None:
        """Assert that each row says what the note it holds says."""
        for origin, row in self._rows.items():
            assert row.origin == origin, "a row stands under another log's name"
            assert _row_is_sound(row), f"the row of {origin} contradicts its note"

    def add_checkpoint(self, body: str, now_s: int) -> WitnessAnswer:
        """Return the answer to an ``add-checkpoint`` request.

        Args:
            body: The request.
            now_s: POSIX time for the cosignature, whole seconds.
        """
        try:
            request = parse_add_checkpoint(body)
            note = parse_note(request.note)
            claimed = parse_checkpoint(note.text)
        except PeerError as error:
            return _refused(400, error)
        keys = self._logs.get(claimed.origin)
        if keys is None:
            sentence = f"This witness does not watch the log '{claimed.origin[:80]}'."
            return WitnessRefused(status=404, code="tlog.witness.unknown-log", sentence=sentence)
        try:
            offered = _verify_by_any(note, keys)
        except PeerError as error:
            return _refused(403, error)
        return self._advance(request, note, offered, now_s)

    def _advance(
        self, request: AddCheckpoint, note: Note, offered: Checkpoint, now_s: int
    ) -> WitnessAnswer:
        row = self._rows.get(offered.origin)
        known_size, known_root = (row.size, row.root) if row else (0, empty_root())
        evidence = _evidence(row, request.note, offered)
        if request.old_size > offered.size:
            sentence = f"The old size {request.old_size} is above the new one, {offered.size}."
            return WitnessRefused(status=400, code="tlog.witness.order", sentence=sentence)
        if request.old_size != known_size:
            conclusive = evidence if evidence and evidence.conclusive else None
            return WitnessConflict(size=known_size, evidence=conclusive)
        try:
            verify_consistency(
                old_size=known_size,
                old_root=known_root,
                new_size=offered.size,
                new_root=offered.root,
                proof=request.proof,
            )
        except PeerError as error:
            return _refused(422, error, evidence)
        return self._confirm(note, offered, now_s)

    def _confirm(self, note: Note, offered: Checkpoint, now_s: int) -> WitnessConfirmed:
        keys = self._logs[offered.origin]
        kept = tuple(each for each in note.signatures if any(map(each.is_by, keys)))
        signed_text = Note(text=note.text, signatures=kept).signed_text
        row = WitnessedCheckpoint(
            origin=offered.origin, size=offered.size, root=offered.root, note=signed_text
        )
        self._rows[offered.origin] = row
        return WitnessConfirmed(line=cosign(note.text, self._cosigner, now_s), row=row)


def _verify_by_any(note: Note, keys: Sequence[NoteVerifier]) -> Checkpoint:
    """Return the checkpoint if one of the log's keys signed it and none of them wrongly."""
    signed = [key for key in keys if note.signatures_by(key)]
    verified = [verify_parsed_checkpoint(note, key) for key in signed or keys]
    return verified[0]


def _evidence(
    row: WitnessedCheckpoint | None, offered_note: str, offered: Checkpoint
) -> ForkEvidence | None:
    if row is None:
        return None
    conclusive = row.size == offered.size and row.root != offered.root
    return ForkEvidence(accepted=row.note, offered=offered_note, conclusive=conclusive)


def _refused(status: int, error: PeerError, evidence: ForkEvidence | None = None) -> WitnessRefused:
    return WitnessRefused(
        status=status, code=error.code, sentence=error.sentence, evidence=evidence
    )


def _row_is_sound(row: WitnessedCheckpoint) -> bool:
    try:
        told = parse_checkpoint(parse_note(row.note).text)
    except PeerError:
        return False
    return (told.origin, told.size, told.root) == (row.origin, row.size, row.root)
