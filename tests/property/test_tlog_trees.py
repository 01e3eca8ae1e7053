"""Laws of the tree: every proof verifies, no altered one does, restarting changes nothing."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualedge.errors import PeerError
from mutualedge.tlog import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_at,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from mutualedge.tlog.hashing import node_hash
from tests.property.tlog_logs import MemoryLog

BIG_SIZE = 66_000
"""Past the first full level-1 tile, so that proofs cross three tile levels."""


@cache
def big_log() -> MemoryLog:
    return MemoryLog(BIG_SIZE)


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(naive_root(leaves[:split]), naive_root(leaves[split:]))


edge_sizes = st.sampled_from([1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537])
sizes = edge_sizes | st.integers(1, 700) | st.integers(1, BIG_SIZE)


@settings(deadline=None)
@given(st.integers(1, 600))
def test_tree_tiles_and_rebuild_agree_with_the_definition(size: int) -> None:
    """Appending, reading tiles, whole-log rebuild and the recursive definition give one root."""
    leaves = [leaf_hash(b"entry %d" % index) for index in range(size)]
    expected = naive_root(leaves)
    assert root_at(size, big_log().reader) == expected
    assert root_of(leaves) == expected
    log = MemoryLog(size)
    log.tree.validate()
    assert log.tree.root() == expected


@settings(deadline=None)
@given(st.data())
def test_inclusion_proofs_verify_and_altered_ones_do_not(data: st.DataObject) -> None:
    """Any entry of any size is proved; a changed byte, index or size is refused."""
    size = data.draw(sizes)
    index = data.draw(st.integers(0, size - 1))
    reader = big_log().reader
    proof = inclusion_proof(index, size, reader)
    root, leaf = root_at(size, reader), leaf_hash(big_log().entries[index])
    verify_inclusion(leaf=leaf, index=index, size=size, proof=proof, root=root)
    at = data.draw(st.integers(0, 32 * (len(proof) + 2) - 1))
    flip = data.draw(st.integers(1, 255))
    raw = bytearray(b"".join((leaf, root, *proof)))
    raw[at] ^= flip
    parts = [bytes(raw[start : start + 32]) for start in range(0, len(raw), 32)]
    with pytest.raises(PeerError, match=r"tlog\.inclusion\.mismatch"):
        verify_inclusion(leaf=parts[0], index=index, size=size, proof=parts[2:], root=parts[1])


@settings(deadline=None)
@given(st.data())
def test_inclusion_proof_fits_one_position_only(data: st.DataObject) -> None:
    """The same hashes at another index, or one hash more or less, are refused."""
    size = data.draw(sizes.filter(lambda size: size > 1))
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1).filter(lambda other: other != index))
    reader = big_log().reader
    proof = inclusion_proof(index, size, reader)
    root, leaf = root_at(size, reader), leaf_hash(big_log().entries[index])
    for at, hashes in [(other, proof), (index, proof[:-1]), (index, (*proof, root))]:
        with pytest.raises(PeerError, match=r"tlog\.inclusion\.mismatch"):
            verify_inclusion(leaf=leaf, index=at, size=size, proof=hashes, root=root)


@settings(deadline=None)
@given(st.data())
def test_consistency_proofs_verify_and_altered_ones_do_not(data: st.DataObject) -> None:
    """Any growth is proved; a changed byte, or one hash more or less, is refused."""
    new = data.draw(sizes)
    old = data.draw(st.integers(1, new))
    reader = big_log().reader
    proof = consistency_proof(old, new, reader)
    roots = root_at(old, reader), root_at(new, reader)

    def verify(old_root: bytes, new_root: bytes, *hashes: bytes) -> None:
        verify_consistency(
            old_size=old, old_root=old_root, new_size=new, new_root=new_root, proof=hashes
        )

    verify(*roots, *proof)
    raw = bytearray(b"".join((*roots, *proof)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    altered = [bytes(raw[start : start + 32]) for start in range(0, len(raw), 32)]
    for bad in [altered, [*roots, *proof, roots[0]], [*roots, *proof[:-1]]]:
        if bad != [*roots, *proof]:
            with pytest.raises(PeerError, match=r"tlog\.consistency\.mismatch"):
                verify(*bad)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 300), max_size=5))
def test_restarting_at_any_moment_changes_nothing(growths: list[int]) -> None:
    """A log restored from its rows after every growth stays equal to one never stopped."""
    steady, restarted = MemoryLog(), MemoryLog()
    for count in growths:
        steady.grow(count)
        restarted.tree = restarted.restored()
        restarted.grow(count)
        restarted.tree.validate()
    assert restarted.rows == steady.rows
    assert restarted.tree.root() == steady.tree.root()
