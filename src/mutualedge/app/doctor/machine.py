"""Finds out what this machine offers, by trying."""

import os
import re
import resource
import shutil
import statistics
import tempfile
import time
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import mutualedge
from mutualedge.adapters.isolation import find_bubblewrap
from mutualedge.adapters.linux import (
    is_clock_synchronised,
    program_version,
    try_bubblewrap,
    try_real_time,
    try_user_namespace,
)
from mutualedge.adapters.nats import find_binary
from mutualedge.app.delays import NS_PER_US
from mutualedge.app.doctor.facts import Clock, Disk, Library, Program, Right
from mutualedge.errors import UsageError

LOCK_FILE = Path(mutualedge.__file__).parents[2] / "requirements" / "lock.txt"
"""Beside the source; an installed package has none."""

FSYNCS = 5
FSYNC_BYTES = 4096
LOOK_S = 0.1

_LOCKED = re.compile(r"^([\w.-]+)==([^\s\\]+)", re.MULTILINE)
_NAME = re.compile(r"^[\w.-]+")


def libraries() -> list[Library]:
    """Return each library we need, with the version that was tested where that is known."""
    text = LOCK_FILE.read_text("utf-8") if LOCK_FILE.exists() else ""
    locked = dict(_LOCKED.findall(text))
    needed = [line for line in requires("mutualedge") or [] if "extra ==" not in line]
    names = [found[0] for found in map(_NAME.match, needed) if found is not None]
    return [
        Library(name=name, installed=_installed(name), locked=locked.get(name, ""))
        for name in names
    ]


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def nats_server() -> Program:
    """Return the server we would start, if nobody names another."""
    try:
        binary = find_binary()
    except UsageError:
        return Program(path="", version="")
    return Program(path=str(binary), version=program_version(binary))


def bubblewrap() -> tuple[Program, Right]:
    """Return where bubblewrap is and whether it works."""
    found = find_bubblewrap()
    if found is None:
        return Program(path="", version=""), Right(is_granted=False, words="not installed")
    tried = try_bubblewrap(found, is_root=os.geteuid() == 0)
    return Program(path=str(found), version=program_version(found)), _right(tried)


def user_namespaces() -> Right:
    """Return whether the kernel makes them for us."""
    return _right(try_user_namespace())


def real_time() -> Right:
    """Return whether a runner gets priority."""
    return _right(try_real_time())


def _right(refusal: str | None) -> Right:
    return Right(is_granted=refusal is None, words=refusal or "")


def open_files() -> int:
    """Return how many files a process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def disk(folder: Path) -> Disk:
    """Return the room beside a folder, and the median of some durable writes into it."""
    took_ns = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
        for _ in range(FSYNCS):
            file.write(bytes(FSYNC_BYTES))
            file.flush()
            began_ns = time.perf_counter_ns()
            os.fsync(file.fileno())
            took_ns.append(time.perf_counter_ns() - began_ns)
    fsync_us = round(statistics.median(took_ns)) // NS_PER_US
    return Disk(free_bytes=shutil.disk_usage(folder).free, fsync_us=fsync_us)


def clock(founded_ns: int | None, ledger_ns: int | None) -> Clock:
    """Return how the wall clock goes, against the one that is never set, beside what is dated."""
    before_ns = time.time_ns() - time.monotonic_ns()
    time.sleep(LOOK_S)
    drift_ns = time.time_ns() - time.monotonic_ns() - before_ns
    return Clock(
        now_ns=time.time_ns(),
        is_synchronised=is_clock_synchronised(),
        drift_us=abs(drift_ns) // NS_PER_US,
        founded_ns=founded_ns,
        ledger_ns=ledger_ns,
    )
