"""Inclusion and consistency: proofs read from tiles, and verifiers that need nothing else.

Sources: RFC 6962 section 2.1 for the proofs, RFC 9162 sections 2.1.3.2 and 2.1.4.2 for the
verifiers.
"""

from collections.abc import Sequence
from functools import lru_cache

from mutualedge.errors import CorruptState, PeerError, UsageError
from mutualedge.tlog.hashing import (
    HASH_BYTES,
    empty_root,
    fold_peaks,
    node_hash,
    split_hashes,
)
from mutualedge.tlog.tiles import TILE_HEIGHT, TILE_WIDTH, HashReader, tile_width

PROOF_HASHES_MAX = 63
"""No tree below 2^63 leaves needs more; C2SP tlog-witness sets the same limit."""


TILES_HASHED_MAX = 64
"""Tiles whose inner nodes are kept, 24 KiB each: the upper tiles are in every proof of a log."""


@lru_cache(maxsize=TILES_HASHED_MAX)
def _inner_nodes(tile: bytes) -> tuple[list[bytes], ...]:
    """Return the perfect subtrees' hashes inside a tile, by height: its own hashes first.

    Keyed by content, so one tile is hashed once for however many proofs, logs and sizes.
    """
    levels = [split_hashes(tile)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        pairs = zip(below[::2], below[1::2], strict=False)
        levels.append([node_hash(left, right) for left, right in pairs])
    return tuple(levels)


class _Subtrees:
    """Subtree hashes of one tree; each tile is read once per proof."""

    def __init__(self, size: int, reader: HashReader) -> None:
        self._size = size
        self._reader = reader
        self._tiles: dict[tuple[int, int], tuple[list[bytes], ...]] = {}

    def span(self, start: int, end: int) -> bytes:
        """Return the hash over leaves [start, end), a node of the tree or its right remainder."""
        peaks = []
        while start < end:
            height = (end - start).bit_length() - 1
            if start:
                height = min(height, _trailing_zeros(start))
            peaks.append(self._perfect(height, start >> height))
            start += 1 << height
        return fold_peaks(peaks)

    def _perfect(self, height: int, index: int) -> bytes:
        level, rise = divmod(height, TILE_HEIGHT)
        tile, at = divmod(index << rise, TILE_WIDTH)
        return self._tile(level, tile)[rise][at >> rise]

    def _tile(self, level: int, index: int) -> tuple[list[bytes], ...]:
        known = self._tiles.get((level, index))
        if known is None:
            width = tile_width(self._size, level, index)
            raw = self._reader.read_tile(level, index, width)
            if len(raw) != width * HASH_BYTES:
                sentence = f"Tile {level}/{index} has {len(raw)} bytes, needs {width} hashes."
                raise CorruptState("tlog.tile.length", sentence)
            known = self._tiles[level, index] = _inner_nodes(raw)
        return known


def root_at(size: int, reader: HashReader) -> bytes:
    """Return the root of the log when it had ``size`` entries.

    Raises:
        CorruptState: A tile has the wrong length.
    """
    return _Subtrees(size, reader).span(0, size)


def inclusion_proof(index: int, size: int, reader: HashReader) -> tuple[bytes, ...]:
    """Return the sibling hashes from the entry up to the root of the log at ``size``.

    Raises:
        UsageError: There is no such entry at that size.
        CorruptState: A tile has the wrong length.
    """
    if not 0 <= index < size:
        sentence = f"A log of {size} entries has no entry {index} to prove."
        raise UsageError("tlog.proof.range", sentence)
    subtrees = _Subtrees(size, reader)
    start, end = 0, size
    path = []
    while end - start > 1:
        middle = start + _left_width(end - start)
        if index < middle:
            path.append(subtrees.span(middle, end))
            end = middle
        else:
            path.append(subtrees.span(start, middle))
            start = middle
    return tuple(reversed(path))


def consistency_proof(old_size: int, new_size: int, reader: HashReader) -> tuple[bytes, ...]:
    """Return what proves that the log at ``new_size`` extends the log at ``old_size``.

    Empty when the old log was empty or both are the same.

    Raises:
        UsageError: The sizes are not in order.
        CorruptState: A tile has the wrong length.
    """
    if not 0 <= old_size <= new_size:
        sentence = f"A log cannot grow from {old_size} to {new_size} entries."
        raise UsageError("tlog.proof.range", sentence)
    if old_size in {0, new_size}:
        return ()
    subtrees = _Subtrees(new_size, reader)
    start, end = 0, new_size
    path = []
    while end != old_size:
        middle = start + _left_width(end - start)
        if old_size <= middle:
            path.append(subtrees.span(middle, end))
            end = middle
        else:
            path.append(subtrees.span(start, middle))
            start = middle
    if start:
        path.append(subtrees.span(start, end))
    return tuple(reversed(path))


def _left_width(width: int) -> int:
    """Return the largest power of two below a width of at least two."""
    return 1 << ((width - 1).bit_length() - 1)


def verify_inclusion(
    *, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Return if the proof places this leaf hash at this index under the root.

    Args:
        leaf: Leaf hash, computed by the verifier from the entry itself.
        index: The entry's position.
        size: Entries in the tree that the root stands for.
        proof: Sibling hashes, leaf's first.
        root: From a verified checkpoint.

    Raises:
        PeerError: It does not.
    """
    what = f"entry {index} of {size}"
    if not _hashes_are_bounded((leaf, root, *proof)):
        sentence = f"The inclusion proof of {what} holds over 63 hashes or one not of 32 bytes."
        raise PeerError("tlog.inclusion.malformed", sentence)
    if not 0 <= index < size:
        sentence = f"The inclusion proof is for entry {index} of a log of {size} entries."
        raise PeerError("tlog.inclusion.range", sentence)
    digest, node, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            raise _no_inclusion(what)
        if node & 1 or node == last:
            digest = node_hash(sibling, digest)
            rise = _trailing_zeros(node)
            node, last = node >> rise, last >> rise
        else:
            digest = node_hash(digest, sibling)
        node, last = node >> 1, last >> 1
    if last != 0 or digest != root:
        raise _no_inclusion(what)


def verify_consistency(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Return if the proof shows that the newer tree only added to the older one.

    Args:
        old_size: Entries of the older tree; every tree extends the empty one.
        old_root: From a verified checkpoint.
        new_size: Entries of the newer tree.
        new_root: From a verified checkpoint.
        proof: Hashes of RFC 6962 section 2.1.2.

    Raises:
        PeerError: It does not.
    """
    what = f"growth from {old_size} to {new_size}"
    if not _hashes_are_bounded((old_root, new_root, *proof)):
        sentence = f"The proof of the {what} holds over 63 hashes or one not of 32 bytes."
        raise PeerError("tlog.consistency.malformed", sentence)
    if not 0 <= old_size <= new_size:
        sentence = f"The consistency proof is for a {what} entries, which is not a growth."
        raise PeerError("tlog.consistency.range", sentence)
    if old_size in {0, new_size}:
        same = new_root if old_size == new_size else empty_root()
        if proof or old_root != same:
            raise _no_consistency(what)
        return
    # RFC 9162 section 2.1.4.2 steps 1 to 4: a complete older tree is its own first hash.
    path = proof if old_size & (old_size - 1) else (old_root, *proof)
    if not path:
        raise _no_consistency(what)
    rise = _trailing_zeros(old_size)
    node, last = (old_size - 1) >> rise, (new_size - 1) >> rise
    old_digest = new_digest = path[0]
    for digest in path[1:]:
        if last == 0:
            raise _no_consistency(what)
        if node & 1 or node == last:
            old_digest = node_hash(digest, old_digest)
            new_digest = node_hash(digest, new_digest)
            rise = _trailing_zeros(node)
            node, last = node >> rise, last >> rise
        else:
            new_digest = node_hash(new_digest, digest)
        node, last = node >> 1, last >> 1
    if last != 0 or old_digest != old_root or new_digest != new_root:
        raise _no_consistency(what)


def _trailing_zeros(number: int) -> int:
    assert number > 0, "zero has no lowest bit"
    return (number & -number).bit_length() - 1


def _hashes_are_bounded(hashes: Sequence[bytes]) -> bool:
    """Tell whether two end hashes and a proof between them have a lawful number and length."""
    few_enough = len(hashes) <= PROOF_HASHES_MAX + 2
    return few_enough and all(len(digest) == HASH_BYTES for digest in hashes)


def _no_inclusion(what: str) -> PeerError:
    sentence = f"The inclusion proof of {what} entries does not lead to the signed root."
    return PeerError("tlog.inclusion.mismatch", sentence)


def _no_consistency(what: str) -> PeerError:
    sentence = f"The consistency proof of the {what} entries does not lead to the signed roots."
    return PeerError("tlog.consistency.mismatch", sentence)
