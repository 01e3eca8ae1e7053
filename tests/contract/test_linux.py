"""What we believe of the kernel: who a process is, who dies with whom, whose lock it is."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mutualedge.adapters.linux import (
    is_clock_synchronised,
    is_locked,
    program_version,
    send_signal,
    start_ticks,
    try_bubblewrap,
    try_lock,
    try_real_time,
    try_user_namespace,
)

PATIENCE_S = 10.0

PARENT = """
import subprocess, sys, time
from mutualedge.adapters.linux import die_with_parent
child = subprocess.Popen(["sleep", "60"], preexec_fn=die_with_parent())
print(child.pid, flush=True)
time.sleep(60)
"""

HOLDER = """
import sys, time
from pathlib import Path
from mutualedge.adapters.linux import try_lock
held = try_lock(Path(sys.argv[1]))
print(held is not None, flush=True)
time.sleep(60)
"""


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"])


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def is_gone_in_time(process_id: int) -> bool:
    until_s = time.monotonic() + PATIENCE_S
    while start_ticks(process_id) is not None and time.monotonic() < until_s:
        time.sleep(0.01)
    return start_ticks(process_id) is None


def test_a_process_keeps_its_start() -> None:
    """Two looks see the same; another process started at another time."""
    process = sleeper()
    ticks = start_ticks(process.pid)
    assert ticks == start_ticks(process.pid)
    own = start_ticks(os.getpid())
    end(process)
    assert own is not None
    assert ticks is not None
    assert own < ticks


def test_an_ended_process_has_no_start_even_before_it_is_reaped() -> None:
    """A zombie runs no more."""
    process = sleeper()
    os.kill(process.pid, signal.SIGKILL)
    assert is_gone_in_time(process.pid)
    process.wait()
    assert start_ticks(process.pid) is None


def test_a_child_dies_with_a_killed_parent() -> None:
    """However the parent ends: nothing it could do about it is needed."""
    parent = started(PARENT)
    child_id = int(first_line(parent))
    assert start_ticks(child_id) is not None
    end(parent)
    assert is_gone_in_time(child_id)


def test_a_signal_reaches_only_the_process_that_is_meant() -> None:
    """With another start it is another process, and left alone; one that is gone is said so."""
    process = sleeper()
    ticks = start_ticks(process.pid)
    assert ticks is not None
    assert not send_signal(process.pid, ticks + 1, signal.SIGKILL)
    assert process.poll() is None
    assert send_signal(process.pid, ticks, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not send_signal(process.pid, ticks, signal.SIGKILL)


def test_a_lock_lasts_as_long_as_its_holder(tmp_path: Path) -> None:
    """It is seen from outside, not given twice, and free once its holder was killed."""
    path = tmp_path / "lock"
    assert not is_locked(path)
    holder = started(HOLDER, path)
    assert first_line(holder) == "True"
    assert is_locked(path)
    assert try_lock(path) is None
    end(holder)
    assert not is_locked(path)
    held = try_lock(path)
    assert held is not None
    held.close()


def test_asking_about_a_lock_does_not_keep_it(tmp_path: Path) -> None:
    """Who asks, twice at once even, leaves it free."""
    path = tmp_path / "lock"
    path.touch()
    assert (is_locked(path), is_locked(path)) == (False, False)
    held = try_lock(path)
    assert held is not None
    held.close()


def test_trials_say_what_the_kernel_says(tmp_path: Path) -> None:
    """Each is granted or refused with words; a program that is none is refused."""
    for refusal in (try_real_time(), try_user_namespace()):
        assert refusal is None or len(refusal) > 3
    refused = try_bubblewrap(tmp_path / "bwrap", is_root=False)
    assert refused is not None
    assert "bwrap" in refused
    assert is_clock_synchronised() in {True, False, None}


@pytest.mark.parametrize(
    ("script", "version"),
    [("echo tool: v1.2", "v1.2"), ("exit 1", ""), ("exit 0", "")],
)
def test_a_program_is_asked_for_its_version(tmp_path: Path, script: str, version: str) -> None:
    """One that fails or says nothing has none."""
    path = tmp_path / "program"
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o700)
    assert program_version(path) == version
    assert program_version(tmp_path / "absent") == ""
