"""Where a consortium's files stand while it is measured: on the disk, or in memory."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder only we may enter is made inside


def media() -> dict[str, Path]:
    """Return what this machine offers by name; memory shows what is left when flushing is free."""
    found = {"disk": Path(tempfile.gettempdir())}
    if MEMORY.is_dir():
        found["memory"] = MEMORY
    return found


@contextmanager
def fresh_folder(parent: Path) -> Iterator[Path]:
    """Make a folder that is gone with the block."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
