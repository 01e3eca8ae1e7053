"""Starts a runner behind every wall this machine offers and keeps a hand on it."""

import json
import os
import platform
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from mutualedge.adapters.isolation import confine
from mutualedge.adapters.isolation.report import IsolationReport, report_of
from mutualedge.adapters.isolation.sandbox import (
    NOBODY,
    Resources,
    find_bubblewrap,
    private_folder,
    wrapped,
)
from mutualedge.adapters.isolation.seccomp import filter_program
from mutualedge.errors import UsageError

CONFINED_TIMEOUT_MS = 10_000
"""Until the new process says that it is confined; it takes 30 ms on an idle machine."""

END_TIMEOUT_S = 1.0
"""A process that closed its end of the pipe without a report has ended but for the noticing."""

STATUS_BYTES_MAX = 4_096
"""The report of the new process is some 400 bytes."""

LAST_WORDS_BYTES = 4_096
"""What is kept of a runner's standard error: the end of one traceback."""

STARTS_MAX = 3
"""A process killed before it was confined is started again so often, behind the same walls."""

KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Exit statuses of what was killed, or whose only child was; bwrap passes that on."""

STOP_TIMEOUT_S = 5.0
"""Until a killed process is gone; only a dying kernel takes longer."""


class RunnerProcess:
    """A running runner; a context manager that ends it."""

    def __init__(
        self, process: subprocess.Popen[bytes], report: IsolationReport, words_fd: int
    ) -> None:
        """Take a confined process and the file behind its standard error."""
        self._process = process
        self._words_fd: int | None = words_fd
        self._last_words = ""
        self.report = report

    @property
    def pid(self) -> int:
        """Number of the outermost process; killing it ends everything inside."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """How it ended (minus the signal's number, if by one), or nothing while it runs."""
        return self._process.poll()

    @property
    def last_words(self) -> str:
        """The end of what it wrote on standard error."""
        if self._words_fd is not None:
            self._last_words = _tail(self._words_fd)
        return self._last_words

    def stop(self) -> None:
        """End it at once: keys live in its memory only, there is nothing to save."""
        self._process.kill()
        self._process.wait(STOP_TIMEOUT_S)
        if self._words_fd is not None:
            self._last_words = _tail(self._words_fd)
            os.close(self._words_fd)
            self._words_fd = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process, whatever happened."""
        self.stop()


def spawn_runner(
    argv: Sequence[str],
    inherited_fd: int,
    *,
    resources: Resources | None = None,
    bubblewrap: Path | None = None,
    required_layers: Sequence[str] = (),
) -> RunnerProcess:
    """Start a process that shares nothing with this one but a socket.

    It is confined when this returns. Bubblewrap is used if it works here; without it the other
    layers stand and the report says why this one does not. A start that somebody killed is no
    reason to do without: it is repeated. The process dies with the *thread*
    that started it (PR_SET_PDEATHSIG): call this from one that lives as long as the node.

    Args:
        argv: Program with its full path, and arguments; the number of the descriptor follows.
        inherited_fd: The one descriptor it gets besides a standard error that is a memory file.
        resources: Its limits.
        bubblewrap: Path of ``bwrap``; the installed one by default.
        required_layers: Names that the report must contain.

    Raises:
        UsageError: The process could not be confined, or lacks a required layer.
    """
    limits = resources or Resources()
    bubblewrap = bubblewrap or find_bubblewrap()
    absent: dict[str, str] = {}
    if bubblewrap is None:
        absent["bubblewrap"] = "bwrap is not installed; install the package 'bubblewrap'"
    else:
        started = _start_again(argv, inherited_fd, limits, absent, bubblewrap)
        if isinstance(started, RunnerProcess):
            return _with_layers(started, required_layers)
        absent["bubblewrap"] = f"bwrap does not work here: {started}"
    started = _start_again(argv, inherited_fd, limits, absent, None)
    if isinstance(started, RunnerProcess):
        return _with_layers(started, required_layers)
    raise UsageError("isolation.start.failed", f"The runner could not be confined: {started}.")


def _with_layers(process: RunnerProcess, required_layers: Sequence[str]) -> RunnerProcess:
    lacking = [name for name in required_layers if name not in process.report.layers]
    if lacking:
        process.stop()
        reasons = {each.name: each.reason for each in process.report.missing}
        why = reasons.get(lacking[0], "this release does not have it")
        sentence = f"The runner's isolation lacks '{lacking[0]}': {why}."
        raise UsageError("isolation.layer.missing", sentence)
    return process


def _start_again(
    argv: Sequence[str],
    inherited_fd: int,
    limits: Resources,
    absent: Mapping[str, str],
    bubblewrap: Path | None,
) -> RunnerProcess | str:
    """Return the confined process, or what it said; one that was killed said nothing.

    Raises:
        UsageError: It was killed each time.
    """
    for _ in range(STARTS_MAX):
        started = _start(argv, inherited_fd, limits, absent, bubblewrap)
        if started is not None:
            return started
    sentence = f"The runner was killed, or took too long, {STARTS_MAX} times while it started."
    raise UsageError("isolation.start.failed", sentence)


def _start(
    argv: Sequence[str],
    inherited_fd: int,
    limits: Resources,
    absent: Mapping[str, str],
    bubblewrap: Path | None,
) -> RunnerProcess | str | None:
    """Return the confined process, what it said instead of becoming one, or nothing if killed."""
    program = filter_program(platform.machine())
    known = dict(absent)
    if program is None:
        known["seccomp"] = f"no list of system calls for '{platform.machine()}' exists"
    status_fd, their_status_fd = os.pipe()
    words_fd = os.memfd_create("runner-stderr")
    user_id = NOBODY if os.geteuid() == 0 else None
    closed = None if bubblewrap else private_folder()
    if user_id is not None and closed is not None:
        reason = f"still root: nobody may not enter {closed}; install where all may read"
        known["unprivileged-user"] = known["no-capabilities"] = reason
        user_id = None
    confinement = {
        "limits": limits.by_name(),
        "user_id": user_id,
        # Behind bubblewrap the parent is the sandbox's own first process.
        "parent_pid": 0 if bubblewrap else os.getpid(),
        "seccomp": "" if program is None else program.hex(),
        "status_fd": their_status_fd,
    }
    command = [sys.executable, "-I", "-S", "-B", confine.__file__, json.dumps(confinement)]
    command += [*argv, str(inherited_fd)]
    try:
        process = subprocess.Popen(  # noqa: S603 - the program is ours, nothing comes from a peer
            command if bubblewrap is None else wrapped(bubblewrap, command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=words_fd,
            env={},
            cwd="/",
            pass_fds=(inherited_fd, their_status_fd),
        )
    except OSError as error:
        os.close(status_fd)
        os.close(words_fd)
        return str(error)
    finally:
        os.close(their_status_fd)
    line = _status_line(status_fd)
    os.close(status_fd)
    if line is None:
        status = _ended(process)
        words = _tail(words_fd).strip().splitlines() or [f"exit status {status}"]
        os.close(words_fd)
        return None if status in KILLED else words[-1]
    facts = msgspec.json.decode(line, type=dict[str, str])
    return RunnerProcess(process, report_of(facts, confine.observed(), known), words_fd)


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Return how a process ended that is about to, or is killed here because it hangs."""
    try:
        return process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(STOP_TIMEOUT_S)


def _status_line(status_fd: int) -> bytes | None:
    """Return the line that a confined process writes before it becomes the runner."""
    poll = select.poll()
    poll.register(status_fd, select.POLLIN)
    line = os.read(status_fd, STATUS_BYTES_MAX) if poll.poll(CONFINED_TIMEOUT_MS) else b""
    return line if line.endswith(b"\n") else None


def _tail(words_fd: int) -> str:
    length_bytes = os.fstat(words_fd).st_size
    start = max(0, length_bytes - LAST_WORDS_BYTES)
    return os.pread(words_fd, LAST_WORDS_BYTES, start).decode("utf-8", "replace")
