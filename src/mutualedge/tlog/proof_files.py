"""The tlog-proof file: one text that proves, offline, that an entry stands in a witnessed log.

Source: https://c2sp.org/tlog-proof.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from mutualedge.errors import PeerError
from mutualedge.tlog.checkpoints import Checkpoint, parse_hash, parse_size, verify_checkpoint
from mutualedge.tlog.cosignatures import count_cosignatures
from mutualedge.tlog.notes import NOTE_BYTES_MAX, NoteVerifier, decode_base64, parse_note
from mutualedge.tlog.proofs import PROOF_HASHES_MAX, verify_inclusion

EXTRA_BYTES_MAX = 65_536
"""Application data carried along; as large as the largest entry, for whoever ships it inside."""

PROOF_BYTES_MAX = NOTE_BYTES_MAX + 2 * EXTRA_BYTES_MAX
"""A note, extra data in base64 and 63 hashes."""

_HEADER = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlogProof:
    """What a ``.tlog-proof`` file holds, nothing verified.

    Attributes:
        index: The entry's position in the log.
        hashes: Inclusion proof in the checkpoint's tree, the leaf's sibling first.
        checkpoint: The signed note with its cosignatures, verbatim.
        extra: Data that no signature covers: never rely on it.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    @property
    def text(self) -> str:
        """The file's content."""
        extra = [] if self.extra is None else [f"extra {base64.b64encode(self.extra).decode()}"]
        hashes = [base64.b64encode(each).decode() for each in self.hashes]
        lines = [_HEADER, *extra, f"index {self.index}", *hashes, "", self.checkpoint]
        return "\n".join(lines)


def parse_tlog_proof(text: str) -> TlogProof:
    """Return the parts of a ``.tlog-proof`` file, nothing verified.

    Raises:
        PeerError: Too large or not of this form.
    """
    head, blank, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or len(text) > PROOF_BYTES_MAX or lines.pop(0) != _HEADER:
        raise _malformed(f"it starts with '{_HEADER}' and ends with a checkpoint")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "), what="extra data")
    if not lines or not lines[0].startswith("index "):
        raise _malformed("the line 'index N' is missing")
    index = parse_size(lines.pop(0).removeprefix("index "))
    if len(lines) > PROOF_HASHES_MAX or len(extra or b"") > EXTRA_BYTES_MAX:
        raise _malformed(f"it has over {PROOF_HASHES_MAX} hashes or {EXTRA_BYTES_MAX} extra bytes")
    hashes = tuple(parse_hash(line, what="inclusion proof line") for line in lines)
    parse_note(checkpoint)
    return TlogProof(index=index, hashes=hashes, checkpoint=checkpoint, extra=extra)


def _malformed(why: str) -> PeerError:
    return PeerError("tlog.proof.malformed", f"This is not a tlog-proof: {why}.")


def verify_tlog_proof(
    proof: TlogProof,
    *,
    leaf: bytes,
    log: NoteVerifier,
    witnesses: Sequence[NoteVerifier],
    quorum: int,
) -> Checkpoint:
    """Return the checkpoint under which the entry is proved to stand.

    Args:
        proof: Parsed file.
        leaf: Leaf hash, computed by the verifier from the entry itself.
        log: The log's key, named by its origin.
        witnesses: Witness keys the verifier trusts.
        quorum: How many of them must have cosigned.

    Raises:
        PeerError: Not the log's checkpoint, too few cosignatures, or not that entry.
    """
    checkpoint = verify_checkpoint(proof.checkpoint, log)
    count = count_cosignatures(proof.checkpoint, witnesses, quorum)
    if not count.reached:
        sentence = (
            f"The checkpoint of '{checkpoint.origin}' at size {checkpoint.size} has"
            f" {len(count.cosigned)} trusted cosignatures and needs {quorum}."
        )
        raise PeerError("tlog.cosignature.quorum", sentence)
    verify_inclusion(
        leaf=leaf,
        index=proof.index,
        size=checkpoint.size,
        proof=proof.hashes,
        root=checkpoint.root,
    )
    return checkpoint
