"""Who waits for the planner: a clock, Ctrl-C, and a line that says how far it is."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from types import FrameType
from typing import TextIO

from mutualedge.errors import UsageError
from mutualedge.plan.choice import gap_between

TELL_EVERY_S = 0.2

ERASE = "\r\x1b[K"


class Patience:
    """Ends a search when the time is over or somebody pressed Ctrl-C; shows its progress."""

    def __init__(self, limit_s: float, stream: TextIO | None = None) -> None:
        """Begin to count.

        Args:
            limit_s: Seconds to wait.
            stream: A terminal for the progress line; none if absent.
        """
        self._began_s = time.monotonic()
        self._end_s = self._began_s + limit_s
        self._stream = stream
        self._told_s = self._began_s
        self._has_line = False
        self._is_stopped = False

    def left_s(self) -> float:
        """Return for how long one may still search."""
        return 0.0 if self._is_stopped else self._end_s - time.monotonic()

    def tell(self, cost_usd: float, bound_usd: float) -> None:
        """Show how the best so far compares with the bound, a few times a second."""
        now_s = time.monotonic()
        if self._stream is None or now_s - self._told_s < TELL_EVERY_S:
            return
        self._told_s, self._has_line = now_s, True
        gap = gap_between(cost_usd, bound_usd)
        self._stream.write(
            f"{ERASE}{now_s - self._began_s:.1f} s: best {cost_usd:.6g}, no less than "
            f"{bound_usd:.6g} (gap {gap:.1e}) USD a month; Ctrl-C takes it"
        )
        self._stream.flush()

    def stop(self) -> None:
        """End the search with what it has."""
        self._is_stopped = True

    def clear(self) -> None:
        """Take the progress line away."""
        if self._stream is not None and self._has_line:
            self._stream.write(ERASE)
            self._stream.flush()


@contextmanager
def waiting(limit_s: float) -> Iterator[Patience]:
    """Wait so long; the first Ctrl-C takes the best so far, the second ends the command.

    Yields:
        What the search asks whether to go on.

    Raises:
        UsageError: The time is no number.
    """
    if not isfinite(limit_s):
        raise UsageError("app.planning.time", f"--time {limit_s} is no time; name seconds.")
    patience = Patience(limit_s, sys.stderr if sys.stderr.isatty() else None)

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        patience.stop()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield patience
    finally:
        signal.signal(signal.SIGINT, before)
        patience.clear()
