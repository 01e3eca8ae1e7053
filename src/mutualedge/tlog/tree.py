"""The append side of a log: its right edge in memory, everything else in the caller's store."""

from collections.abc import Callable
from dataclasses import dataclass

from mutualedge.errors import CorruptState
from mutualedge.tlog.hashing import (
    HASH_BYTES,
    fold_peaks,
    leaf_hash,
    node_hash,
    split_hashes,
    subtree_root,
)
from mutualedge.tlog.tiles import (
    TILE_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    check_entry_bytes,
    hash_count,
    tile_width,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedTile:
    """A tile that will never change again; store it with the entry that completed it."""

    level: int
    index: int
    hashes: bytes


class Tree:
    """A growing RFC 6962 tree that keeps at most 255 hashes per tile level (32 kB at 2^32 leaves).

    The caller stores each leaf hash (row ``leaf/<index>``) and each completed tile (row
    ``tile/<level>/<index>``); these two suffice to restore the tree and to prove from it.
    """

    def __init__(self) -> None:
        """Start the empty log."""
        self._size = 0
        self._edges = [bytearray()]
        self._peaks: list[bytes] = []

    @classmethod
    def restore(
        cls,
        size: int,
        read_tile: Callable[[int, int], bytes],
        read_leaf: Callable[[int], bytes],
    ) -> "Tree":
        """Return the tree as it was after ``size`` appends.

        Compare the root with the last checkpoint (`root_at` for an older one) before signing.

        Args:
            size: Entries in the log.
            read_tile: Full tile by level and index; asked for at most 255 per level.
            read_leaf: Leaf hash by entry index; asked for the last ``size`` mod 256.

        Raises:
            CorruptState: A row has the wrong length.
        """
        tree = cls()
        tree._size = size
        first = size - size % TILE_WIDTH
        tree._edges = [_join_leaves(first, [read_leaf(index) for index in range(first, size)])]
        level = 1
        while count := hash_count(size, level):
            first = count - count % TILE_WIDTH
            edge = bytearray()
            for index in range(first, count):
                raw = _full_tile(level - 1, index, read_tile(level - 1, index))
                edge += subtree_root(split_hashes(raw))
            tree._edges.append(edge)
            level += 1
        tree._peaks = _peaks_of(tree._edges)
        return tree

    @property
    def size(self) -> int:
        """Entries appended so far."""
        return self._size

    def root(self) -> bytes:
        """Return the root hash at the present size."""
        return fold_peaks(self._peaks)

    def edge(self, level: int) -> bytes:
        """Return the hashes of the partial tile at this level; none if there is no such tile."""
        return bytes(self._edges[level]) if level < len(self._edges) else b""

    def append(self, entry: bytes) -> tuple[CompletedTile, ...]:
        """Add an entry; its index is the size before.

        Returns:
            The tiles it completed, lowest level first: none 255 times out of 256.

        Raises:
            UsageError: The entry is longer than 65,535 bytes.
        """
        check_entry_bytes(entry)
        return self.append_leaf_hash(leaf_hash(entry))

    def append_leaf_hash(self, leaf: bytes) -> tuple[CompletedTile, ...]:
        """Add an entry by its leaf hash; see `append`."""
        assert len(leaf) == HASH_BYTES, "a leaf hash has 32 bytes"
        self._edges[0] += leaf
        completed: tuple[CompletedTile, ...] = ()
        carry, height, index = leaf, 0, self._size
        while index & 1:
            carry = node_hash(self._peaks.pop(), carry)
            index >>= 1
            height += 1
            if height % TILE_HEIGHT == 0:
                level = height // TILE_HEIGHT
                completed = (*completed, self._complete(level - 1, index))
                self._add_to_edge(level, carry)
        self._peaks.append(carry)
        self._size += 1
        return completed

    def _complete(self, level: int, index: int) -> CompletedTile:
        tile = CompletedTile(level=level, index=index, hashes=bytes(self._edges[level]))
        assert len(tile.hashes) == TILE_BYTES, "only a full tile is completed"
        self._edges[level].clear()
        return tile

    def _add_to_edge(self, level: int, digest: bytes) -> None:
        if level == len(self._edges):
            self._edges.append(bytearray())
        self._edges[level] += digest

    def validate(self) -> None:
        """Assert that size, edge and peaks describe one and the same tree."""
        for level, edge in enumerate(self._edges):
            assert len(edge) == HASH_BYTES * (hash_count(self._size, level) % TILE_WIDTH)
        assert hash_count(self._size, len(self._edges)) == 0, "a level is missing"
        assert self._peaks == _peaks_of(self._edges), "the peaks do not stand above the edge"


class TreeReader:
    """The hash reader of a growing log: full tiles from its store, the right edge from memory."""

    def __init__(self, tree: Tree, read_tile: Callable[[int, int], bytes]) -> None:
        """Take the tree and its store's full tiles by level and index."""
        self._tree = tree
        self._read_tile = read_tile

    def read_tile(self, level: int, index: int, width: int) -> bytes:
        """Return the first ``width`` hashes of a tile.

        Raises:
            CorruptState: The store's tile is not a full one.
        """
        present = tile_width(self._tree.size, level, index)
        assert width <= present, "no proof may reach past the end of the log"
        if present == TILE_WIDTH:
            raw = _full_tile(level, index, self._read_tile(level, index))
        else:
            raw = self._tree.edge(level)
        return raw[: width * HASH_BYTES]


def _full_tile(level: int, index: int, raw: bytes) -> bytes:
    if len(raw) != TILE_BYTES:
        sentence = (
            f"Stored tile {level}/{index} has {len(raw)} bytes instead of {TILE_BYTES}; "
            "restore the log's store from a backup."
        )
        raise CorruptState("tlog.tile.length", sentence)
    return raw


def _join_leaves(first: int, leaves: list[bytes]) -> bytearray:
    for index, leaf in enumerate(leaves, first):
        if len(leaf) != HASH_BYTES:
            sentence = (
                f"Stored leaf hash {index} has {len(leaf)} bytes instead of {HASH_BYTES}; "
                "restore the log's store from a backup."
            )
            raise CorruptState("tlog.leaf.length", sentence)
    return bytearray(b"".join(leaves))


def _peaks_of(edges: list[bytearray]) -> list[bytes]:
    peaks = []
    for edge in reversed(edges):
        hashes = split_hashes(edge)
        at = 0
        for height in reversed(range(TILE_HEIGHT)):
            count = 1 << height
            if len(hashes) & count:
                peaks.append(subtree_root(hashes[at : at + count]))
                at += count
    return peaks
