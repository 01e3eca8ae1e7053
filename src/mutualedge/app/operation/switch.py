"""Switches a local consortium on and off, and says what it waits for meanwhile."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mutualedge.adapters.linux import is_locked, send_signal
from mutualedge.app.membership.joining import JOINING_FILE
from mutualedge.app.operation.queries import (
    SUPERVISOR_LOCK,
    ConsortiumView,
    ProcessState,
    ProcessView,
    gather,
    process_folders,
)
from mutualedge.app.operation.status_text import concerns
from mutualedge.app.operation.supervisor import supervise
from mutualedge.app.plant import found_plant
from mutualedge.app.processes import run_until_told
from mutualedge.app.settings import default_folder
from mutualedge.app.terminal import tell
from mutualedge.errors import UsageError
from mutualedge.node import NodeSnapshot

OUTPUT_FILE = "supervisor.out"
"""What a supervisor in the background prints: its events, and why it would not start."""

START_TIMEOUT_S = 60.0
"""A consortium answers within three seconds; on a machine that is busy, within twenty."""

STOP_TIMEOUT_S = 30.0
"""Processes have ten seconds to end in order and are killed then."""

SUPERVISOR_TIMEOUT_S = 2.0
POLL_S = 0.1
SAY_EVERY_S = 5.0

FAILURES_MAX = 3
"""A process that ended so often is not waited for; its supervisor goes on trying."""

EXIT_WELL, EXIT_NOT_WELL = 0, 3

Say = Callable[[str], None]


def bring_up(folder: Path | None, *, new: bool, foreground: bool) -> int:
    """Have the consortium of a folder run; found it first if that is asked for.

    Args:
        folder: Its folder; the user's own local one if not named, which is founded where absent.
        new: Found a local one in the folder that is named.
        foreground: Supervise in this process until told to stop, as systemd wants it.

    Returns:
        0 once everything answers, 3 if something was given up or did not answer in time.

    Raises:
        UsageError: The folder cannot be used, or the supervisor did not start.
    """
    where = (folder or default_folder()).absolute()
    if not process_folders(where):
        _verify_meant(where, new=new or folder is None)
        tell(f"A local consortium is founded in {where}: 'candy' and 'logistics'.")
        found_plant(where)
    elif new:
        sentence = f"A consortium is in {where} already; start it without --new."
        raise UsageError("app.consortium.exists", sentence)
    if foreground:
        run_until_told(partial(supervise, where))
        return EXIT_WELL
    if is_locked(where / SUPERVISOR_LOCK):
        tell(f"The consortium in {where} runs already.")
        return _wait_up(where, None)
    return _wait_up(where, _start_supervisor(where))


def _verify_meant(folder: Path, *, new: bool) -> None:
    """Refuse to found where somebody joins, or where a name may only be mistyped."""
    if any(folder.glob(f"*/{JOINING_FILE}")):
        sentence = f"Who joins in {folder} is no member yet; go on with 'mutualedge join'."
        raise UsageError("app.consortium.joining", sentence)
    if not new:
        sentence = (
            f"No consortium is in {folder}; is the name right? To found a local one there: "
            f"'mutualedge up --new {folder}'."
        )
        raise UsageError("app.consortium.absent", sentence)


def _start_supervisor(folder: Path) -> subprocess.Popen[bytes]:
    """Start a supervisor that outlives this command and its terminal."""
    with (folder / OUTPUT_FILE).open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - our own program, and a folder the user named
            [sys.executable, "-m", "mutualedge", "up", str(folder), "--foreground"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )


def _wait_up(folder: Path, supervisor: subprocess.Popen[bytes] | None) -> int:
    """Return once every process answers, was given up, or the patience is over."""
    for waited_s in _polls(START_TIMEOUT_S):
        view = gather(folder, time.time_ns())
        missing = [_lacks(process) for process in view.processes if not _answers(process)]
        if view.supervisor is not None and (not any(missing) or _is_stuck(view)):
            break
        if supervisor is not None and supervisor.poll() is not None:
            said = (folder / OUTPUT_FILE).read_text("utf-8", errors="replace").strip()
            sentence = f"The supervisor ended: {(said.splitlines() or ['it said nothing'])[-1]}"
            raise UsageError("app.operation.supervisor.ended", sentence)
        if waited_s:
            for_whom = (
                ", ".join(missing) if view.supervisor is not None else "the supervisor starts"
            )
            tell(f"Waiting {waited_s:.0f} s: {for_whom}.")
    return _say_result(gather(folder, time.time_ns()))


def _is_stuck(view: ConsortiumView) -> bool:
    """Tell whether a process keeps ending and all others answer, or wait for that one."""
    others = [process for process in view.processes if not _keeps_ending(process)]
    return len(others) < len(view.processes) and all(process.is_well for process in others)


def _keeps_ending(process: ProcessView) -> bool:
    child = process.child
    return child is not None and (child.is_given_up or child.failures >= FAILURES_MAX)


def _answers(process: ProcessView) -> bool:
    """Tell whether nothing is to be waited for: it answers, or it keeps ending."""
    if _keeps_ending(process):
        return True
    node = process.said.node if process.said is not None else None
    is_ready = node is None or (node.is_runner_ready and _needs_no_hub(node))
    return process.is_well and is_ready


def _needs_no_hub(node: NodeSnapshot) -> bool:
    """Tell whether a node has its hub, or left the consortium and waits for none."""
    return node.hub_since is not None or not node.is_member


def _lacks(process: ProcessView) -> str:
    if not process.is_well:
        return f"{process.name} is {process.state}"
    node = process.said.node if process.said is not None else None
    is_ready = node is not None and node.is_runner_ready
    return f"{process.name} waits for {'the hub' if is_ready else 'its runner'}"


def _say_result(view: ConsortiumView) -> int:
    for process in view.processes:
        said = process.said
        if process.is_well and said is not None and said.node is not None:
            tell(f"{process.name}: devices connect to {said.client_url}")
        for concern in concerns(process):
            tell(concern)
    if all(map(_answers, view.processes)) and view.is_well:
        tell(f"Everything runs in {view.folder}")
        tell(f"Next: mutualedge status {view.folder}")
        return EXIT_WELL
    tell(
        f"Not everything runs; 'mutualedge status {view.folder}' and 'mutualedge logs "
        f"{view.folder}' say more."
    )
    return EXIT_NOT_WELL


def bring_down(folder: Path | None) -> int:
    """Stop every process of a folder, in order, and return 0 once none runs.

    Raises:
        UsageError: There is no consortium, or something did not end in time.
    """
    where = (folder or default_folder()).absolute()
    view = _settled_view(where)
    running = _running(view)
    if view.supervisor is None and not running:
        tell(f"Nothing of {where} runs.")
        return EXIT_WELL
    if view.supervisor is not None:
        told = view.supervisor
        send_signal(told.pid, told.start_ticks, signal.SIGTERM)
    else:
        for process in running:
            if process.said is not None:
                send_signal(process.said.pid, process.said.start_ticks, signal.SIGTERM)
    return _wait_down(where)


def _settled_view(folder: Path) -> ConsortiumView:
    """Return how everything is, once a supervisor that has just begun has said who it is."""
    view = gather(folder, time.time_ns())
    for _ in _polls(SUPERVISOR_TIMEOUT_S):
        if view.supervisor is not None or not is_locked(folder / SUPERVISOR_LOCK):
            break
        view = gather(folder, time.time_ns())
    return view


def _running(view: ConsortiumView) -> list[ProcessView]:
    ended = {ProcessState.STOPPED, ProcessState.KILLED}
    return [process for process in view.processes if process.state not in ended]


def _wait_down(folder: Path) -> int:
    names: list[str] = []
    for waited_s in _polls(STOP_TIMEOUT_S):
        names = [process.name for process in _running(gather(folder, time.time_ns()))]
        if is_locked(folder / SUPERVISOR_LOCK):
            names.append("the supervisor")
        if not names:
            tell(f"Everything in {folder} is stopped; its state is kept.")
            return EXIT_WELL
        if waited_s:
            tell(f"Waiting {waited_s:.0f} s until these have ended: {', '.join(names)}.")
    sentence = f"Still running after {STOP_TIMEOUT_S:.0f} s: {', '.join(names)}; ask again."
    raise UsageError("app.process.unstopped", sentence)


def _polls(timeout_s: float) -> Iterator[float]:
    """Yield every tenth of a second until the time is over: the seconds waited, where due to say.

    Between these it yields 0.
    """
    began_s = said_s = time.monotonic()
    while (now_s := time.monotonic()) < began_s + timeout_s:
        is_due = now_s >= said_s + (1.0 if said_s == began_s else SAY_EVERY_S)
        said_s = now_s if is_due else said_s
        yield now_s - began_s if is_due else 0.0
        time.sleep(POLL_S)
