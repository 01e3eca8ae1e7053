"""Durable rows as a core sees them: read when it starts, and old ones on demand."""

from collections.abc import Iterable
from typing import Protocol


class StoreView(Protocol):
    """Rows by bucket and key; what an earlier event wrote may be read, not the present one's."""

    def get(self, bucket: str, key: str) -> bytes | None:
        """Return one row's value."""
        ...

    def scan(self, bucket: str, prefix: str = "") -> Iterable[tuple[str, bytes]]:
        """Yield (key, value) in key order."""
        ...

    def last_key(self, bucket: str) -> str | None:
        """Return the greatest key."""
        ...
