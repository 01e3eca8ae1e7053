"""Durable rows of a simulated process: survive its crash, appear only through ``commit``."""

from collections.abc import Iterable, Iterator

from mutualedge.protocol import Write


class MemoryStore:
    """Rows in dictionaries; the contract suite runs it beside SQLite."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, bytes]] = {}

    def commit(self, writes: Iterable[Write]) -> None:
        for write in writes:
            bucket = self._rows.setdefault(write.bucket, {})
            if write.value is None:
                bucket.pop(write.key, None)
            else:
                bucket[write.key] = write.value

    def get(self, bucket: str, key: str) -> bytes | None:
        return self._rows.get(bucket, {}).get(key)

    def scan(self, bucket: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        rows = self._rows.get(bucket, {})
        for key in sorted(key for key in rows if key.startswith(prefix)):
            yield key, rows[key]

    def last_key(self, bucket: str) -> str | None:
        return max(self._rows.get(bucket, {}), default=None)
