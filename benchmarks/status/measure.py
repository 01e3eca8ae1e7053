"""One look and one write of ``status.json`` in processor time, and the check of a store."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.lines import Metric, Target, timed
from mutualedge.adapters.sqlite import SqliteStore, store_problem
from mutualedge.app.status import StatusWriter
from mutualedge.model import EnterpriseId
from mutualedge.protocol import Write
from tests.unit.node_world import FORGE, World, open_world

LOOKS = 2_000
CHECKS = 9
ROW_BYTES, ROWS = 800, 100_000
MIB = 1 << 20

SECOND_SHARE = Target(quantity="p99", at_most=2_000.0)
"""0.2 % of the second in which it happens once."""


def run() -> list[Metric]:
    """Return the cost of a status, while calls are unsigned, and of checking a store."""
    world = open_world()
    for number in (1, 2):
        world.read(number)
    with tempfile.TemporaryDirectory() as folder:
        return [*_status(world, Path(folder)), _check(Path(folder) / "store.sqlite3")]


def _status(world: World, folder: Path) -> list[Metric]:
    node = world.forge.node
    writer = StatusWriter(folder, "node", EnterpriseId(FORGE), time.time_ns)

    def look() -> None:
        node.snapshot(world.now_ns)

    def write() -> None:
        status = writer._looked(node.snapshot(world.now_ns), "nats://127.0.0.1:4222", 0)  # noqa: SLF001
        writer._write(status, time.time_ns())  # noqa: SLF001 - without the second between two

    for began_ns in range(LOOKS):
        writer.answers.add_since(began_ns)
    return [
        timed("a look at a node that lends, processor time", _times_ns(look, LOOKS)),
        timed(
            "a status written, look included, processor time",
            _times_ns(write, LOOKS),
            targets=(SECOND_SHARE,),
        ),
    ]


def _times_ns(action: Callable[[], None], count: int) -> list[int]:
    times_ns = []
    for _ in range(count):
        began_ns = time.thread_time_ns()
        action()
        times_ns.append(time.thread_time_ns() - began_ns)
    return times_ns


def _check(path: Path) -> Metric:
    """Return what reading a warm store costs for each MiB of it."""
    with SqliteStore(path) as store:
        store.commit(
            Write(bucket="record", key=f"{number:08d}", value=os.urandom(ROW_BYTES))
            for number in range(ROWS)
        )
    size_mib = path.stat().st_size / MIB
    times_ns = []
    for _ in range(CHECKS):
        began_ns = time.perf_counter_ns()
        assert not store_problem(path)
        times_ns.append(round((time.perf_counter_ns() - began_ns) / size_mib))
    return timed("a store checked at its opening, for each MiB", times_ns)
