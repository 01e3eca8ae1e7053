"""The window that lets each record number pass once, in any order, with memory of fixed width.

Source: RFC 4303 section 3.4.3, widened because brokers reorder more than networks do.
"""

from mutualedge.errors import PeerError

WINDOW_RECORDS = 1024
"""How far behind the newest a record may arrive; also the most calls in flight on a session."""

_WINDOW_MASK = (1 << WINDOW_RECORDS) - 1


class ReplayWindow:
    """Which of the last 1024 numbers were seen: bit ``i`` stands for the highest minus ``i``."""

    __slots__ = ("_seen", "highest_seq")

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.highest_seq = -1
        self._seen = 0

    def verify_new(self, seq: int) -> None:
        """Return if this number may still pass; nothing is marked yet.

        Raises:
            PeerError: ``session.record.too-old`` or ``session.record.replayed``.
        """
        behind = self.highest_seq - seq
        if behind >= WINDOW_RECORDS:
            sentence = f"Record {seq} is {behind} behind the newest; {WINDOW_RECORDS} is the limit."
            raise PeerError("session.record.too-old", sentence)
        if behind >= 0 and self._seen >> behind & 1:
            sentence = f"Record {seq} came before; a repeated delivery is answered from the store."
            raise PeerError("session.record.replayed", sentence)

    def mark(self, seq: int) -> None:
        """Take note of a number that passed, once its record proved genuine."""
        behind = self.highest_seq - seq
        if behind >= 0:
            self._seen |= 1 << behind
            return
        # A jump past the whole window forgets it; shifting by the jump itself could be huge.
        kept = self._seen << -behind if -behind < WINDOW_RECORDS else 0
        self._seen = kept & _WINDOW_MASK | 1
        self.highest_seq = seq

    def validate(self) -> None:
        """Assert the invariants: the newest is marked, nothing outside the window is."""
        assert self._seen <= _WINDOW_MASK
        assert bool(self._seen & 1) == (self.highest_seq >= 0)
        assert self._seen >> (self.highest_seq + 1) == 0
