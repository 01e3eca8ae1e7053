"""Export a bundle from stores on this machine, merge several, and verify one from a file."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.export import bundle_lines, export_part, read_bundle
from mutualedge.app.files import STORE_FILE, NodeFile, read_process_file
from mutualedge.audit import Report, render_text, verify_bundle
from mutualedge.audit.bundle import BUNDLE_FORMAT, LINE_BYTES_MAX
from mutualedge.errors import UsageError


def export_bundle(folders: Sequence[Path], bundle: Path) -> int:
    """Write what these enterprises' folders hold as one bundle; return its size in bytes.

    Args:
        folders: Node folders of one consortium; each contributes its log, leases and blocks.
        bundle: The file to write; replaced only when complete.

    Raises:
        UsageError: A folder cannot be read, or they are of different consortia.
        CorruptState: A store contradicts itself.
    """
    told = [read_process_file(folder, NodeFile) for folder in folders]
    if len({each.trust.payload_digest for each in told}) != 1:
        sentence = "The folders belong to different consortia or trust versions; export each alone."
        raise UsageError("export.trust.mixed", sentence)
    stores = [SqliteStore(folder / STORE_FILE, read_only=True) for folder in folders]
    try:
        parts = [
            export_part(store, each.enterprise) for store, each in zip(stores, told, strict=True)
        ]
        return _write(bundle, bundle_lines(told[0].trust, parts, time.time_ns()))
    finally:
        for store in stores:
            store.close()


def merge_bundles(bundles: Sequence[Path], merged: Path) -> int:
    """Write what several bundles hold as one, each line once; return its size in bytes.

    Each enterprise exports its own folder, which holds secrets, and hands over the bundle, which
    holds none.

    Args:
        bundles: Files made by ``audit export`` or by this.
        merged: The file to write; replaced only when complete.

    Raises:
        UsageError: A file cannot be read or is no bundle, or they are of different consortia.
    """
    read = [read_bundle(_lines_of(each), str(each)) for each in bundles]
    first = read[0].trust
    if any(each.trust.payload_digest != first.payload_digest for each in read):
        sentence = "The bundles are of different consortia; verify each alone."
        raise UsageError("export.trust.mixed", sentence)
    return _write(merged, bundle_lines(first, [each.items for each in read], time.time_ns()))


def _lines_of(bundle: Path) -> Iterator[bytes]:
    """Yield the lines of a bundle, none longer than one may be."""
    try:
        with bundle.open("rb") as file:
            yield from iter(lambda: file.readline(LINE_BYTES_MAX + 1), b"")
    except OSError as error:
        sentence = f"{bundle} cannot be read ({error.strerror}); name a file made by audit export."
        raise UsageError("audit.file.unreadable", sentence) from error


def _write(bundle: Path, lines: Iterable[bytes]) -> int:
    """Write a bundle whole or not at all; only another bundle is replaced.

    Raises:
        UsageError: It cannot be written there, or something else stands there.
    """
    if bundle.is_file() and bundle.stat().st_size and not _is_bundle(bundle):
        sentence = f"{bundle} is there and is no bundle; name another file, or remove that one."
        raise UsageError("export.file.other", sentence)
    fresh = bundle.with_name(f"{bundle.name}.new")
    try:
        with fresh.open("wb") as file:
            file.writelines(lines)
        fresh.replace(bundle)
        return bundle.stat().st_size
    except OSError as error:
        reason = error.strerror
        sentence = f"{bundle} cannot be written ({reason}); name a file in a folder of yours."
        raise UsageError("export.file.unwritable", sentence) from error
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def _is_bundle(path: Path) -> bool:
    return BUNDLE_FORMAT.encode() in next(_lines_of(path), b"")


def export_text(bundle: Path, size_bytes: int, *, as_json: bool) -> str:
    """Return what was written, for a person or as one JSON object."""
    if as_json:
        return msgspec.json.encode({"bundle": str(bundle), "bytes": size_bytes}).decode()
    return f"{bundle}: {size_bytes} bytes"


def verify_file(bundle: Path) -> Report:
    """Return what the auditor says about a bundle.

    Raises:
        UsageError: The file cannot be read, or is none: it has neither header nor trust file.
    """
    report = verify_bundle(_lines_of(bundle))
    if not report.consortium and not report.trust_version:
        sentence = f"{bundle} holds neither a header nor a trust file, so it is no bundle; name a "
        sentence += "file made by audit export."
        raise UsageError("audit.file.foreign", sentence)
    return report


def report_text(report: Report, *, as_json: bool) -> str:
    """Return the report for a person, or as one JSON object."""
    return msgspec.json.encode(report).decode() if as_json else render_text(report)
