"""One party as a witness of every member's log: C2SP answers, as messages and rows."""

from collections.abc import Iterable

import msgspec

from mutualedge.identity import Consortium
from mutualedge.protocol import CheckpointConflict, CheckpointCosigned, Refused
from mutualedge.signing import SigningKey
from mutualedge.tlog import (
    ForkEvidence,
    NoteAlgorithm,
    NoteSigner,
    NoteVerifier,
    Witness,
    WitnessConfirmed,
    WitnessConflict,
    WitnessedCheckpoint,
    WitnessRefused,
)

WITNESS_BUCKET = "witness"
FORK_BUCKET = "fork"


class WitnessDesk:
    """Answers requests for cosignatures; the caller makes ``rows`` durable before the reply."""

    def __init__(
        self,
        consortium: Consortium,
        name: str,
        key: SigningKey,
        rows: Iterable[tuple[str, bytes]],
    ) -> None:
        """Watch the log of every member, and of those who left: their last entries count too.

        Args:
            consortium: Members and their log keys.
            name: Note name under which this party cosigns.
            key: Its witness key.
            rows: What ``answer`` returned before the last stop, from ``WITNESS_BUCKET``.
        """
        logs = {
            origin: (NoteVerifier(name=origin, public_bytes=member.log_key),)
            for member in consortium.everyone
            for origin in (consortium.log_origin(member.enterprise),)
        }
        signer = NoteSigner(name=name, key=key, algorithm=NoteAlgorithm.COSIGNATURE_V1)
        known = [msgspec.msgpack.decode(value, type=WitnessedCheckpoint) for _, value in rows]
        self._witness = Witness.restore(signer, logs, known)

    def answer(
        self, body: str, now_s: int
    ) -> tuple[
        CheckpointCosigned | CheckpointConflict | Refused, tuple[tuple[str, str, bytes], ...]
    ]:
        """Return the reply and the (bucket, key, value) rows it depends on."""
        answer = self._witness.add_checkpoint(body, now_s)
        match answer:
            case WitnessConfirmed(line=line, row=row):
                rows = ((WITNESS_BUCKET, row.origin, msgspec.msgpack.encode(row)),)
                return CheckpointCosigned(line=line), rows
            case WitnessConflict(size=size, evidence=evidence):
                return CheckpointConflict(size=size), _fork_rows(evidence)
            case WitnessRefused(code=code, sentence=sentence, evidence=evidence):
                return Refused(code=code, sentence=sentence), _fork_rows(evidence)

    def snapshot(self) -> tuple[WitnessedCheckpoint, ...]:
        """Return the latest checkpoint this party cosigned, of each log."""
        return self._witness.snapshot()


def _fork_rows(evidence: ForkEvidence | None) -> tuple[tuple[str, str, bytes], ...]:
    if evidence is None or not evidence.conclusive:
        return ()
    pair = msgspec.msgpack.encode((evidence.accepted, evidence.offered))
    return ((FORK_BUCKET, evidence.accepted.split("\n", 1)[0], pair),)
