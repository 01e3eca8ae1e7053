"""The log as files that any static web server can publish, in the order they must appear."""

from collections.abc import Callable, Iterator

from mutualedge.errors import CorruptState, UsageError
from mutualedge.tlog.checkpoints import parse_checkpoint
from mutualedge.tlog.hashing import HASH_BYTES, leaf_hash
from mutualedge.tlog.notes import parse_note
from mutualedge.tlog.tiles import (
    TILE_WIDTH,
    HashReader,
    bundle_path,
    encode_bundle,
    hash_count,
    tile_path,
    tile_width,
)

CHECKPOINT_PATH = "checkpoint"


def export_files(
    note: str, reader: HashReader, read_entry: Callable[[int], bytes], *, published_size: int = 0
) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file; write them in this order, the checkpoint last.

    Whoever fetches the new checkpoint then finds all it refers to. Keep partial tiles of earlier
    checkpoints until their full tile is out.

    Args:
        note: The signed checkpoint to publish.
        reader: Tiles of the log.
        read_entry: Entry by index.
        published_size: Size of the checkpoint published before; its full tiles are not repeated.

    Yields:
        Path below the log's prefix, and content.

    Raises:
        UsageError: The published size is above the checkpoint's.
        CorruptState: An entry is not the one that was logged.
    """
    size = parse_checkpoint(parse_note(note).text).size
    if not 0 <= published_size <= size:
        sentence = f"A log of {size} entries cannot follow a published one of {published_size}."
        raise UsageError("tlog.export.order", sentence)
    yield from _bundles(size, published_size, reader, read_entry)
    level = 0
    while hash_count(size, level):
        yield from _tiles(level, size, published_size, reader)
        level += 1
    yield CHECKPOINT_PATH, note.encode()


def _new_tiles(level: int, size: int, published_size: int) -> range:
    first = hash_count(published_size, level) // TILE_WIDTH
    return range(first, -(-hash_count(size, level) // TILE_WIDTH))


def _tiles(
    level: int, size: int, published_size: int, reader: HashReader
) -> Iterator[tuple[str, bytes]]:
    for index in _new_tiles(level, size, published_size):
        width = tile_width(size, level, index)
        yield tile_path(level, index, width), reader.read_tile(level, index, width)


def _bundles(
    size: int, published_size: int, reader: HashReader, read_entry: Callable[[int], bytes]
) -> Iterator[tuple[str, bytes]]:
    for index in _new_tiles(0, size, published_size):
        width = tile_width(size, 0, index)
        first = index * TILE_WIDTH
        entries = [read_entry(at) for at in range(first, first + width)]
        _check_logged(first, entries, reader.read_tile(0, index, width))
        yield bundle_path(index, width), encode_bundle(entries)


def _check_logged(first: int, entries: list[bytes], tile: bytes) -> None:
    for offset, entry in enumerate(entries):
        at = offset * HASH_BYTES
        if tile[at : at + HASH_BYTES] != leaf_hash(entry):
            sentence = f"Stored entry {first + offset} is not the one logged; stop publishing."
            raise CorruptState("tlog.export.entry", sentence)
