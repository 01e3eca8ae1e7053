"""The embedded context: rows in memory, sorted where they are scanned, with an undo journal."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from mutualedge.ledger.events import Event
from mutualedge.model import Digest, EnterpriseId

NOBODY = EnterpriseId("")
"""The caller while no command runs; no member has this name."""


class Store:
    """The ``Context`` of the embedded engine; what happened since ``commit`` can be undone.

    A key is ``table/…``, and each table is a dictionary of its own: reading one whole reads no
    other. A table gets a sorted index when it is first scanned, so the large ones that only grow
    (outcomes, transfers) cost nothing.

    Attributes:
        caller: Whose command runs; set by the engine.
        now_ns: Time of the block; set by the engine.
        height: Number of the block; set by the engine.
    """

    def __init__(
        self,
        rows: Iterable[tuple[str, bytes]],
        executed: Callable[[int], Digest | None] = lambda _height: None,
    ) -> None:
        """Take the rows of a ledger, in any order, and who remembers its blocks."""
        self._executed = executed
        self.caller = NOBODY
        self.now_ns = 0
        self.height = 0
        self._tables: dict[str, dict[str, bytes]] = {}
        for key, value in rows:
            self._tables.setdefault(_table_of(key), {})[key] = value
        self._index: dict[str, list[str]] = {}
        self._journal: list[tuple[str, bytes | None]] = []
        self._events: list[Event] = []

    def executed(self, height: int) -> Digest | None:
        """Return the digest of a block before this one, if it was executed lately."""
        return self._executed(height)

    @property
    def events(self) -> tuple[Event, ...]:
        """What contracts reported since the last commit."""
        return tuple(self._events)

    def emit(self, event: Event) -> None:
        """Report something."""
        self._events.append(event)

    def get(self, key: str) -> bytes | None:
        """Return the current value."""
        return self._tables.get(_table_of(key), _NO_ROWS).get(key)

    def put(self, key: str, value: bytes) -> None:
        """Write a row."""
        assert key.isascii()
        assert "/" in key
        self._journal.append((key, self.get(key)))
        self._set(key, value)

    def delete(self, key: str) -> None:
        """Remove a row, present or not."""
        self._journal.append((key, self.get(key)))
        self._set(key, None)

    def scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Yield rows in key order; rows written behind the reader are not seen."""
        index = self._sorted_keys(prefix)
        position = bisect_left(index, prefix)
        while position < len(index) and index[position].startswith(prefix):
            key = index[position]
            yield key, self._tables[_table_of(key)][key]
            position = bisect_right(index, key)

    def rows(self, table: str) -> Iterable[tuple[str, bytes]]:
        """Return a table's rows in no particular order, without building an index."""
        return self._tables.get(table, _NO_ROWS).items()

    def writes(self) -> dict[str, bytes | None]:
        """Return the last value of every key touched since the last commit, None if removed."""
        return {key: self.get(key) for key, _ in self._journal}

    def commit(self) -> None:
        """Make what was written so far final."""
        self._journal.clear()
        self._events.clear()

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Undo every write and event made inside if the block raises; the exception goes on."""
        written, reported, completed = len(self._journal), len(self._events), False
        try:
            yield
            completed = True
        finally:
            if not completed:
                self._undo(written)
                del self._events[reported:]

    def _undo(self, mark: int) -> None:
        while len(self._journal) > mark:
            key, before = self._journal.pop()
            self._set(key, before)

    def _set(self, key: str, value: bytes | None) -> None:
        table = _table_of(key)
        rows = self._tables.setdefault(table, {})
        was_present = key in rows
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value
        index = self._index.get(table)
        if index is None or was_present == (value is not None):
            return
        if was_present:
            del index[bisect_left(index, key)]
        else:
            insort(index, key)

    def _sorted_keys(self, prefix: str) -> list[str]:
        table = _table_of(prefix)
        index = self._index.get(table)
        if index is None:
            index = self._index[table] = sorted(key for key, _ in self.rows(table))
        return index


_NO_ROWS: dict[str, bytes] = {}


def _table_of(key: str) -> str:
    return key[: key.find("/") + 1]
