"""What every store of rows must do, and what the one on disk must do besides."""

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mutualedge.adapters.sqlite import SqliteStore, store_problem
from mutualedge.app.driver import Store
from mutualedge.errors import CorruptState, MutualEdgeError, ResourceMissing, UsageError
from mutualedge.protocol import Write
from tests.simulation.world_store import MemoryStore

StoreFactory = Callable[[Path], Store]

PAGE_BYTES = 4096


def put(key: str, value: bytes | None, bucket: str = "b") -> Write:
    return Write(bucket=bucket, key=key, value=value)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with SqliteStore(tmp_path / "node.db") as opened:
        yield opened


def test_a_commit_is_seen_whole(store: Store) -> None:
    """Every row of one commit is readable afterwards, in its own bucket."""
    store.commit([put("k", b"1"), put("k", b"2", bucket="other"), put("l", b"3")])
    assert store.get("b", "k") == b"1"
    assert store.get("other", "k") == b"2"
    assert dict(store.scan("b")) == {"k": b"1", "l": b"3"}


def test_an_absent_row_is_nothing(store: Store) -> None:
    """Neither an unknown bucket nor an unknown key is an error."""
    store.commit([put("k", b"1")])
    assert store.get("b", "other") is None
    assert store.get("nowhere", "k") is None
    assert list(store.scan("nowhere")) == []
    assert store.last_key("nowhere") is None


def test_the_last_value_of_a_key_counts(store: Store) -> None:
    """Writing a key again replaces it, across commits and within one."""
    store.commit([put("k", b"1")])
    store.commit([put("k", b"2"), put("k", b"3")])
    assert store.get("b", "k") == b"3"
    assert list(store.scan("b")) == [("k", b"3")]


def test_a_deleted_row_is_gone(store: Store) -> None:
    """None deletes; deleting what is not there changes nothing."""
    store.commit([put("k", b"1"), put("l", b"2")])
    store.commit([put("l", None), put("never", None)])
    assert store.get("b", "l") is None
    assert list(store.scan("b")) == [("k", b"1")]
    assert store.last_key("b") == "k"


def test_an_empty_value_is_a_value(store: Store) -> None:
    """A row without bytes is there; an empty commit changes nothing."""
    store.commit([put("k", b"")])
    store.commit([])
    assert store.get("b", "k") == b""


def test_scan_is_in_key_order(store: Store) -> None:
    """Keys come in the order of their code points, whatever the order of writing."""
    keys = ["b/2", "a", "b/10", "b", "ä", "Z", "b/", "\U0001f600"]
    store.commit([put(key, key.encode()) for key in keys])
    assert [key for key, _ in store.scan("b")] == sorted(keys)
    assert store.last_key("b") == "\U0001f600"


def test_scan_takes_a_prefix_as_it_stands(store: Store) -> None:
    """Only keys that begin with the prefix come; wildcards and neighbours do not count."""
    store.commit([put(key, b"") for key in ("a/1", "a/2", "a", "a0", "b/1", "a%", "a_/1")])
    assert [key for key, _ in store.scan("b", "a/")] == ["a/1", "a/2"]
    assert [key for key, _ in store.scan("b", "a_")] == ["a_/1"]
    assert [key for key, _ in store.scan("b", "%")] == []


def test_values_are_bytes_as_given(store: Store) -> None:
    """Any bytes come back the same, zero bytes and invalid UTF-8 included."""
    value = bytes(range(256)) * 5000
    store.commit([put("k", value)])
    assert store.get("b", "k") == value


def test_rows_survive_reopening(tmp_path: Path) -> None:
    """What was committed is there for the next process, deletions included."""
    with SqliteStore(tmp_path / "node.db") as first:
        first.commit([put("k", b"1"), put("l", b"2")])
        first.commit([put("k", None)])
    with SqliteStore(tmp_path / "node.db") as second:
        assert list(second.scan("b")) == [("l", b"2")]


def test_a_commit_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """When the disk fills up within a commit, none of its rows is there and the error says so."""
    with SqliteStore(tmp_path / "node.db") as store:
        store.commit([put("k", b"1")])
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(ResourceMissing) as refused:
            store.commit([put("k", b"2"), put("large", bytes(1 << 20))])
        assert refused.value.code == "machine.disk.full"
        assert str(tmp_path / "node.db") in refused.value.sentence
        assert list(store.scan("b")) == [("k", b"1")]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """Two processes never write one file; once the first is gone the next may."""
    path = tmp_path / "node.db"
    with SqliteStore(path), pytest.raises(UsageError) as refused:
        SqliteStore(path)
    assert refused.value.code == "store.file.in-use"
    with SqliteStore(path) as next_one:
        next_one.commit([put("k", b"1")])
        assert next_one.get("b", "k") == b"1"


def test_the_lock_of_a_killed_process_is_waited_for(tmp_path: Path) -> None:
    """Its child, not yet become another program, holds a copy for a moment after its death."""
    path = tmp_path / "node.db"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_WHILE_FORKING, path], stdin=subprocess.PIPE
    ) as parent:
        assert parent.stdin is not None
        assert parent.wait(20) == -signal.SIGKILL
        with path.with_suffix(".db.lock").open("wb") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        threading.Timer(CHILD_HOLDS_S, parent.stdin.close).start()
        begun_s = time.monotonic()
        with SqliteStore(path) as next_one:
            assert time.monotonic() - begun_s >= CHILD_HOLDS_S
            assert next_one.get("b", "k") == b"1"


CHILD_HOLDS_S = 0.3
"""A part of the two seconds that a store waits, so that a slow machine changes nothing."""

KILLED_WHILE_FORKING = """
import os, signal, sys
from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.protocol import Write
store = SqliteStore(__import__("pathlib").Path(sys.argv[1]))
store.commit([Write(bucket="b", key="k", value=b"1")])
if os.fork() == 0:
    sys.stdin.read()  # until the test lets go
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_reader_beside_the_writer_sees_commits(tmp_path: Path) -> None:
    """Export and status read while the node writes, and cannot write themselves."""
    with SqliteStore(tmp_path / "node.db") as writer:
        writer.commit([put("k", b"1")])
        with SqliteStore(tmp_path / "node.db", read_only=True) as reader:
            writer.commit([put("k", b"2")])
            assert reader.get("b", "k") == b"2"
            with pytest.raises(UsageError) as refused:
                reader.commit([put("k", b"3")])
        assert refused.value.code == "store.file.unusable"
        assert writer.get("b", "k") == b"2"


def foreign_database(path: Path) -> Path:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE invoices (amount INTEGER)")
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize("read_only", [False, True])
def test_another_programs_database_is_refused(tmp_path: Path, *, read_only: bool) -> None:
    """A SQLite file that is not ours is neither written nor read as if it were."""
    path = foreign_database(tmp_path / "invoices.db")
    with pytest.raises(CorruptState) as refused:
        SqliteStore(path, read_only=read_only)
    assert refused.value.code == "store.file.foreign"
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)
    connection.close()


def test_a_refused_file_is_not_kept_locked(tmp_path: Path) -> None:
    """Whoever was refused a file lets others have it, with its error still at hand."""
    path = foreign_database(tmp_path / "node.db")
    with pytest.raises(CorruptState) as refused:
        SqliteStore(path)
    path.unlink()
    with SqliteStore(path) as store:
        store.commit([put("k", b"1")])
    assert refused.value.code == "store.file.foreign"


def test_another_version_is_refused(tmp_path: Path) -> None:
    """A file that a later release wrote is left alone."""
    path = tmp_path / "node.db"
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(CorruptState) as refused:
        SqliteStore(path)
    assert refused.value.code == "store.file.foreign"
    assert "version 2" in refused.value.sentence


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_of_noise_is_refused(tmp_path: Path, *, read_only: bool) -> None:
    """What is no database at all is called damaged, before anything relies on it."""
    path = tmp_path / "node.db"
    path.write_bytes(b"noise" * 1000)
    with pytest.raises(CorruptState) as refused, SqliteStore(path, read_only=read_only) as store:
        list(store.scan("b"))
    assert refused.value.code == "store.file.damaged"


def test_damaged_pages_are_told_when_read(tmp_path: Path) -> None:
    """Overwritten pages end in our own error, never in rows that are not there."""
    path = tmp_path / "node.db"
    with SqliteStore(path) as store:
        store.commit([put(f"{number:04d}", bytes(200)) for number in range(400)])
    raw = bytearray(path.read_bytes())
    raw[8192:] = b"\xa5" * (len(raw) - 8192)
    path.write_bytes(raw)
    with pytest.raises(CorruptState) as refused, SqliteStore(path) as damaged:
        assert len(dict(damaged.scan("b"))) == 400
    assert refused.value.code == "store.file.damaged"


def written_store(path: Path) -> bytes:
    """Return the bytes of a store of many pages that was closed in order."""
    with SqliteStore(path) as store:
        store.commit([put(f"{number:04d}", os.urandom(900)) for number in range(400)])
    return path.read_bytes()


def test_one_damaged_page_refuses_the_store(tmp_path: Path) -> None:
    """Wherever it lies: a process that starts reads every page before it relies on one."""
    path = tmp_path / "node.db"
    whole = written_store(path)
    pages = len(whole) // PAGE_BYTES
    for page in (0, 1, pages // 2, pages - 1):
        damaged = bytearray(whole)
        damaged[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = os.urandom(PAGE_BYTES)
        path.write_bytes(damaged)
        with pytest.raises(CorruptState) as refused:
            SqliteStore(path)
        assert (page, refused.value.code) == (page, "store.file.damaged")
        assert str(path) in refused.value.sentence
        assert "restore it from its backup" in refused.value.sentence
        assert store_problem(path) == refused.value.sentence


@pytest.mark.parametrize("missing_bytes", [1, 2_000, PAGE_BYTES, 20 * PAGE_BYTES])
def test_a_shortened_file_is_refused(tmp_path: Path, missing_bytes: int) -> None:
    """Whole pages or a part of one: what is missing is noticed at the start."""
    path = tmp_path / "node.db"
    path.write_bytes(written_store(path)[:-missing_bytes])
    with pytest.raises(CorruptState) as refused:
        SqliteStore(path)
    assert refused.value.code == "store.file.damaged"


def test_a_sound_store_has_no_problem_while_it_is_written(tmp_path: Path) -> None:
    """The check reads beside the process that has the store, write-ahead log included."""
    path = tmp_path / "node.db"
    written_store(path)
    with SqliteStore(path) as store:
        store.commit([put("one more", b"1")])
        assert store_problem(path) == ""


def test_a_reader_of_no_file_is_refused(tmp_path: Path) -> None:
    """A reader never creates the file; it says which one is missing."""
    path = tmp_path / "node.db"
    with pytest.raises(UsageError) as refused:
        SqliteStore(path, read_only=True)
    assert refused.value.code == "store.file.unusable"
    assert not path.exists()


def test_an_impossible_folder_is_our_error(tmp_path: Path) -> None:
    """A data folder that is a file ends in a code and a sentence, not in a traceback."""
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises(MutualEdgeError) as refused:
        SqliteStore(tmp_path / "data" / "node.db")
    assert refused.value.code == "store.file.unusable"


def test_a_folder_in_the_files_place_is_our_error(tmp_path: Path) -> None:
    """A folder where the file should be ends in a code and a sentence."""
    (tmp_path / "node.db").mkdir()
    with pytest.raises(UsageError) as refused:
        SqliteStore(tmp_path / "node.db")
    assert refused.value.code == "store.file.unusable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders")
def test_a_read_only_folder_is_our_error(tmp_path: Path) -> None:
    """A data folder that nobody may write to ends in a code and a sentence."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o555)
    with pytest.raises(MutualEdgeError) as refused:
        SqliteStore(tmp_path / "data" / "node.db")
    assert refused.value.code == "store.file.unusable"
