import pytest

from mutualedge.errors import CorruptState, UsageError
from mutualedge.tlog import (
    bundle_path,
    export_files,
    leaf_hash,
    parse_bundle,
    root_of,
    tile_path,
    verify_checkpoint,
)
from tests.property.tlog_logs import LOG_SIGNER, MemoryLog


def files_of(log: MemoryLog, published_size: int = 0) -> dict[str, bytes]:
    entry = log.entries.__getitem__
    return dict(export_files(log.note(), log.reader, entry, published_size=published_size))


def test_size_600_has_the_files_of_the_specification() -> None:
    """Two full tiles and one of 88, their bundles, the level above, and the checkpoint last."""
    assert list(files_of(MemoryLog(600))) == [
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/88",
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/88",
        "tile/1/000.p/2",
        "checkpoint",
    ]


def test_exact_tile_has_no_partial_beside_it() -> None:
    """At 256 entries the level-0 tile is full and the level above has one hash."""
    assert list(files_of(MemoryLog(256))) == [
        "tile/entries/000",
        "tile/0/000",
        "tile/1/000.p/1",
        "checkpoint",
    ]
    assert list(files_of(MemoryLog())) == ["checkpoint"]


def test_published_files_rebuild_the_signed_root() -> None:
    """Whoever downloads the bundles alone can recompute what the log signed."""
    files = files_of(MemoryLog(600))
    entries = [
        *parse_bundle(files[bundle_path(0)], 256),
        *parse_bundle(files[bundle_path(1)], 256),
        *parse_bundle(files[bundle_path(2, 88)], 88),
    ]
    checkpoint = verify_checkpoint(files["checkpoint"].decode(), LOG_SIGNER.verifier)
    assert root_of(map(leaf_hash, entries)) == checkpoint.root
    assert files[tile_path(0, 2, 88)] == b"".join(map(leaf_hash, entries[512:]))


def test_later_export_repeats_no_full_tile() -> None:
    """After 600 published entries only what changed up to 800 comes out."""
    assert list(files_of(MemoryLog(800), published_size=600)) == [
        "tile/entries/002",
        "tile/entries/003.p/32",
        "tile/0/002",
        "tile/0/003.p/32",
        "tile/1/000.p/3",
        "checkpoint",
    ]


def test_older_checkpoint_can_still_be_published() -> None:
    """The log may have grown on; the files are those of the checkpoint's size."""
    log = MemoryLog(300)
    files = dict(export_files(log.note(200), log.reader, log.entries.__getitem__))
    assert list(files) == ["tile/entries/000.p/200", "tile/0/000.p/200", "checkpoint"]


def test_altered_entry_is_never_published() -> None:
    """An entry that does not hash to its leaf stops the export."""
    log = MemoryLog(300)
    log.entries[299] = b"altered"
    with pytest.raises(CorruptState, match=r"tlog\.export\.entry"):
        files_of(log)


def test_export_does_not_go_back() -> None:
    """A published log is never followed by a smaller one."""
    with pytest.raises(UsageError, match=r"tlog\.export\.order"):
        files_of(MemoryLog(3), published_size=4)
