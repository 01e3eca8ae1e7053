import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from mutualedge.adapters.linux import start_ticks
from mutualedge.app.files import STORE_FILE
from mutualedge.app.operation.queries import (
    STALE_AFTER_MS,
    SUPERVISOR_FILE,
    SUPERVISOR_LOCK,
    Child,
    ConsortiumView,
    ProcessState,
    SupervisorFile,
    gather,
    judge,
    running_supervisor,
    view_json,
)
from mutualedge.app.settings import default_folder
from mutualedge.app.status import STATUS_FILE, ProcessStatus, read_status
from mutualedge.errors import CorruptState, UsageError
from mutualedge.model import NS_PER_MS, format_instant
from tests.unit.status_samples import NOW_NS, TICKS, node_snapshot, status, stopped

AGE_MS = STALE_AFTER_MS


def folder_of(tmp_path: Path, name: str = "candy") -> Path:
    own = tmp_path / name
    own.mkdir()
    (own / "process.json").touch()
    return own


@contextmanager
def locked_store(own: Path) -> Iterator[None]:
    with (own / f"{STORE_FILE}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_own_status(own: Path, **changes: object) -> None:
    """Leave the status of the process that runs this test."""
    ticks = start_ticks(os.getpid())
    told = msgspec.structs.replace(status(), pid=os.getpid(), start_ticks=ticks or 0)
    (own / STATUS_FILE).write_bytes(msgspec.json.encode(msgspec.structs.replace(told, **changes)))


@pytest.mark.parametrize(
    ("said", "age_ms", "ticks", "is_locked", "state"),
    [
        (status(), 0, TICKS, True, ProcessState.RUNNING),
        (status(), AGE_MS, TICKS, True, ProcessState.RUNNING),
        (status(), AGE_MS + 1, TICKS, True, ProcessState.STALE),
        (status(), 0, None, False, ProcessState.KILLED),
        (status(), 0, TICKS, False, ProcessState.KILLED),
        (status(), 0, TICKS + 1, False, ProcessState.KILLED),
        (status(), 0, TICKS + 1, True, ProcessState.STARTING),
        (status(), 0, None, True, ProcessState.STARTING),
        (stopped(), 0, None, False, ProcessState.STOPPED),
        (stopped(), 0, TICKS, True, ProcessState.STARTING),
        (None, 0, None, False, ProcessState.STOPPED),
        (None, 0, None, True, ProcessState.STARTING),
    ],
)
def test_a_process_is_judged_by_number_start_and_lock(
    said: ProcessStatus | None,
    age_ms: int,
    ticks: int | None,
    state: ProcessState,
    *,
    is_locked: bool,
) -> None:
    """A number used again by another process never passes for ours; the lock tells the rest."""
    found = judge(said, age_ms=age_ms, ticks=ticks, is_store_locked=is_locked)
    assert found is state


def test_a_running_process_is_found_running(tmp_path: Path) -> None:
    """With real files, a real process and its real start."""
    own = folder_of(tmp_path)
    write_own_status(own)
    with locked_store(own):
        (process,) = gather(tmp_path, time.time_ns()).processes
    assert process.state is ProcessState.RUNNING
    assert process.is_well


def test_silence_is_measured_by_the_file(tmp_path: Path) -> None:
    """A process that said nothing for longer than three silences is stale, clock set or not."""
    own = folder_of(tmp_path)
    write_own_status(own, written=format_instant(0))
    now_ns = (own / STATUS_FILE).stat().st_mtime_ns
    with locked_store(own):
        (fresh,) = gather(tmp_path, now_ns).processes
        (old,) = gather(tmp_path, now_ns + (STALE_AFTER_MS + 1) * NS_PER_MS).processes
    assert (fresh.state, old.state) == (ProcessState.RUNNING, ProcessState.STALE)


def test_the_number_of_another_process_is_not_ours(tmp_path: Path) -> None:
    """The process of that number started at another time: ours was killed."""
    write_own_status(folder_of(tmp_path), start_ticks=1)
    (process,) = gather(tmp_path, time.time_ns()).processes
    assert process.state is ProcessState.KILLED


def test_a_locked_store_without_status_is_starting(tmp_path: Path) -> None:
    """A process that has its store but said nothing yet is on its way."""
    own = folder_of(tmp_path)
    with locked_store(own):
        (process,) = gather(tmp_path, time.time_ns()).processes
    assert process.state is ProcessState.STARTING
    (process,) = gather(tmp_path, time.time_ns()).processes
    assert process.state is ProcessState.STOPPED


def test_a_status_of_another_release_is_not_believed(tmp_path: Path) -> None:
    """Unknown fields are refused by name of the file, and the gathering goes on without."""
    own = folder_of(tmp_path)
    (own / STATUS_FILE).write_text('{"kind":"node"', "utf-8")
    with pytest.raises(CorruptState) as refused:
        read_status(own)
    assert refused.value.code == "app.status.unreadable"
    assert str(own / STATUS_FILE) in refused.value.sentence
    (stopped_process,) = gather(tmp_path, time.time_ns()).processes
    with locked_store(own):
        (running_process,) = gather(tmp_path, time.time_ns()).processes
    assert (stopped_process.state, stopped_process.said) == (ProcessState.STOPPED, None)
    assert (running_process.state, running_process.said) == (ProcessState.STALE, None)


def test_a_folder_without_consortium_is_said_so(tmp_path: Path) -> None:
    """Whoever asks about nothing learns how to found something."""
    with pytest.raises(UsageError) as refused:
        gather(tmp_path, NOW_NS)
    assert refused.value.code == "app.consortium.absent"


def test_the_hub_comes_first(tmp_path: Path) -> None:
    """Everybody else waits for it; members follow in order of their names."""
    for name in ("logistics", "candy", "hub"):
        folder_of(tmp_path, name)
    view = gather(tmp_path, NOW_NS)
    assert [(each.name, each.kind) for each in view.processes] == [
        ("hub", "hub"),
        ("candy", "node"),
        ("logistics", "node"),
    ]
    assert not view.is_well


def supervisor(tmp_path: Path, **changes: object) -> SupervisorFile:
    told = SupervisorFile(
        pid=os.getpid(),
        start_ticks=start_ticks(os.getpid()) or 0,
        started=format_instant(NOW_NS),
        children={"candy": Child(pid=1, starts=2)},
    )
    told = msgspec.structs.replace(told, **changes)
    (tmp_path / SUPERVISOR_FILE).write_bytes(msgspec.json.encode(told))
    return told


def test_a_supervisor_counts_while_it_holds_its_lock(tmp_path: Path) -> None:
    """Its file alone proves nothing: it stays behind when the supervisor is killed."""
    told = supervisor(tmp_path)
    assert running_supervisor(tmp_path) is None
    with (tmp_path / SUPERVISOR_LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert running_supervisor(tmp_path) == told
        supervisor(tmp_path, start_ticks=1)
        assert running_supervisor(tmp_path) is None


def test_a_started_child_is_starting_before_it_holds_its_store(tmp_path: Path) -> None:
    """Its supervisor knows that it runs; nothing else does yet."""
    folder_of(tmp_path)
    supervisor(tmp_path)
    with (tmp_path / SUPERVISOR_LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (process,) = gather(tmp_path, NOW_NS).processes
    assert process.state is ProcessState.STARTING


def test_everything_is_told_as_json(tmp_path: Path) -> None:
    """A program gets the verdict and all that the processes said."""
    own = folder_of(tmp_path)
    (own / STATUS_FILE).write_bytes(msgspec.json.encode(status(node=node_snapshot())))
    raw = view_json(gather(tmp_path, NOW_NS))
    told = msgspec.json.decode(raw, type=ConsortiumView)
    assert b'"is_well": false' in raw
    assert told.processes[0].said == status(node=node_snapshot())


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("/srv/data", "/srv/data/mutualedge/local"),
        ("data", "/home/op/.local/share/mutualedge/local"),
        ("", "/home/op/.local/share/mutualedge/local"),
    ],
)
def test_the_own_folder_follows_the_xdg_rules(
    monkeypatch: pytest.MonkeyPatch, named: str, expected: str
) -> None:
    """An absolute XDG_DATA_HOME counts; a relative or empty one is ignored, as they say."""
    monkeypatch.setenv("HOME", "/home/op")
    monkeypatch.setenv("XDG_DATA_HOME", named)
    assert default_folder() == Path(expected)
