"""Files that must not be lost are written whole or not at all."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mutualedge.app.files import SECRET_MODE, write_whole
from mutualedge.app.options import SETTINGS_FILE, NodeOptions, write_settings


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow, as on a full disk: a write fails after the file was opened."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signalled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, signalled)


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    """The old content stays, whole, and can be replaced once there is room."""
    path = tmp_path / "key"
    write_whole(path, b"old")
    with full_disk(), pytest.raises(OSError, match="File too large"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == SECRET_MODE


def test_settings_survive_a_write_that_fails(tmp_path: Path) -> None:
    """An empty file would be read as all defaults: another hub's address, another price."""
    write_settings(tmp_path, NodeOptions())
    settings = (tmp_path / SETTINGS_FILE).read_bytes()
    assert settings
    with full_disk(), pytest.raises(OSError, match="File too large"):
        write_settings(tmp_path, NodeOptions(lending=None))
    assert (tmp_path / SETTINGS_FILE).read_bytes() == settings
