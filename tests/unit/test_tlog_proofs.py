import pytest

from mutualedge.errors import CorruptState, PeerError, UsageError
from mutualedge.tlog import (
    consistency_proof,
    empty_root,
    inclusion_proof,
    leaf_hash,
    root_at,
    verify_consistency,
    verify_inclusion,
)
from tests.property.tlog_logs import MemoryLog


class ShortReader:
    def read_tile(self, level: int, index: int, width: int) -> bytes:
        return bytes(32 * width - 1 + 0 * (level + index))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_no_inclusion_proof_outside_the_log(index: int, size: int) -> None:
    """Asking to prove an entry that is not there is our own mistake."""
    with pytest.raises(UsageError, match=r"tlog\.proof\.range"):
        inclusion_proof(index, size, MemoryLog(3).reader)


def test_no_consistency_proof_for_shrinking() -> None:
    """A log only grows."""
    with pytest.raises(UsageError, match=r"tlog\.proof\.range"):
        consistency_proof(3, 2, MemoryLog(3).reader)


def test_short_tile_stops_the_proof() -> None:
    """A store that gives too few bytes is corrupt; no proof is made from it."""
    with pytest.raises(CorruptState, match=r"tlog\.tile\.length"):
        root_at(5, ShortReader())


def test_every_tree_extends_the_empty_one() -> None:
    """From size 0 the proof is empty, and only the real empty root counts."""
    log = MemoryLog(5)
    root = log.tree.root()
    verify_consistency(old_size=0, old_root=empty_root(), new_size=5, new_root=root, proof=())
    with pytest.raises(PeerError, match=r"tlog\.consistency\.mismatch"):
        verify_consistency(old_size=0, old_root=root, new_size=5, new_root=root, proof=())
    with pytest.raises(PeerError, match=r"tlog\.consistency\.mismatch"):
        verify_consistency(
            old_size=0, old_root=empty_root(), new_size=5, new_root=root, proof=(root,)
        )


def test_empty_tree_has_one_root() -> None:
    """Size 0 with any other root is inconsistent with size 0."""
    with pytest.raises(PeerError, match=r"tlog\.consistency\.mismatch"):
        verify_consistency(
            old_size=0, old_root=empty_root(), new_size=0, new_root=bytes(32), proof=()
        )


def test_proof_of_a_smaller_tree_is_not_a_growth() -> None:
    """Old above new is refused whatever the hashes."""
    with pytest.raises(PeerError, match=r"tlog\.consistency\.range"):
        verify_consistency(old_size=2, old_root=bytes(32), new_size=1, new_root=bytes(32), proof=())


def test_missing_proof_is_a_mismatch() -> None:
    """A growth from a size that is no power of two needs at least one hash."""
    log = MemoryLog(7)
    with pytest.raises(PeerError, match=r"tlog\.consistency\.mismatch"):
        verify_consistency(
            old_size=3,
            old_root=root_at(3, log.reader),
            new_size=7,
            new_root=log.tree.root(),
            proof=(),
        )


@pytest.mark.parametrize("proof", [(bytes(31),), (bytes(33),), (bytes(32),) * 64])
def test_hashes_of_wrong_length_or_number_are_refused(proof: tuple[bytes, ...]) -> None:
    """Bounds come before any hashing, for both kinds of proof."""
    with pytest.raises(PeerError, match=r"tlog\.inclusion\.malformed"):
        verify_inclusion(leaf=bytes(32), index=0, size=2, proof=proof, root=bytes(32))
    with pytest.raises(PeerError, match=r"tlog\.consistency\.malformed"):
        verify_consistency(
            old_size=1, old_root=bytes(32), new_size=2, new_root=bytes(32), proof=proof
        )


def test_index_beyond_the_tree_is_refused() -> None:
    """An index that equals the size names nothing."""
    leaf = leaf_hash(b"entry 0")
    with pytest.raises(PeerError, match=r"tlog\.inclusion\.range"):
        verify_inclusion(leaf=leaf, index=1, size=1, proof=(), root=leaf)
