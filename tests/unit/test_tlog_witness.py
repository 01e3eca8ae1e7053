import base64

import msgspec
import pytest

from mutualedge.errors import CorruptState, PeerError, UsageError
from mutualedge.tlog import (
    Checkpoint,
    NoteSigner,
    NoteVerifier,
    Witness,
    WitnessConfirmed,
    WitnessConflict,
    WitnessedCheckpoint,
    WitnessRefused,
    add_checkpoint_body,
    parse_add_checkpoint,
    parse_note,
    sign_checkpoint,
    verify_cosignature,
    verify_fork,
    with_signatures,
)
from tests.property.tlog_logs import LOG_SIGNER, ORIGIN, MemoryLog, signing_key, witness_signer

NOW_S = 1_800_000_000
COSIGNER = witness_signer(1)
LOGS = {ORIGIN: [LOG_SIGNER.verifier]}


def request(log: MemoryLog, old_size: int, new_size: int) -> str:
    return add_checkpoint_body(old_size, log.consistency(old_size, new_size), log.note(new_size))


def witness_at(log: MemoryLog, size: int) -> Witness:
    witness = Witness(COSIGNER, LOGS)
    assert isinstance(witness.add_checkpoint(request(log, 0, size), NOW_S), WitnessConfirmed)
    return witness


def test_first_and_later_checkpoints_are_cosigned() -> None:
    """The line verifies on the note, and the row is what must be persisted before it leaves."""
    log, witness = MemoryLog(300), Witness(COSIGNER, LOGS)
    for old, new in [(0, 5), (5, 5), (5, 300)]:
        answer = witness.add_checkpoint(request(log, old, new), NOW_S + new)
        assert isinstance(answer, WitnessConfirmed)
        note = with_signatures(log.note(new), [answer.line])
        assert verify_cosignature(parse_note(note), COSIGNER.verifier) == NOW_S + new
        assert witness.snapshot() == (answer.row,)
        assert (answer.status, answer.row.size) == (200, new)
    witness.validate()


def test_empty_log_is_cosigned_only_with_the_empty_root() -> None:
    """Size 0 has one root; any other is 422."""
    witness = Witness(COSIGNER, LOGS)
    wrong = sign_checkpoint(Checkpoint(origin=ORIGIN, size=0, root=bytes(32)), LOG_SIGNER)
    answer = witness.add_checkpoint(add_checkpoint_body(0, (), wrong), NOW_S)
    assert isinstance(answer, WitnessRefused)
    assert answer.status == 422
    right = witness.add_checkpoint(add_checkpoint_body(0, (), MemoryLog().note()), NOW_S)
    assert isinstance(right, WitnessConfirmed)


def test_stale_old_size_is_a_conflict_with_the_right_one() -> None:
    """409 tells from where to ask again; nothing is cosigned."""
    log = MemoryLog(9)
    witness = witness_at(log, 5)
    for old in (0, 4, 6):
        assert witness.add_checkpoint(request(log, old, 9), NOW_S) == WitnessConflict(size=5)
    assert WitnessConflict(size=5).status == 409
    assert witness.snapshot()[0].size == 5


def test_same_size_other_root_is_proof_of_a_fork() -> None:
    """422 with two signed notes that convict the log on their own."""
    witness = witness_at(MemoryLog(5), 5)
    forked = MemoryLog(5, first_entry=b"rewritten")
    answer = witness.add_checkpoint(request(forked, 5, 5), NOW_S)
    assert isinstance(answer, WitnessRefused)
    assert (answer.status, answer.code) == (422, "tlog.consistency.mismatch")
    assert answer.evidence is not None
    assert answer.evidence.conclusive
    verify_fork(answer.evidence.accepted, answer.evidence.offered, LOG_SIGNER.verifier)


def test_fork_is_kept_even_when_the_old_size_is_stale() -> None:
    """A fork offered as if it were the first checkpoint is answered 409, and still evidence."""
    witness = witness_at(MemoryLog(5), 5)
    forked = MemoryLog(5, first_entry=b"rewritten")
    answer = witness.add_checkpoint(request(forked, 0, 5), NOW_S)
    assert isinstance(answer, WitnessConflict)
    assert answer.evidence is not None
    verify_fork(answer.evidence.accepted, answer.evidence.offered, LOG_SIGNER.verifier)


def test_rewritten_history_is_refused_with_suspicion_only() -> None:
    """A failed proof is 422; it may be the asker's mistake, so the evidence says inconclusive."""
    witness = witness_at(MemoryLog(5), 5)
    forked = MemoryLog(9, first_entry=b"rewritten")
    answer = witness.add_checkpoint(request(forked, 5, 9), NOW_S)
    assert isinstance(answer, WitnessRefused)
    assert answer.status == 422
    assert answer.evidence is not None
    assert not answer.evidence.conclusive
    assert witness.snapshot()[0].size == 5


def test_foreign_signature_is_forbidden() -> None:
    """403: another key under the log's name."""
    impostor = NoteSigner(name=ORIGIN, key=signing_key("impostor"))
    body = add_checkpoint_body(0, (), MemoryLog(5).note(signer=impostor))
    answer = Witness(COSIGNER, LOGS).add_checkpoint(body, NOW_S)
    assert isinstance(answer, WitnessRefused)
    assert (answer.status, answer.code) == (403, "tlog.note.unsigned")


def test_altered_note_is_forbidden() -> None:
    """403: the log's signature over another size."""
    body = add_checkpoint_body(0, (), MemoryLog(5).note().replace("\n5\n", "\n6\n"))
    answer = Witness(COSIGNER, LOGS).add_checkpoint(body, NOW_S)
    assert isinstance(answer, WitnessRefused)
    assert (answer.status, answer.code) == (403, "tlog.note.signature")


def test_unknown_log_is_not_found() -> None:
    """404: nobody asked this witness to watch it."""
    signer = NoteSigner(name="stranger.example", key=signing_key("log"))
    body = add_checkpoint_body(0, (), MemoryLog(5).note(signer=signer))
    answer = Witness(COSIGNER, LOGS).add_checkpoint(body, NOW_S)
    assert isinstance(answer, WitnessRefused)
    assert answer.status == 404


def test_log_may_rotate_its_key() -> None:
    """While two keys are trusted, either one's signature is enough."""
    new = NoteSigner(name=ORIGIN, key=signing_key("new log key"))
    witness = Witness(COSIGNER, {ORIGIN: [LOG_SIGNER.verifier, new.verifier]})
    log = MemoryLog(9)
    assert witness.add_checkpoint(request(log, 0, 5), NOW_S).status == 200
    body = add_checkpoint_body(5, log.consistency(5, 9), log.note(9, new))
    assert witness.add_checkpoint(body, NOW_S).status == 200


NOTE = MemoryLog(5).note()
HASH = base64.b64encode(bytes(32)).decode()

MALFORMED = {
    "empty": "",
    "no-old": f"{HASH}\n\n{NOTE}",
    "no-size": f"old\n\n{NOTE}",
    "two-spaces": f"old  0\n\n{NOTE}",
    "leading-zero": f"old 00\n\n{NOTE}",
    "crlf": f"old 0\r\n\n{NOTE}",
    "above-new-size": f"old 6\n\n{NOTE}",
    "no-blank": f"old 0\n{NOTE}",
    "short-hash": f"old 0\nAAAA\n\n{NOTE}",
    "too-many-hashes": "old 0\n" + f"{HASH}\n" * 64 + f"\n{NOTE}",
    "no-note": "old 0\n\n",
    "unsigned-note": f"old 0\n\n{ORIGIN}\n5\n{HASH}\n",
    "too-large": f"old 0\n\n{NOTE}" + "x" * 600_000,
}


@pytest.mark.parametrize("reason", MALFORMED)
def test_malformed_request_is_a_bad_request(reason: str) -> None:
    """400, with a code, and no change of state."""
    witness = Witness(COSIGNER, LOGS)
    answer = witness.add_checkpoint(MALFORMED[reason], NOW_S)
    assert isinstance(answer, WitnessRefused)
    assert answer.status == 400
    assert witness.snapshot() == ()


def test_request_round_trip() -> None:
    """What the asking side writes is what the witness reads."""
    log = MemoryLog(9)
    parsed = parse_add_checkpoint(request(log, 5, 9))
    assert (parsed.old_size, parsed.proof) == (5, log.consistency(5, 9))
    assert parsed.note == log.note(9)
    with pytest.raises(PeerError, match=r"tlog\.witness\.malformed"):
        parse_add_checkpoint("new 0\n\n")


def test_restored_witness_still_refuses() -> None:
    """After a crash it knows what it cosigned: the stale request is a conflict again."""
    log = MemoryLog(9)
    rows = msgspec.json.encode(witness_at(log, 5).snapshot())
    decoded = msgspec.json.decode(rows, type=tuple[WitnessedCheckpoint, ...])
    restored = Witness.restore(COSIGNER, LOGS, decoded)
    restored.validate()
    assert restored.add_checkpoint(request(log, 0, 9), NOW_S) == WitnessConflict(size=5)
    assert restored.add_checkpoint(request(log, 5, 9), NOW_S).status == 200


@pytest.mark.parametrize("change", [{"size": 4}, {"root": bytes(32)}, {"note": "x"}, {}])
def test_damaged_rows_stop_the_witness(change: dict[str, int | bytes | str]) -> None:
    """A row that contradicts its note, or stands twice, is not repaired by guessing."""
    row = witness_at(MemoryLog(5), 5).snapshot()[0]
    rows = [msgspec.structs.replace(row, **change)] if change else [row, row]
    with pytest.raises(CorruptState, match=r"tlog\.witness\.row"):
        Witness.restore(COSIGNER, LOGS, rows)


def test_row_keeps_the_log_s_signature_only() -> None:
    """Foreign lines of a request do not pile up in the witness's store."""
    log = MemoryLog(5)
    foreign = parse_note(log.note(signer=NoteSigner(name="x", key=signing_key("x")))).signatures
    body = add_checkpoint_body(0, (), with_signatures(log.note(), [foreign[0].line]))
    answer = Witness(COSIGNER, LOGS).add_checkpoint(body, NOW_S)
    assert isinstance(answer, WitnessConfirmed)
    assert answer.row.note == log.note()


@pytest.mark.parametrize("keys", [[], [COSIGNER.verifier]])
def test_log_without_a_key_of_its_name_is_refused(keys: list[NoteVerifier]) -> None:
    """A set-up mistake is found at start, not at the first request."""
    with pytest.raises(UsageError, match=r"tlog\.witness\.keys"):
        Witness(COSIGNER, {ORIGIN: keys})
