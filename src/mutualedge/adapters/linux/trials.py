"""Rights that are asked for by trying: what the kernel's settings promise it may still refuse."""

import ctypes
import subprocess
import sys
from pathlib import Path

TRIAL_TIMEOUT_S = 5.0

_TIMEX_BYTES = 512
"""More than ``struct timex`` has anywhere; all zero asks and changes nothing (adjtimex(2))."""

_TIME_ERROR = 5
"""What adjtimex(2) returns while the clock is not synchronised."""

_REAL_TIME = """
import os
try:
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
except OSError:
    os.setpriority(os.PRIO_PROCESS, 0, -19)
"""
"""What a runner does (``adapters/isolation/confine.py:prioritise``): either is enough."""

_USER_NAMESPACE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10000000):
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""
"""CLONE_NEWUSER of linux/sched.h."""


def try_real_time() -> str | None:
    """Return why a process of ours gets no priority, None if it does."""
    return _tried([sys.executable, "-I", "-S", "-c", _REAL_TIME])


def try_user_namespace() -> str | None:
    """Return why a process of ours gets no user namespace, None if it does."""
    return _tried([sys.executable, "-I", "-S", "-c", _USER_NAMESPACE])


def try_bubblewrap(program: Path, *, is_root: bool) -> str | None:
    """Return why bubblewrap cannot separate a process here, None if it can."""
    arguments = ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-pid"]
    arguments += ["--unshare-net", "--unshare-ipc", *([] if is_root else ["--unshare-user"])]
    return _tried([str(program), *arguments, "--", "true"])


def program_version(program: Path) -> str:
    """Return the last word a program says to ``--version``, empty if it does not answer."""
    try:
        said = _run([str(program), "--version"])
    except (OSError, subprocess.TimeoutExpired):
        return ""
    words = said.stdout.split()
    return words[-1] if words and not said.returncode else ""


def _tried(command: list[str]) -> str | None:
    try:
        said = _run(command)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if not said.returncode:
        return None
    lines = said.stderr.strip().splitlines()
    return lines[-1] if lines else f"status {said.returncode}"


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own programs, with arguments from here
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TRIAL_TIMEOUT_S,
        check=False,
    )


def is_clock_synchronised() -> bool | None:
    """Return whether somebody keeps the clock right, as the kernel was told; None: no answer."""
    if sys.platform != "linux":
        return None
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state != _TIME_ERROR
