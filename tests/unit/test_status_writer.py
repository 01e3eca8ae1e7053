import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mutualedge.adapters.linux import start_ticks
from mutualedge.app import status as status_module
from mutualedge.app.status import STATUS_FILE, ProcessStatus, StatusWriter, read_status
from mutualedge.model import NS_PER_MS, EnterpriseId
from mutualedge.node import NodeSnapshot
from mutualedge.protocol import Note
from tests.unit.status_samples import NOW_NS, node_snapshot

ROUNDS = 20
SEVERAL = 3
"""Writes that a busy machine manages in so many rounds."""

EVERY_NS = 2 * NS_PER_MS


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look five hundred times a second instead of once."""
    monkeypatch.setattr(status_module, "EVERY_NS", EVERY_NS)


def writer(folder: Path, clock_ns: Callable[[], int] = lambda: NOW_NS) -> StatusWriter:
    return StatusWriter(folder, "node", EnterpriseId("candy"), clock_ns)


def run(keeping: StatusWriter, look: Callable[[], NodeSnapshot], folder: Path) -> list[int]:
    """Let it write for some rounds; return the file's identity after each: replaced is new."""

    async def watch() -> list[int]:
        task = asyncio.create_task(keeping.run(look, "nats://here"))
        seen = []
        for _ in range(ROUNDS):
            await asyncio.sleep(2 * EVERY_NS / 1e9)
            path = folder / STATUS_FILE
            seen.append(path.stat().st_mtime_ns if path.exists() else 0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return seen

    with keeping:
        return asyncio.run(watch())


def node_of(view: NodeSnapshot) -> NodeSnapshot:
    return view


def told(folder: Path) -> ProcessStatus:
    found = read_status(folder)
    assert found is not None
    return found


def test_a_process_says_who_it_is_and_what_it_holds(tmp_path: Path) -> None:
    """For its owner only; ended, it says that too."""
    view = node_snapshot()
    run(writer(tmp_path), lambda: view, tmp_path)
    said = told(tmp_path)
    assert (said.pid, said.start_ticks) == (os.getpid(), start_ticks(os.getpid()))
    assert (said.node, said.hub, said.client_url) == (view, None, "nats://here")
    assert said.is_stopped
    assert (tmp_path / STATUS_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [STATUS_FILE]


def test_a_process_that_never_ran_says_nothing(tmp_path: Path) -> None:
    """It failed before it answered: what an earlier one said stays."""
    (tmp_path / STATUS_FILE).write_text("before", "utf-8")
    with writer(tmp_path):
        assert (tmp_path / STATUS_FILE).read_text("utf-8") == "before"
    assert (tmp_path / STATUS_FILE).read_text("utf-8") == "before"


def test_a_core_made_anew_goes_on_under_the_same_status(tmp_path: Path) -> None:
    """Between two cores the process has not stopped."""
    keeping, first, second = writer(tmp_path), node_snapshot(served=1), node_snapshot(served=2)

    async def run_twice() -> list[bool]:
        stopped = []
        for view in (first, second):
            task = asyncio.create_task(keeping.run(partial(node_of, view), "nats://here"))
            await asyncio.sleep(10 * EVERY_NS / 1e9)
            task.cancel()
            await asyncio.wait([task])
            stopped.append(told(tmp_path).is_stopped)
        return stopped

    with keeping:
        assert asyncio.run(run_twice()) == [False, False]
    assert told(tmp_path).is_stopped
    assert told(tmp_path).node == second


def test_nothing_new_is_not_written_again(tmp_path: Path) -> None:
    """While the clock stands, an unchanged view costs no write."""
    view = node_snapshot()
    seen = run(writer(tmp_path), lambda: view, tmp_path)
    assert len(set(seen[1:])) == 1


def test_something_new_is_written_at_the_next_look(tmp_path: Path) -> None:
    """Each change replaces the file."""
    views = iter([node_snapshot(served=number) for number in range(10 * ROUNDS)])
    seen = run(writer(tmp_path), lambda: next(views), tmp_path)
    assert len(set(seen)) > SEVERAL
    assert told(tmp_path).node is not None


def test_silence_is_broken_after_some_seconds(tmp_path: Path) -> None:
    """Even with nothing new, so that a reader can tell a process that hangs."""
    ticks = iter(range(NOW_NS, NOW_NS + 10**15, status_module.AT_LEAST_EVERY_NS))
    view = node_snapshot()
    seen = run(writer(tmp_path, lambda: next(ticks)), lambda: view, tmp_path)
    assert len(set(seen)) > SEVERAL


def test_what_is_noted_of_the_runner_is_remembered(tmp_path: Path) -> None:
    """Its walls and its timing, whatever else is noted, which goes on unchanged."""
    keeping, passed = writer(tmp_path), list[Note]()
    note = keeping.listening(passed.append)
    spawned = Note(name="runner.spawned", fields=(("layers", "wasm"), ("timing", "best-effort")))
    for each in (spawned, Note(name="hub.busy", fields=(("waiting", 1),))):
        note(each)
    run(keeping, node_snapshot, tmp_path)
    assert told(tmp_path).runner == {"layers": "wasm", "timing": "best-effort"}
    assert [each.name for each in passed] == ["runner.spawned", "hub.busy"]


def test_a_status_that_cannot_be_written_ends_no_process(tmp_path: Path) -> None:
    """The folder is gone: it turns stale for readers, and the process goes on."""
    folder = tmp_path / "gone"
    folder.mkdir()
    keeping = writer(folder)
    folder.rmdir()
    assert set(run(keeping, node_snapshot, folder)) == {0}
