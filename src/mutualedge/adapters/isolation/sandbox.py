"""The outer wall: bubblewrap's arguments, and the limits every runner gets."""

import os
import shutil
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mutualedge

NOBODY = 65_534
"""The overflow user: owns nothing. Inside a user namespace only its number is shown."""

SYSTEM_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64")
"""Where the dynamic loader finds the libraries Python is linked with."""

LOADER_CACHE = "/etc/ld.so.cache"

OWN_RIGHTS = ("CAP_SETUID", "CAP_SETGID", "CAP_SYS_NICE")
"""What ``confine`` needs to leave root and to raise its priority; gone with the user change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Most a runner process may take.

    Attributes:
        address_bytes: Address space: Python with its libraries takes 140 MiB of it, the engine's
            threads 130 MiB, compiled functions and their memory the rest.
        file_count: Open files: the socket, three standard streams, libraries while loading.
        process_count: Processes and threads of its user, all runners of the machine together.
        written_bytes: Largest file it may write: its last words on standard error.
    """

    address_bytes: int = 512 << 20
    file_count: int = 64
    process_count: int = 256
    written_bytes: int = 64 << 10

    def by_name(self) -> dict[str, int]:
        """Return the limits under the names of setrlimit(2); no core dump holds a key."""
        return {
            "AS": self.address_bytes,
            "CORE": 0,
            "FSIZE": self.written_bytes,
            "NOFILE": self.file_count,
            "NPROC": self.process_count,
        }


def find_bubblewrap() -> Path | None:
    """Return where ``bwrap`` is installed, if it is."""
    found = shutil.which("bwrap")
    return None if found is None else Path(found)


def wrapped(bubblewrap: Path, command: Sequence[str]) -> list[str]:
    """Return the command line that runs a command behind bubblewrap.

    As root no user namespace is made: one would map "nobody" to root itself, whose files the
    bound folders hold. ``confine`` leaves root for real instead. Without root the namespace is
    what allows the rest.
    """
    arguments = [str(bubblewrap), "--die-with-parent", "--new-session", "--clearenv"]
    arguments += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    arguments += ["--unshare-cgroup-try", "--hostname", "runner", "--cap-drop", "ALL"]
    if os.geteuid() == 0:
        for right in OWN_RIGHTS:
            arguments += ["--cap-add", right]
    else:
        arguments += ["--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY)]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    paths = visible_paths()
    # Made here with mode 0755: left to bwrap, folders on the way to a path below a private one
    # (/root) become private too, and nobody may not pass.
    for folder in dict.fromkeys(parent for path in paths for parent in reversed(path.parents)):
        arguments += ["--dir", str(folder)]
    for path in paths:
        arguments += _shown(path)
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--", *command]


def visible_paths() -> list[Path]:
    """Return what the runner may read: libraries, Python, its environment, this package."""
    package = Path(mutualedge.__file__).parent
    python = [Path(sys.base_prefix), Path(sys.prefix), package]
    wanted = [*map(Path, SYSTEM_FOLDERS), Path(LOADER_CACHE)]
    for path in python:
        # A link on the way (a version's alias) must lead somewhere inside as well.
        wanted += [path.resolve(), path]
    return [path for path in dict.fromkeys(wanted) if path.exists()]


def private_folder() -> Path | None:
    """Return a folder on the way to Python or this package that only its owner may enter.

    Without bubblewrap, which shows the runner folders of its own, nobody could not read them.
    """
    paths = (Path(sys.base_prefix), Path(sys.prefix), Path(mutualedge.__file__).parent)
    for path in paths:
        for folder in (path.resolve(), *path.resolve().parents):
            if not folder.stat().st_mode & stat.S_IXOTH:
                return folder
    return None


def _shown(path: Path) -> list[str]:
    if path.is_symlink() and not path.readlink().is_absolute():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path), str(path)]
