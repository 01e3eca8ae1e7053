"""RFC 6962 hashing: leaves, nodes, the root of a whole log, and what a leaf of ours commits to."""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from itertools import islice

from mutualedge.errors import UsageError

HASH_BYTES = 32

ENTRY_BYTES_MAX = 65_535
"""Entry bundles give an entry's length in two bytes (C2SP tlog-tiles, "Log entries")."""

SALT_BYTES = 32
"""One fixed length, so that no other salt and body join to the same bytes; one entropy draw."""

LEAF_TAG = b"mutualedge/leaf/1\n"
"""Keeps our leaves apart from anything else a log could hold."""

_HASH = struct.Struct(f"{HASH_BYTES}s")

_CHUNK_LEAVES = 1 << 16
"""Leaves hashed at a time by `root_of`: about 5 MB in memory, whatever the log's size."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a log entry.

    Source: RFC 6962 section 2.1.
    """
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the subtree whose halves have these hashes.

    Source: RFC 6962 section 2.1.
    """
    return hashlib.sha256(b"\x01" + left + right).digest()


def empty_root() -> bytes:
    """Return the root of a log without entries: SHA-256 of nothing."""
    return hashlib.sha256(b"").digest()


def salted_leaf(salt: bytes, body: bytes) -> bytes:
    """Return the 50-byte log entry that commits to a record without revealing it.

    Args:
        salt: 32 secret random bytes, handed out with the receipt only.
        body: The record's exact bytes.

    Raises:
        UsageError: The salt has another length.
    """
    if len(salt) != SALT_BYTES:
        sentence = f"A leaf's salt has {SALT_BYTES} bytes, not {len(salt)}; draw it from entropy."
        raise UsageError("tlog.leaf.salt", sentence)
    return LEAF_TAG + hashlib.sha256(salt + body).digest()


def split_hashes(raw: bytes | bytearray) -> list[bytes]:
    """Return the hashes that stand one after another in a tile."""
    return [digest for (digest,) in _HASH.iter_unpack(raw)]


def subtree_root(hashes: list[bytes]) -> bytes:
    """Return the RFC 6962 root above at least one hash; an odd last one rises unchanged."""
    assert hashes, "the empty tree has no subtrees"
    sha256 = hashlib.sha256
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=False)
        above = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
        if len(hashes) & 1:
            above.append(hashes[-1])
        hashes = above
    return hashes[0]


def push_peak(peaks: list[bytes], count: int, peak: bytes) -> None:
    """Add the next subtree, all ``count`` before it being of equal height, and merge carries."""
    while count & 1:
        peak = node_hash(peaks.pop(), peak)
        count >>= 1
    peaks.append(peak)


def fold_peaks(peaks: Sequence[bytes]) -> bytes:
    """Return the root over subtrees given left to right, highest first."""
    if not peaks:
        return empty_root()
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root over a whole log's leaf hashes, read once, in bounded memory."""
    remaining = iter(leaf_hashes)
    peaks: list[bytes] = []
    chunk_count = 0
    while chunk := list(islice(remaining, _CHUNK_LEAVES)):
        if len(chunk) < _CHUNK_LEAVES:
            peaks.append(subtree_root(chunk))
            break
        push_peak(peaks, chunk_count, subtree_root(chunk))
        chunk_count += 1
    return fold_peaks(peaks)
