"""Tiles and entry bundles: the shape in which a log is stored, served and read.

Source: https://c2sp.org/tlog-tiles.
"""

from collections.abc import Iterable
from typing import Protocol

from mutualedge.errors import PeerError, UsageError
from mutualedge.tlog.hashing import ENTRY_BYTES_MAX, HASH_BYTES

TILE_HEIGHT = 8
"""Tree levels that one tile spans."""

TILE_WIDTH = 1 << TILE_HEIGHT
TILE_BYTES = TILE_WIDTH * HASH_BYTES

SIZE_MAX = 2**63 - 1
"""Entries of one log; a consistency proof then fits the 63 hashes that witnesses accept."""

_LENGTH_BYTES = 2


class HashReader(Protocol):
    """Where proofs get tiles from: a store, a folder of exported files, a partner's server."""

    def read_tile(self, level: int, index: int, width: int) -> bytes:
        """Return the first ``width`` hashes of a tile.

        Raises:
            CorruptState: The tile is missing or shorter than that.
        """


def hash_count(size: int, level: int) -> int:
    """Return how many hashes stand in all tiles of a level, in a log of this size."""
    return size >> (TILE_HEIGHT * level)


def tile_width(size: int, level: int, index: int) -> int:
    """Return the width of one tile in a log of this size, 0 when there is none."""
    return max(0, min(TILE_WIDTH, hash_count(size, level) - index * TILE_WIDTH))


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return a tile's path below the log's prefix: ``tile/0/x001/x234/067.p/8``."""
    return f"tile/{level}/{_index_path(index)}{_partial_suffix(width)}"


def bundle_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return an entry bundle's path below the log's prefix: ``tile/entries/000``."""
    return f"tile/entries/{_index_path(index)}{_partial_suffix(width)}"


def _index_path(index: int) -> str:
    digits = str(index)
    digits = digits.zfill(-len(digits) % 3 + len(digits))
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])


def _partial_suffix(width: int) -> str:
    assert 0 < width <= TILE_WIDTH, "empty tiles are never served"
    return "" if width == TILE_WIDTH else f".p/{width}"


def check_entry_bytes(entry: bytes) -> None:
    """Return if the entry fits a bundle.

    Raises:
        UsageError: It is longer than 65,535 bytes.
    """
    if len(entry) > ENTRY_BYTES_MAX:
        sentence = f"A log entry has at most {ENTRY_BYTES_MAX} bytes, this one {len(entry)}."
        raise UsageError("tlog.entry.size", sentence)


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Return consecutive entries as an entry bundle, each behind its length.

    Raises:
        UsageError: An entry is longer than 65,535 bytes.
    """
    out = bytearray()
    for entry in entries:
        check_entry_bytes(entry)
        out += len(entry).to_bytes(_LENGTH_BYTES, "big") + entry
    return bytes(out)


def parse_bundle(raw: bytes, width: int) -> tuple[bytes, ...]:
    """Return the entries of a bundle that must hold exactly ``width`` of them.

    Raises:
        PeerError: The bundle ends early, or holds more.
    """
    entries: list[bytes] = []
    at = 0
    for _ in range(width):
        start = at + _LENGTH_BYTES
        end = start + int.from_bytes(raw[at:start], "big")
        if start > len(raw) or end > len(raw):
            sentence = f"The entry bundle ends inside entry {len(entries)} of {width}."
            raise PeerError("tlog.bundle.short", sentence)
        entries.append(raw[start:end])
        at = end
    if at != len(raw):
        sentence = f"The entry bundle has {len(raw) - at} bytes after its {width} entries."
        raise PeerError("tlog.bundle.long", sentence)
    return tuple(entries)
