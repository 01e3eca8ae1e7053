"""Export a bundle from stores on this machine, and verify one from a file."""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.export import bundle_lines, export_part
from mutualedge.app.files import STORE_FILE, NodeFile, read_process_file
from mutualedge.audit import Report, render_text, verify_bundle
from mutualedge.audit.bundle import LINE_BYTES_MAX
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
        temporary = bundle.with_suffix(bundle.suffix + ".new")
        with temporary.open("wb") as file:
            file.writelines(bundle_lines(told[0].trust, parts, time.time_ns()))
    finally:
        for store in stores:
            store.close()
    temporary.replace(bundle)
    return bundle.stat().st_size


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
    try:
        with bundle.open("rb") as file:
            report = verify_bundle(iter(lambda: file.readline(LINE_BYTES_MAX + 1), b""))
    except OSError as error:
        sentence = f"{bundle} cannot be read ({error.strerror}); name a file made by audit export."
        raise UsageError("audit.file.unreadable", sentence) from error
    if not report.consortium and not report.trust_version:
        sentence = f"{bundle} holds neither a header nor a trust file, so it is no bundle; name a "
        sentence += "file made by audit export."
        raise UsageError("audit.file.foreign", sentence)
    return report


def report_text(report: Report, *, as_json: bool) -> str:
    """Return the report for a person, or as one JSON object."""
    return msgspec.json.encode(report).decode() if as_json else render_text(report)
