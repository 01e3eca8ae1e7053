"""Children that end with the process that started them, however it ends."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from functools import partial

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
"""Loaded before any fork: a child of a threaded process must not load libraries."""


def die_with_parent() -> Callable[[], None] | None:
    """Return what a child runs between fork and exec, so that it is killed when we end.

    It ends when the thread that started it does. None where the kernel is not Linux.
    """
    return None if _LIBC is None else partial(_request_death_signal, _LIBC, os.getpid())


def _request_death_signal(libc: ctypes.CDLL, parent_id: int) -> None:
    # SIGKILL: ports and locks are free at once for the process that replaces this one.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_id:  # it died before the request stood
        os._exit(1)
