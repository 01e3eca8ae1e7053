"""How a consortium on this machine is: gathered from its folder and judged; changes nothing."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from mutualedge.adapters.linux import is_locked, start_ticks
from mutualedge.app.files import PROCESS_FILE, STORE_FILE
from mutualedge.app.status import STATUS_FILE, Kind, ProcessStatus, read_status
from mutualedge.app.whole_founding import is_unfinished
from mutualedge.errors import CorruptState, UsageError
from mutualedge.identity import HUB
from mutualedge.model import NS_PER_MS, UNREADABLE, InstantText

SUPERVISOR_LOCK = "supervisor.lock"
SUPERVISOR_FILE = "supervisor.json"

STALE_AFTER_MS = 15_000
"""Three times as long as a process is silent when nothing changes."""


class ProcessState(StrEnum):
    """What is known of a process without asking it."""

    RUNNING = "running"
    STARTING = "starting"
    STALE = "stale"
    STOPPED = "stopped"
    KILLED = "killed"


class Child(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the supervisor knows of one of its processes.

    Attributes:
        pid: Of the process that runs now; 0 between two.
        starts: How often it was started.
        failures: Ends in a row before it had been stable.
        is_given_up: It is not started again: what it was told cannot be used.
        last_words: Why it ended last time; empty if it never did.
    """

    pid: int = 0
    starts: int = 0
    failures: int = 0
    is_given_up: bool = False
    last_words: str = ""


class SupervisorFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file ``supervisor.json``: who supervises, and what became of each process."""

    pid: int
    start_ticks: int
    started: InstantText
    children: dict[str, Child]


class ProcessView(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the consortium.

    Attributes:
        age_ms: Since it last said something, where it ever did.
        said: What it said last.
        child: What its supervisor knows of it, where one runs.
    """

    name: str
    kind: Kind
    state: ProcessState
    age_ms: int | None
    said: ProcessStatus | None
    child: Child | None

    @property
    def is_well(self) -> bool:
        """Whether it runs and said so lately."""
        return self.state is ProcessState.RUNNING


class ConsortiumView(msgspec.Struct, frozen=True, kw_only=True):
    """Every process of a consortium's folder; ``supervisor`` is the file of one that runs."""

    folder: str
    supervisor: SupervisorFile | None
    processes: tuple[ProcessView, ...]

    @property
    def is_well(self) -> bool:
        """Whether every process runs."""
        return all(process.is_well for process in self.processes)


def gather(folder: Path, now_ns: int) -> ConsortiumView:
    """Return how the processes of a folder are, hub first.

    Raises:
        UsageError: No process of a consortium has its folder there.
    """
    folders = require_processes(folder)
    supervisor = running_supervisor(folder)
    children: Mapping[str, Child] = supervisor.children if supervisor is not None else {}
    return ConsortiumView(
        folder=str(folder),
        supervisor=supervisor,
        processes=tuple(
            _gather_process(name, own, children.get(name), now_ns) for name, own in folders.items()
        ),
    )


def process_folders(folder: Path) -> dict[str, Path]:
    """Return the folder of each process, by name, hub first; none while it is being founded."""
    if is_unfinished(folder):
        return {}
    found = {path.parent.name: path.parent for path in folder.glob(f"*/{PROCESS_FILE}")}
    return {name: found[name] for name in sorted(found, key=lambda name: (name != HUB, name))}


def require_processes(folder: Path) -> dict[str, Path]:
    """Return what ``process_folders`` finds, which is something.

    Raises:
        UsageError: No process of a consortium has its folder there.
    """
    folders = process_folders(folder)
    if not folders:
        sentence = f"No consortium is in {folder}; name its folder, or found one: 'mutualedge up'."
        raise UsageError("app.consortium.absent", sentence)
    return folders


def kind_of(name: str) -> Kind:
    """Return what a process of this name is."""
    return "hub" if name == HUB else "node"


def _gather_process(name: str, own: Path, child: Child | None, now_ns: int) -> ProcessView:
    is_locked_now = is_locked(own / f"{STORE_FILE}.lock")
    try:
        said = read_status(own)
    except CorruptState:
        # Of another release, or half lost with the power: the lock still tells whether it runs.
        state = ProcessState.STALE if is_locked_now else ProcessState.STOPPED
        return ProcessView(
            name=name, kind=kind_of(name), state=state, age_ms=None, said=None, child=child
        )
    age_ms = None if said is None else _file_age_ms(own / STATUS_FILE, now_ns)
    state = judge(
        said,
        age_ms=age_ms or 0,
        ticks=None if said is None else start_ticks(said.pid),
        is_store_locked=is_locked_now,
    )
    if child is not None and child.pid and state in {ProcessState.STOPPED, ProcessState.KILLED}:
        state = ProcessState.STARTING  # it has not come to its store yet
    return ProcessView(
        name=name, kind=kind_of(name), state=state, age_ms=age_ms, said=said, child=child
    )


def _file_age_ms(path: Path, now_ns: int) -> int:
    """Return since when a file is there, by the clock that may have been set meanwhile.

    What the process wrote into it is by a clock of its own, that is never set.
    """
    return max(0, now_ns - path.stat().st_mtime_ns) // NS_PER_MS


def judge(
    said: ProcessStatus | None, *, age_ms: int, ticks: int | None, is_store_locked: bool
) -> ProcessState:
    """Return what a process is at.

    Its number alone proves nothing, another process may have it by now: only together with its
    start is it the one that wrote the file. The lock of its store tells of one that has not
    written yet, and of a boot in between, after which even number and start may be the same.

    Args:
        said: Its last status.
        age_ms: Of that.
        ticks: When the process that has the status's number now started; None if none has it.
        is_store_locked: Some process has the store open.
    """
    if said is None or said.is_stopped:
        return ProcessState.STARTING if is_store_locked else ProcessState.STOPPED
    if not is_store_locked:
        return ProcessState.KILLED
    if ticks != said.start_ticks:
        return ProcessState.STARTING
    return ProcessState.RUNNING if age_ms <= STALE_AFTER_MS else ProcessState.STALE


def running_supervisor(folder: Path) -> SupervisorFile | None:
    """Return the file of the supervisor that runs, None if none does."""
    if not is_locked(folder / SUPERVISOR_LOCK):
        return None
    try:
        raw = (folder / SUPERVISOR_FILE).read_bytes()
        told = msgspec.json.decode(raw, type=SupervisorFile)
    except (FileNotFoundError, *UNREADABLE):
        return None  # it has the lock and is about to write
    return told if start_ticks(told.pid) == told.start_ticks else None


def view_json(view: ConsortiumView) -> bytes:
    """Return everything that is known, as one JSON object."""
    told = msgspec.to_builtins(view)
    return msgspec.json.format(msgspec.json.encode({"is_well": view.is_well, **told}), indent=1)
