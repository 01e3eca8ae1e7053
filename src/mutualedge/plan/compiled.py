"""Compiles a loop with numba where it is installed, and leaves it as it is otherwise."""

import importlib
import importlib.util
from typing import TypeVar, cast

Loop = TypeVar("Loop")

HAS_COMPILER = importlib.util.find_spec("numba") is not None
"""Whether loops run at the speed of C; without numba, callers choose their NumPy form."""


def compiled(loop: Loop) -> Loop:
    """Return a loop that numba compiles at its first call, or the loop itself without numba.

    What was compiled is kept on disk by numba, so that only the first process pays for it. numba
    is imported when a loop is decorated: import modules with compiled loops where they are needed.
    """
    if not HAS_COMPILER:
        return loop
    numba = importlib.import_module("numba")
    return cast("Loop", numba.njit(cache=True, nogil=True)(loop))
