import pytest

from mutualedge.errors import CorruptState, UsageError
from mutualedge.tlog import TILE_BYTES, Tree, leaf_hash, root_at
from tests.property.tlog_logs import MemoryLog


def test_tiles_complete_exactly_at_multiples_of_256() -> None:
    """Entry 256 completes tile 0/0 and entry 65,536 tiles 0/255 and 1/0, in this order."""
    tree = Tree()
    completed = {}
    for index in range(65_537):
        tiles = tree.append_leaf_hash(leaf_hash(b"%d" % index))
        if tiles:
            completed[index + 1] = [(tile.level, tile.index) for tile in tiles]
            assert all(len(tile.hashes) == TILE_BYTES for tile in tiles)
    assert list(completed) == list(range(256, 65_537, 256))
    assert completed[256] == [(0, 0)]
    assert completed[65_536] == [(0, 255), (1, 0)]
    tree.validate()


def test_memory_stays_bounded() -> None:
    """After 65,537 entries the right edge holds one hash per level, nothing more."""
    tree = Tree()
    for index in range(65_537):
        tree.append_leaf_hash(leaf_hash(b"%d" % index))
    assert [len(tree.edge(level)) for level in range(4)] == [32, 0, 32, 0]


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 600])
def test_restored_tree_goes_on_as_if_never_stopped(size: int) -> None:
    """Same root, same edge, and the same tiles for whatever is appended next."""
    log = MemoryLog(size)
    restored = log.restored()
    restored.validate()
    for index in range(300):
        assert restored.append(b"%d" % index) == log.tree.append(b"%d" % index)
    assert restored.root() == log.tree.root()
    assert restored.edge(0) == log.tree.edge(0)


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537])
def test_restore_across_the_second_level(size: int) -> None:
    """Level-1 and level-2 edges are rebuilt from full tiles alone."""
    log = MemoryLog()
    for index in range(size):
        log.append(b"%d" % index)
    restored = log.restored()
    restored.validate()
    assert restored.root() == log.tree.root()


def test_restore_refuses_a_short_tile() -> None:
    """A tile that lost a byte stops the log instead of changing its root."""
    log = MemoryLog(256)
    log.rows["tile/0/0"] = log.rows["tile/0/0"][:-1]
    with pytest.raises(CorruptState, match=r"tlog\.tile\.length"):
        log.restored()


def test_restore_refuses_a_short_leaf() -> None:
    """A leaf row that lost a byte stops the log."""
    log = MemoryLog(3)
    log.rows["leaf/1"] = b"short"
    with pytest.raises(CorruptState, match=r"tlog\.leaf\.length"):
        log.restored()


def test_altered_tile_shows_in_the_root() -> None:
    """The caller compares with its checkpoint: an altered row never yields the same root."""
    log = MemoryLog(300)
    root = log.tree.root()
    log.rows["tile/0/0"] = b"\x00" + log.rows["tile/0/0"][1:]
    assert log.restored().root() != root
    assert root_at(300, log.reader) == root


def test_oversized_entry_is_refused_and_leaves_no_trace() -> None:
    """65,536 bytes are refused before anything changes."""
    tree = Tree()
    with pytest.raises(UsageError, match=r"tlog\.entry\.size"):
        tree.append(b"x" * 65_536)
    assert tree.size == 0
    tree.validate()


def test_validate_notices_a_wrong_size() -> None:
    """An inner contradiction is a bug of ours and trips an assertion."""
    tree = MemoryLog(3).tree
    tree._size = 4
    with pytest.raises(AssertionError):
        tree.validate()
