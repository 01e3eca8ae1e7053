from dataclasses import replace

import pytest

from mutualedge.errors import PeerError
from mutualedge.tlog import (
    TlogProof,
    cosign,
    inclusion_proof,
    leaf_hash,
    parse_note,
    parse_tlog_proof,
    verify_tlog_proof,
    with_signatures,
)
from tests.property.tlog_logs import LOG_SIGNER, MemoryLog, witness_signer

WITNESSES = [witness_signer(number).verifier for number in range(2)]


def proof_of(index: int, size: int, *, witness_count: int = 2) -> TlogProof:
    log = MemoryLog(size)
    text = parse_note(log.note()).text
    lines = [cosign(text, witness_signer(number), 5) for number in range(witness_count)]
    return TlogProof(
        index=index,
        hashes=inclusion_proof(index, size, log.reader),
        checkpoint=with_signatures(log.note(), lines),
    )


def verify(proof: TlogProof, leaf: bytes, quorum: int = 2) -> int:
    checkpoint = verify_tlog_proof(
        proof, leaf=leaf, log=LOG_SIGNER.verifier, witnesses=WITNESSES, quorum=quorum
    )
    return checkpoint.size


@pytest.mark.parametrize(("index", "size"), [(0, 1), (2, 3), (5, 300)])
def test_file_proves_its_entry(index: int, size: int) -> None:
    """Written, read and verified, it leads to the signed checkpoint."""
    proof = parse_tlog_proof(proof_of(index, size).text)
    assert verify(proof, leaf_hash(b"entry %d" % index)) == size


def test_extra_data_survives_but_proves_nothing() -> None:
    """It is carried, empty or not, and outside every signature."""
    proof = proof_of(2, 3)
    for extra in (b"", b"salt"):
        assert parse_tlog_proof(replace(proof, extra=extra).text).extra == extra
    assert verify(replace(proof, extra=b"anything"), leaf_hash(b"entry 2")) == 3


def test_other_entry_index_or_quorum_is_refused() -> None:
    """Each of the three conditions stands on its own."""
    proof, leaf = proof_of(2, 3, witness_count=1), leaf_hash(b"entry 2")
    assert verify(proof, leaf, quorum=1) == 3
    with pytest.raises(PeerError, match=r"tlog\.cosignature\.quorum"):
        verify(proof, leaf, quorum=2)
    with pytest.raises(PeerError, match=r"tlog\.inclusion\.mismatch"):
        verify(proof, leaf_hash(b"entry 1"), quorum=1)
    with pytest.raises(PeerError, match=r"tlog\.inclusion\.mismatch"):
        verify(replace(proof, index=1), leaf, quorum=1)


GOOD = proof_of(2, 3).text

MALFORMED = {
    "empty": "",
    "other-version": GOOD.replace("@v1", "@v2"),
    "no-index": GOOD.replace("index 2\n", ""),
    "extra-after-index": GOOD.replace("index 2\n", "index 2\nextra AAAA\n"),
    "leading-zero": GOOD.replace("index 2", "index 02"),
    "bad-extra": GOOD.replace("index 2", "extra A\nindex 2"),
    "short-hash": GOOD.replace("index 2\n", "index 2\nAAAA\n"),
    "too-many-hashes": GOOD.replace("index 2\n", "index 2\n" + f"{'A' * 43}=\n" * 63),
    "no-checkpoint": GOOD.split("\n\n")[0] + "\n\n",
    "too-large": GOOD + "x" * 700_000,
}


@pytest.mark.parametrize("reason", MALFORMED)
def test_malformed_file_is_refused(reason: str) -> None:
    """Each departure from the format has its refusal."""
    with pytest.raises(PeerError, match=r"tlog\."):
        parse_tlog_proof(MALFORMED[reason])
