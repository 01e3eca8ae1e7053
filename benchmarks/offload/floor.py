"""What the disk alone costs: one flush, and one commit of the rows that one call leaves."""

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.files import STORE_FILE
from mutualedge.protocol import Write

KEPT_BUCKETS = ("record", "entry")
"""What a provider writes for one call: record with reply, and log entry."""


class DiskFloor:
    """A file and a store of their own in the measured folder."""

    def __init__(self, folder: Path, provider: Path) -> None:
        """Take the provider's last rows as the example of what one call writes."""
        folder.mkdir()
        with SqliteStore(provider / STORE_FILE, read_only=True) as kept:
            self._rows = [(bucket, _last_value(kept, bucket)) for bucket in KEPT_BUCKETS]
        self.row_bytes = sum(len(value) for _, value in self._rows)
        self._file = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT, 0o600)
        self._store = SqliteStore(folder / STORE_FILE)
        self._count = 0

    def flush(self) -> None:
        """Append a call's bytes to a file and wait until they are on the disk."""
        os.write(self._file, bytes(self.row_bytes))
        os.fdatasync(self._file)

    def commit(self) -> None:
        """Commit a call's rows as the provider does."""
        self._count += 1
        self._store.commit(self._writes())

    def _writes(self) -> Sequence[Write]:
        key = f"{self._count:015d}"
        return [Write(bucket=bucket, key=key, value=value) for bucket, value in self._rows]

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close file and store."""
        os.close(self._file)
        self._store.close()


def _last_value(store: SqliteStore, bucket: str) -> bytes:
    key = store.last_key(bucket)
    value = None if key is None else store.get(bucket, key)
    assert value is not None, "the provider recorded nothing"
    return value
