"""Locks on files, which the kernel takes back when their holder ends, however it ends."""

import fcntl
from pathlib import Path
from typing import IO


def try_lock(path: Path) -> IO[bytes] | None:
    """Return the open, locked file, or None if another process holds its lock.

    Raises:
        OSError: The file cannot be opened, or the file system knows no locks.
    """
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        file.close()
        raise
    return file


def is_locked(path: Path) -> bool:
    """Tell whether a process holds the lock of this file.

    For the moment of the question the lock is ours, shared: who wants it waits that long.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
