import fcntl
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.e2e.command_line import mutualedge

TOLD_FILE = "told.json"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What `mutualedge demo --json` printed, and how it ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDemo:
    """One rehearsal and the folder it kept."""

    told: Told
    folder: Path

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle.jsonl"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> KeptDemo:
    """Run the rehearsal once for all tests, whichever of the test processes comes first."""
    base = tmp_path_factory.getbasetemp()
    # Workers of one run share the folder above theirs; a run without workers has none to share.
    shared = (base.parent if worker_id != "master" else base) / "mutualedge-demo"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / TOLD_FILE).exists():
            ended = mutualedge("demo", "--json", "--keep", shared / "kept")
            told = Told(status=ended.status, out=ended.out, err=ended.err)
            (shared / TOLD_FILE).write_bytes(msgspec.json.encode(told))
    told = msgspec.json.decode((shared / TOLD_FILE).read_bytes(), type=Told)
    return KeptDemo(told=told, folder=shared / "kept")
