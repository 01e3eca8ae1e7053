import pytest

from mutualedge.errors import PeerError, UsageError
from mutualedge.tlog import (
    Cosigned,
    NoteVerifier,
    cosign,
    count_cosignatures,
    parse_note,
    verify_checkpoint,
    verify_cosignature,
    with_signatures,
)
from tests.property.tlog_logs import LOG_SIGNER, MemoryLog, witness_signer

NOTE = MemoryLog(3).note()
TEXT = parse_note(NOTE).text
SIGNERS = [witness_signer(number) for number in range(3)]
WITNESSES = [signer.verifier for signer in SIGNERS]


def cosigned_note(*times_s: int) -> str:
    pairs = zip(SIGNERS, times_s, strict=False)
    return with_signatures(NOTE, [cosign(TEXT, signer, time_s) for signer, time_s in pairs])


def test_cosignature_returns_its_time() -> None:
    """Time is signed with the checkpoint."""
    note = cosigned_note(1_700_000_000)
    assert verify_cosignature(parse_note(note), WITNESSES[0]) == 1_700_000_000
    assert verify_checkpoint(note, LOG_SIGNER.verifier).size == 3


def test_altered_time_is_refused() -> None:
    """Another time before the same signature does not verify."""
    signature = parse_note(cosigned_note(5)).signatures[1]
    later = (6).to_bytes(8, "big") + signature.signature[8:]
    line = type(signature)(name=signature.name, key_hash=signature.key_hash, signature=later).line
    with pytest.raises(PeerError, match=r"tlog\.cosignature\.invalid"):
        verify_cosignature(parse_note(with_signatures(NOTE, [line])), WITNESSES[0])


def test_time_beyond_the_format_is_refused() -> None:
    """A valid signature over a time of 2^63 or more is still no cosignature."""
    time_s = 2**63
    message = f"cosignature/v1\ntime {time_s}\n{TEXT}".encode()
    line = SIGNERS[0].signature_over(message, prefix=time_s.to_bytes(8, "big")).line
    with pytest.raises(PeerError, match=r"tlog\.cosignature\.invalid"):
        verify_cosignature(parse_note(with_signatures(NOTE, [line])), WITNESSES[0])


def test_cosignature_of_another_checkpoint_is_refused() -> None:
    """A line moved to another note does not verify there."""
    line = cosign(TEXT, SIGNERS[0], 5)
    other = with_signatures(MemoryLog(4).note(), [line])
    with pytest.raises(PeerError, match=r"tlog\.cosignature\.invalid"):
        count_cosignatures(other, WITNESSES, 1)


def test_missing_cosignature_is_refused() -> None:
    """No line of this witness, no time."""
    with pytest.raises(PeerError, match=r"tlog\.cosignature\.missing"):
        verify_cosignature(parse_note(NOTE), WITNESSES[0])


def test_count_names_each_witness_once() -> None:
    """Repeating a line adds nothing; the quorum is counted, never assumed."""
    note = cosigned_note(10, 20)
    count = count_cosignatures(note, WITNESSES, 2)
    assert count.cosigned == (
        Cosigned(witness=WITNESSES[0].name, time_s=10),
        Cosigned(witness=WITNESSES[1].name, time_s=20),
    )
    assert count.reached
    assert not count_cosignatures(note, WITNESSES, 3).reached
    assert not count_cosignatures(note, WITNESSES[1:], 2).reached


def test_two_lines_of_one_witness_count_once_with_the_later_time() -> None:
    """A witness that cosigned twice is one witness."""
    note = NOTE + cosign(TEXT, SIGNERS[0], 30) + cosign(TEXT, SIGNERS[0], 20)
    count = count_cosignatures(note, WITNESSES, 2)
    assert count.cosigned == (Cosigned(witness=WITNESSES[0].name, time_s=30),)
    assert not count.reached


def test_one_key_under_two_names_is_refused() -> None:
    """Otherwise one partner could vote twice."""
    twin = NoteVerifier(
        name="twin.example", public_bytes=WITNESSES[0].public_bytes, algorithm=SIGNERS[0].algorithm
    )
    with pytest.raises(UsageError, match=r"tlog\.witness\.key-shared"):
        count_cosignatures(NOTE, [WITNESSES[0], twin], 1)


def test_only_checkpoints_are_cosigned() -> None:
    """A witness never lends its key to another text."""
    with pytest.raises(PeerError, match=r"tlog\.checkpoint\.malformed"):
        cosign("any text\n", SIGNERS[0], 5)
