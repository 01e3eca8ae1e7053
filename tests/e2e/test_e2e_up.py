"""A consortium that is kept running: started, struck, seen to recover, stopped."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from mutualedge.adapters.linux import is_locked, start_ticks
from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.devices import connect_device
from mutualedge.app.files import PROCESS_FILE, STORE_FILE, NodeFile, read_process_file
from mutualedge.app.founding import HUB, free_ports
from mutualedge.app.operation.queries import (
    SUPERVISOR_LOCK,
    ConsortiumView,
    ProcessState,
    ProcessView,
    gather,
    process_folders,
)
from mutualedge.app.operation.switch import START_TIMEOUT_S
from mutualedge.app.options import HubOptions
from mutualedge.app.plant import CANDY, LOGISTICS, found_plant
from mutualedge.app.settings import read_options
from mutualedge.meter import RecordBatch
from mutualedge.model import DeviceId
from mutualedge.node.leases import METER, RECORD, MeterRow, RecordRow
from mutualedge.signing import parse_canonical
from tests.e2e.command_line import mutualedge
from tests.e2e.plant import descendants

pytestmark = pytest.mark.e2e

PATIENCE_S = 60.0
POLL_S = 0.05
NAMES = (HUB, CANDY, LOGISTICS)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A place for a consortium; whatever supervises one there at the end is killed."""
    where = tmp_path / "plant"
    yield where
    if where.exists() and is_locked(where / SUPERVISOR_LOCK):
        os.kill(supervisor_of(where), signal.SIGKILL)


def look(folder: Path) -> ConsortiumView:
    return gather(folder, time.time_ns())


def process_of(folder: Path, name: str) -> ProcessView:
    return next(each for each in look(folder).processes if each.name == name)


def pid_of(folder: Path, name: str) -> int:
    said = process_of(folder, name).said
    assert said is not None
    return said.pid


def supervisor_of(folder: Path) -> int:
    supervisor = look(folder).supervisor
    assert supervisor is not None
    return supervisor.pid


def until(holds: Callable[[], bool]) -> None:
    """Return once something holds; fail if it does not in time."""
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(POLL_S)


def is_ready(folder: Path, name: str) -> bool:
    process = process_of(folder, name)
    node = process.said.node if process.said is not None else None
    return process.is_well and (node is None or node.is_runner_ready)


def score(folder: Path) -> str:
    """Have candy score a reading and return where that was done."""

    async def ask() -> str:
        told = read_process_file(folder / CANDY, NodeFile)
        said = process_of(folder, CANDY).said
        assert said is not None
        async with await connect_device(said.client_url, told.device_password) as client:
            scored = await client.score(DeviceId("press"), [1.0, 2.0], deadline_s=1.0)
        return scored.placed

    return asyncio.run(ask())


def test_a_consortium_survives_whatever_is_killed(folder: Path) -> None:
    """Each process is started again, and all of them after their supervisor was killed.

    A device finds its node under one address, and readings are scored before and after.
    """
    up = mutualedge("up", "--new", folder)
    assert (up.status, up.err) == (0, "")
    assert "candy: devices connect to nats://" in up.out
    assert mutualedge("status", folder).status == 0
    assert score(folder) in {CANDY, LOGISTICS}
    address = process_of(folder, CANDY).said

    for name in NAMES:
        before = pid_of(folder, name)
        os.kill(before, signal.SIGKILL)
        until(lambda name=name, before=before: is_other(folder, name, before))  # type: ignore[misc]
        child = process_of(folder, name).child
        assert child is not None
        assert (child.starts, child.is_given_up) == (2, False)
    assert score(folder) in {CANDY, LOGISTICS}

    supervisor = supervisor_of(folder)
    below = [process_id for process_id, _ in descendants(supervisor)]
    assert len(below) >= 2 * len(NAMES)
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: all(start_ticks(process_id) is None for process_id in below))
    until(lambda: states(folder) == {ProcessState.KILLED})
    assert mutualedge("status", folder).status == 3

    assert mutualedge("up", folder).status == 0
    assert score(folder) in {CANDY, LOGISTICS}
    again = process_of(folder, CANDY).said
    assert address is not None
    assert again is not None
    assert again.client_url == address.client_url
    assert mutualedge("down", folder).status == 0
    assert states(folder) == {ProcessState.STOPPED}


def states(folder: Path) -> set[ProcessState]:
    return {process.state for process in look(folder).processes}


def is_other(folder: Path, name: str, before: int) -> bool:
    return is_ready(folder, name) and pid_of(folder, name) != before


def test_up_and_down_can_be_said_twice(folder: Path) -> None:
    """The second time nothing is to be done, and that is no error; logs and doctor agree."""
    assert mutualedge("up", "--new", folder).status == 0
    supervisor = supervisor_of(folder)
    twice = mutualedge("up", folder)
    assert (twice.status, supervisor_of(folder)) == (0, supervisor)
    assert "runs already" in twice.out
    assert mutualedge("up", "--new", folder).code == "app.consortium.exists"

    told = mutualedge("logs", folder, "--of", "supervisor", "--json").out.splitlines()
    events = [msgspec.json.decode(line, type=dict[str, str | int])["event"] for line in told]
    assert events == ["supervisor.started", *["process.started"] * len(NAMES)]
    until(lambda: "candy has an encrypted session" in mutualedge("logs", folder).out)
    examined = mutualedge("doctor", folder)
    assert (examined.status, examined.out.count(": It runs")) == (0, len(NAMES)), examined.out

    assert mutualedge("down", folder).status == 0
    down = mutualedge("down", folder)
    assert (down.status, "Nothing of" in down.out) == (0, True)
    assert mutualedge("logs", folder, "--of", "nobody").code == "app.process.unknown"


def test_in_the_foreground_it_ends_everything_when_told(folder: Path) -> None:
    """As systemd runs it: one process to signal, which ends in order after its children."""
    command = [sys.executable, "-m", "mutualedge", "up", "--new", "--foreground", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as supervising:
        until(lambda: bool(process_folders(folder)))
        until(lambda: all(is_ready(folder, name) for name in NAMES))
        second = mutualedge("up", "--foreground", folder)
        assert (second.status, second.code) == (64, "app.operation.supervisor.running")
        supervising.terminate()
        out, err = supervising.communicate(timeout=PATIENCE_S)
    assert (supervising.returncode, err) == (0, b"")
    assert b"supervisor.stopped" in out
    assert states(folder) == {ProcessState.STOPPED}


def test_a_process_that_cannot_start_is_given_up_and_the_others_run(folder: Path) -> None:
    """Its sentence is shown; a reading is scored without it. A damaged store is never replaced."""
    assert mutualedge("up", "--new", folder).status == 0
    assert mutualedge("down", folder).status == 0
    told = folder / LOGISTICS / PROCESS_FILE
    whole = told.read_bytes()
    told.write_bytes(whole[: len(whole) // 2])

    up = mutualedge("up", folder)
    assert up.status == 3
    assert "logistics: not started again" in up.out
    assert "app.file.malformed" in up.out
    assert mutualedge("status", folder).status == 3
    assert score(folder) == CANDY
    assert "truncated" in mutualedge("doctor", folder).out
    assert mutualedge("down", folder).status == 0

    told.write_bytes(whole)
    store = folder / LOGISTICS / STORE_FILE
    store.write_bytes(store.read_bytes()[:10_000])
    ended = mutualedge("node", folder / LOGISTICS)
    assert (ended.status, ended.code) == (70, "store.file.damaged")
    up = mutualedge("up", folder)
    assert (up.status, "logistics: " in up.out, "store.file.damaged" in up.out) == (3, True, True)
    assert mutualedge("down", folder).status == 0
    assert mutualedge("doctor", folder).status == 1
    store.unlink()
    assert mutualedge("node", folder / LOGISTICS).code == "store.file.lost"


def test_no_consortium_is_no_status(folder: Path) -> None:
    """Each command that reads says what to do first."""
    for command in ("status", "down", "logs"):
        ended = mutualedge(command, folder)
        assert (ended.status, ended.code) == (64, "app.consortium.absent")
    mistyped = mutualedge("up", folder)
    assert (mistyped.status, mistyped.code) == (64, "app.consortium.absent")
    assert f"mutualedge up --new {folder}" in mistyped.err
    assert not folder.exists()
    examined = mutualedge("doctor", folder)  # a mistyped name is not sound
    assert (examined.status, "None is in" in examined.out) == (1, True)


def test_up_touches_no_folder_of_others(folder: Path) -> None:
    """Where something else lies, nothing is founded and nothing is left behind."""
    folder.mkdir()
    (folder / "invoices.txt").write_text("mine", "utf-8")
    ended = mutualedge("up", "--new", folder)
    assert (ended.status, ended.err.split("[")[-1]) == (64, "app.consortium.unfounded]\n")
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert [path.name for path in folder.iterdir()] == ["invoices.txt"]


def test_a_taken_port_is_said_at_once_and_can_be_changed(folder: Path) -> None:
    """Not after a minute of waiting for nodes that wait for the hub; then another port is told."""
    found_plant(folder)
    options = read_options(folder / HUB, HubOptions)
    with socket.create_server((options.network.leaf_host, options.network.leaf_port)):
        began_s = time.monotonic()
        up = mutualedge("up", folder)
        assert (up.status, "nats.server.port-taken" in up.out) == (3, True), up
        assert time.monotonic() - began_s < START_TIMEOUT_S / 2
        assert mutualedge("down", folder).status == 0
        (port,) = free_ports(options.network.leaf_host, [0])
        for name, setting in ((HUB, "leaf_port"), (CANDY, "hub_port"), (LOGISTICS, "hub_port")):
            told = f"network.{setting}={port}"
            assert mutualedge("config", "set", folder / name, told).status == 0
        assert mutualedge("up", folder).status == 0
    assert mutualedge("down", folder).status == 0


def test_down_leaves_nothing_unsigned(folder: Path) -> None:
    """Who is stopped in order right after a peak is paid for all of it: its runner signed."""
    assert mutualedge("up", "--new", folder).status == 0
    own = folder / CANDY
    until(lambda: "candy has an encrypted session" in mutualedge("logs", folder).out)
    peak = ("20", "--at-once", "40", "--deadline-ms", "200")
    until(lambda: "scored by logistics" in mutualedge("score", own, *peak).out)
    assert mutualedge("down", folder).status == 0
    with SqliteStore(folder / LOGISTICS / STORE_FILE, read_only=True) as store:
        served = [
            msgspec.msgpack.decode(raw, type=RecordRow).usage for _, raw in store.scan(RECORD)
        ]
        meters = [msgspec.msgpack.decode(raw, type=MeterRow) for _, raw in store.scan(METER)]
    batches = [parse_canonical(row.batch.payload, RecordBatch) for row in meters if row.batch]
    assert len(served) > 0
    assert sum(batch.through_seq for batch in batches) == len(served)
