"""Starts a runner behind every wall this machine offers, or says why there is none."""

import errno
import json
import os
import platform
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import msgspec

from mutualedge.adapters.isolation import confine
from mutualedge.adapters.isolation.process import RunnerProcess, end, tail
from mutualedge.adapters.isolation.report import report_of
from mutualedge.adapters.isolation.sandbox import (
    NOBODY,
    Resources,
    find_bubblewrap,
    private_folder,
    wrapped,
)
from mutualedge.adapters.isolation.seccomp import filter_program
from mutualedge.errors import IsolationFailed

CONFINED_TIMEOUT_MS = 10_000
"""Until the new process says that it is confined; it takes 30 ms on an idle machine."""

ABANDON_POLL_MS = 50
"""How often a start that takes long looks whether anybody still waits for it."""

END_TIMEOUT_S = 1.0
"""A process that closed its end of the pipe without a report has ended but for the noticing."""

STATUS_BYTES_MAX = 4_096
"""The report of the new process is some 400 bytes."""

STARTS_MAX = 3
"""A process killed before it was confined is started again so often, behind the same walls."""

KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Exit statuses of what was killed, or whose only child was; bwrap passes that on."""

EXHAUSTED = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""The machine is full: that says nothing about its walls, so none is given up for it."""

NAMESPACES_ADVICE = (
    "let it make namespaces (sysctl user.max_user_namespaces, AppArmor's profile for bwrap; in a "
    "container CAP_SYS_ADMIN)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What all attempts of one start have in common."""

    argv: Sequence[str]
    inherited_fd: int
    resources: Resources
    confined_timeout_ms: int
    abandoned: threading.Event


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refused:
    """A wall cannot be built here, in the words of who should have built it."""

    words: str


def spawn_runner(
    argv: Sequence[str],
    inherited_fd: int,
    *,
    resources: Resources | None = None,
    bubblewrap: Path | None = None,
    required_layers: Sequence[str] = (),
    confined_timeout_ms: int = CONFINED_TIMEOUT_MS,
    abandoned: threading.Event | None = None,
) -> RunnerProcess:
    """Start a process that shares nothing with this one but a socket.

    It is confined when this returns; until then this blocks. Bubblewrap is used if it works here.
    Where it says that it cannot, the other layers stand and the report says why this one does not.
    That somebody killed it, that it hangs or that the machine is full is no reason to do without:
    a killed start is repeated, the others fail. The process dies with the *thread* that started it
    (PR_SET_PDEATHSIG): a node uses ``RunnerSpawner``, whose thread lives as long as the node.

    Args:
        argv: Program with its full path, and arguments; the number of the descriptor follows.
        inherited_fd: The one descriptor it gets besides a standard error that is a memory file.
        resources: Its limits.
        bubblewrap: Path of ``bwrap``; the installed one by default.
        required_layers: Names that the report must contain.
        confined_timeout_ms: A start that is not confined by then hangs.
        abandoned: Set by another thread that does not wait any more.

    Raises:
        IsolationFailed: The process could not be confined, or lacks a required layer; the code
            says whether the start hung, was killed each time or was refused.
    """
    wanted = _Wanted(
        argv=argv,
        inherited_fd=inherited_fd,
        resources=resources or Resources(),
        confined_timeout_ms=confined_timeout_ms,
        abandoned=abandoned or threading.Event(),
    )
    bubblewrap = bubblewrap or find_bubblewrap()
    absent: dict[str, str] = {}
    if bubblewrap is None:
        absent["bubblewrap"] = "bwrap is not installed; install the package 'bubblewrap'"
    else:
        started = _start_again(wanted, absent, bubblewrap)
        if isinstance(started, RunnerProcess):
            return _with_layers(started, required_layers)
        absent["bubblewrap"] = f"bwrap does not work here: {started.words}; {NAMESPACES_ADVICE}"
    started = _start_again(wanted, absent, None)
    if isinstance(started, RunnerProcess):
        return _with_layers(started, required_layers)
    sentence = f"The runner could not be confined: {started.words}."
    raise IsolationFailed("isolation.start.refused", sentence)


def _with_layers(process: RunnerProcess, required_layers: Sequence[str]) -> RunnerProcess:
    lacking = [name for name in required_layers if name not in process.report.layers]
    if lacking:
        process.stop()
        reasons = {each.name: each.reason for each in process.report.missing}
        why = reasons.get(lacking[0], "this release does not have it")
        sentence = f"The runner's isolation lacks '{lacking[0]}': {why}."
        raise IsolationFailed("isolation.layer.missing", sentence)
    return process


def _start_again(
    wanted: _Wanted, absent: Mapping[str, str], bubblewrap: Path | None
) -> RunnerProcess | _Refused:
    """Return the confined process, or what it said; one that was killed said nothing.

    Raises:
        IsolationFailed: It was killed each time, hangs, or the machine is full.
    """
    for _ in range(STARTS_MAX):
        try:
            started = _start(wanted, absent, bubblewrap)
        except OSError as error:
            if error.errno in EXHAUSTED:
                sentence = f"This machine is too full to start a runner ({error.strerror})."
                raise IsolationFailed("isolation.start.exhausted", sentence) from error
            return _Refused(words=str(error))
        if started is not None:
            return started
    sentence = f"The runner was killed {STARTS_MAX} times while it started; look who does that."
    raise IsolationFailed("isolation.start.killed", sentence)


def _start(
    wanted: _Wanted, absent: Mapping[str, str], bubblewrap: Path | None
) -> RunnerProcess | _Refused | None:
    """Return the confined process, what it said instead of becoming one, or nothing if killed.

    Raises:
        IsolationFailed: It hangs, or nobody waits for it any more.
        OSError: There is no such program, or nothing left to run it with.
    """
    known = dict(absent)
    status_fd, their_status_fd = os.pipe()
    with ExitStack() as unless_started, os.fdopen(status_fd, "rb", 0) as status:
        try:
            words_fd = os.memfd_create("runner-stderr")
            unless_started.callback(os.close, words_fd)
            command = _command(wanted, bubblewrap, their_status_fd, known)
            process = subprocess.Popen(  # noqa: S603 - the program is ours, nothing comes from a peer
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words_fd,
                env={},
                cwd="/",
                pass_fds=(wanted.inherited_fd, their_status_fd),
            )
        finally:
            os.close(their_status_fd)
        unless_started.callback(end, process)
        line = _status_line(status, wanted)
        if line is None:
            return _without_report(process, words_fd)
        unless_started.pop_all()
    facts = msgspec.json.decode(line, type=dict[str, str])
    return RunnerProcess(process, report_of(facts, confine.observed(), known), words_fd)


def _command(
    wanted: _Wanted, bubblewrap: Path | None, status_fd: int, known: dict[str, str]
) -> list[str]:
    """Return the command line of the new process; ``known`` learns which walls it will lack."""
    program = filter_program(platform.machine())
    if program is None:
        known["seccomp"] = f"no list of system calls for '{platform.machine()}' exists"
    user_id = NOBODY if os.geteuid() == 0 else None
    closed = None if bubblewrap else private_folder()
    if user_id is not None and closed is not None:
        reason = f"still root: nobody may not enter {closed}; install where all may read"
        known["unprivileged-user"] = known["no-capabilities"] = reason
        user_id = None
    confinement = {
        "limits": wanted.resources.by_name(),
        "user_id": user_id,
        # Behind bubblewrap the parent is the sandbox's own first process.
        "parent_pid": 0 if bubblewrap else os.getpid(),
        "seccomp": "" if program is None else program.hex(),
        "status_fd": status_fd,
    }
    command = [sys.executable, "-I", "-S", "-B", confine.__file__, json.dumps(confinement)]
    command += [*wanted.argv, str(wanted.inherited_fd)]
    return command if bubblewrap is None else wrapped(bubblewrap, command)


def _status_line(status: FileIO, wanted: _Wanted) -> bytes | None:
    """Return the line a confined process writes before it becomes the runner, if it wrote one.

    Raises:
        IsolationFailed: It says nothing and does not end, or nobody waits for it any more.
    """
    until_s = time.monotonic() + wanted.confined_timeout_ms / 1000
    poll = select.poll()
    poll.register(status, select.POLLIN)
    while not poll.poll(ABANDON_POLL_MS):
        if wanted.abandoned.is_set():
            sentence = "Its node stopped while the runner started."
            raise IsolationFailed("isolation.start.abandoned", sentence)
        if time.monotonic() > until_s:
            raise _hung(f"was not confined within {wanted.confined_timeout_ms} ms")
    line = status.read(STATUS_BYTES_MAX)
    return line if line.endswith(b"\n") else None


def _without_report(process: subprocess.Popen[bytes], words_fd: int) -> _Refused | None:
    """Return what a process said that closed its status unwritten, or nothing if it was killed.

    Raises:
        IsolationFailed: It neither ends nor goes on.
    """
    try:
        status = process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise _hung("closed its status unwritten and did not end") from error
    words = tail(words_fd).strip().splitlines() or [f"exit status {status}"]
    return None if status in KILLED else _Refused(words=words[-1])


def _hung(what: str) -> IsolationFailed:
    sentence = f"The runner's start hangs: it {what}; look at bubblewrap and the machine's load."
    return IsolationFailed("isolation.start.hung", sentence)
