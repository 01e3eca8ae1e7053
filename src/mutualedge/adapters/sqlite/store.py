"""Durable rows in one SQLite file: one transaction per commit, on the disk when it returns.

Write-ahead log with ``synchronous=FULL``: a commit survives loss of power once it returned
(https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

import fcntl
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from mutualedge.adapters.linux import disk_full
from mutualedge.errors import CorruptState, MutualEdgeError, ResourceMissing, UsageError
from mutualedge.protocol import Write

APPLICATION_ID = 0x4D454447
"""``MEDG``: marks the file as ours, so that another program's database is never written to."""

SCHEMA_VERSION = 1

LOCK_TIMEOUT_S = 2.0
LOCK_POLL_S = 0.01
"""A process killed while it started a child leaves the lock to that child until its ``exec``:
locks belong to open files, and a fork copies them. Measured: up to 30 ms on a machine five times
overloaded; after two seconds it is a process that means to keep the file."""

BUSY_TIMEOUT_MS = 5_000
"""Readers (export, status) may hold the file this long before a commit gives up."""

CHECKED_BYTES_MAX = 256 << 20
"""Larger stores are not read whole at their opening: 1.3 to 1.8 ms for each MiB
(benchmarks/results/status.jsonl)."""

DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""Primary result codes, the low eight bits of what SQLite says (https://www.sqlite.org/rescode.html)."""

ROOM_BYTES_MIN = 64 << 10
"""Two steps of the index beside the write-ahead log (https://www.sqlite.org/walformat.html)."""

_UPSERT = "INSERT INTO row (bucket, key, value) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"  # noqa: E501
_DELETE = "DELETE FROM row WHERE bucket = ? AND key = ?"


class SqliteStore:
    """Rows by (bucket, key); one process writes, others may read."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or create the file.

        Args:
            path: The database file; beside it stand its ``-wal``, ``-shm`` and ``.lock``.
            read_only: For readers in other processes; ``commit`` is then an error.

        Raises:
            UsageError: Another process writes it, or it cannot be opened.
            CorruptState: It is not ours, of another version, or damaged.
        """
        self._path = path
        self._lock = None if read_only else _take_lock(path)
        try:
            self._connection = _connect(path, read_only=read_only)
            self._reader = _connect(path, read_only=True)
        except MutualEdgeError:
            self._release()
            raise

    def commit(self, writes: Iterable[Write]) -> None:
        """Make all of these rows durable, or none.

        Raises:
            UsageError: The disk is full (``ResourceMissing``) or read-only; nothing was written.
            CorruptState: The file is damaged; stop and restore it.
        """
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                for write in writes:
                    if write.value is None:
                        self._connection.execute(_DELETE, (write.bucket, write.key))
                    else:
                        self._connection.execute(_UPSERT, (write.bucket, write.key, write.value))
        except sqlite3.DatabaseError as error:
            raise _translated(self._path, error) from error

    def get(self, bucket: str, key: str) -> bytes | None:
        """Return one row's value."""
        query = "SELECT value FROM row WHERE bucket = ? AND key = ?"
        with self._reading():
            found: tuple[bytes] | None = self._reader.execute(query, (bucket, key)).fetchone()
        return found[0] if found else None

    def scan(self, bucket: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        """Yield (key, value) in key order, of keys that begin with ``prefix``."""
        query = "SELECT key, value FROM row WHERE bucket = ? AND key >= ? AND key < ? ORDER BY key"
        with self._reading():
            yield from self._reader.execute(query, (bucket, prefix, prefix + "\U0010ffff"))

    def last_key(self, bucket: str) -> str | None:
        """Return the greatest key."""
        query = "SELECT max(key) FROM row WHERE bucket = ?"
        with self._reading():
            found: tuple[str | None] = self._reader.execute(query, (bucket,)).fetchone()
        return found[0]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise _translated(self._path, error) from error

    def close(self) -> None:
        """Let others write the file."""
        self._reader.close()
        self._connection.close()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Self:
        """Return itself, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()


def _take_lock(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(path.suffix + ".lock").open("wb")
    except OSError as error:
        sentence = f"{path} cannot be opened ({error.strerror}); check the folder's permissions."
        raise UsageError("store.file.unusable", sentence) from error
    until_s = time.monotonic() + LOCK_TIMEOUT_S
    while not _is_locked_now(lock):
        if time.monotonic() >= until_s:
            lock.close()
            sentence = f"Another process has {path} open; stop it, or use another data folder."
            raise ResourceMissing("store.file.in-use", sentence)
        time.sleep(LOCK_POLL_S)
    return lock


def _is_locked_now(lock: IO[bytes]) -> bool:
    """Take the lock if nobody holds it.

    Raises:
        UsageError: The file system knows no locks.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        lock.close()
        sentence = f"{lock.name} cannot be locked ({error.strerror}); use a folder on a local disk."
        raise UsageError("store.file.unusable", sentence) from error
    return True


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    mode = "ro" if read_only else "rwc"
    connection = None
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_MS / 1000,
        )
        _prepare(path, connection, read_only=read_only)
    except (sqlite3.DatabaseError, CorruptState) as error:
        if connection is not None:
            connection.close()
        if isinstance(error, CorruptState):
            raise
        raise _translated(path, error) from error
    return connection


def _prepare(path: Path, connection: sqlite3.Connection, *, read_only: bool) -> None:
    """Verify that the file is ours; make its table if it is new."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and (application_id, version) != (APPLICATION_ID, SCHEMA_VERSION):
        sentence = (
            f"{path} is not a Mutual Edge store of version {SCHEMA_VERSION} (it says version "
            f"{version}); use the release that wrote it or restore a backup."
        )
        raise CorruptState("store.file.foreign", sentence)
    if read_only:
        return
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if not tables:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute(
            "CREATE TABLE row (bucket TEXT, key TEXT, value BLOB NOT NULL, "
            "PRIMARY KEY (bucket, key)) WITHOUT ROWID"
        )
    elif path.stat().st_size <= CHECKED_BYTES_MAX:
        _verify_sound(path, connection)


def _translated(path: Path, error: sqlite3.DatabaseError) -> UsageError | CorruptState:
    if error.sqlite_errorcode & 0xFF in DAMAGE:
        sentence = f"{path} is damaged ({error}); stop, and restore it from its backup."
        return CorruptState("store.file.damaged", sentence)
    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL or _has_no_room(path):
        return disk_full(path)
    sentence = f"{path} cannot be used ({error}); check disk space and permissions."
    return UsageError("store.file.unusable", sentence)


def _has_no_room(path: Path) -> bool:
    """Tell whether the disk is why: a side file that cannot grow is an I/O error to SQLite."""
    return path.parent.is_dir() and shutil.disk_usage(path.parent).free < ROOM_BYTES_MIN


def store_problem(path: Path) -> str:
    """Return what is wrong with a store that a process may have open, empty if nothing."""
    try:
        connection = _connect(path, read_only=True)
    except MutualEdgeError as error:
        return error.sentence
    try:
        _verify_sound(path, connection)
    except MutualEdgeError as error:
        return error.sentence
    finally:
        connection.close()
    return ""


def _verify_sound(path: Path, connection: sqlite3.Connection) -> None:
    """Read every page once (https://www.sqlite.org/pragma.html#pragma_quick_check).

    Raises:
        CorruptState: One is damaged, or the file ends within a page.
    """
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    except sqlite3.DatabaseError as error:
        raise _translated(path, error) from error
    wal = path.with_name(f"{path.name}-wal")
    # What the write-ahead log holds replaces pages that a loss of power left half written.
    is_whole = path.stat().st_size % page_bytes == 0 or (wal.exists() and wal.stat().st_size > 0)
    if found != "ok" or not is_whole:
        what = found if found != "ok" else "it ends within a page"
        sentence = f"{path} is damaged ({what}); stop, and restore it from its backup."
        raise CorruptState("store.file.damaged", sentence)
