"""A disk without room, said in one way wherever it is met."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mutualedge.errors import ResourceMissing

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def disk_full(path: Path) -> ResourceMissing:
    """Return the error of a file that cannot be written for want of space."""
    sentence = f"{path} cannot be written, its disk is full; free space there, then start again."
    return ResourceMissing("machine.disk.full", sentence)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file or folder that is written when the disk turns out to be full.

    The kernel names it only where a file is opened.

    Raises:
        ResourceMissing: There is no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full(path) from error
        raise
