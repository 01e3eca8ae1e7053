"""Founds a consortium in a folder whole, or not at all: keys are made once.

It is written beside its place, within the folder, which may be a disk of its own. While that part
is there, nothing in the folder counts, and founding begins again from nothing.
"""

import os
import shutil
from pathlib import Path

from mutualedge.app.files import SECRET_MODE
from mutualedge.app.founding import Founding, found_consortium
from mutualedge.errors import UsageError

STAGE = ".founding"
"""Folder that is there until all of it has its place."""

DONE = ".founded"
"""What is left of that part, if removing it was cut off; it means nothing."""

NEW_FOLDER, NAMES_FILE = "new", "names"


def is_unfinished(folder: Path) -> bool:
    """Tell whether a founding in this folder was cut off."""
    return (folder / STAGE).exists()


def found_whole(founding: Founding, folder: Path) -> None:
    """Found a consortium in a folder that is empty, not there, or was left unfinished.

    Raises:
        UsageError: Something else is in the folder, or it cannot be made; what was begun is gone.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _undo(folder)
        if any(folder.iterdir()):
            raise _unfounded(folder, "it is not empty")
        _found(founding, folder)
    except OSError as error:
        if folder.is_dir():
            _undo(folder)
        raise _unfounded(folder, error.strerror or str(error)) from error


def _found(founding: Founding, folder: Path) -> None:
    new = folder / STAGE / NEW_FOLDER
    found_consortium(founding, new)
    names = sorted(path.name for path in new.iterdir())
    names_file = folder / STAGE / NAMES_FILE
    names_file.touch(SECRET_MODE)
    names_file.write_text("\n".join(names), "utf-8")
    for path in (*(folder / STAGE).rglob("*"), folder / STAGE, folder):
        _sync(path)
    for name in names:
        (new / name).replace(folder / name)
    _sync(folder)
    (folder / STAGE).replace(folder / DONE)  # in one step: now all of it counts
    _sync(folder)
    shutil.rmtree(folder / DONE, ignore_errors=True)


def _undo(folder: Path) -> None:
    """Take away what an unfinished founding left; nothing of it was ever started."""
    names_file = folder / STAGE / NAMES_FILE
    names = names_file.read_text("utf-8").splitlines() if names_file.exists() else []
    for name in names:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    shutil.rmtree(folder / STAGE, ignore_errors=True)


def _unfounded(folder: Path, cause: str) -> UsageError:
    sentence = f"{folder} cannot hold a new consortium ({cause}); name another folder."
    return UsageError("app.consortium.unfounded", sentence)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
