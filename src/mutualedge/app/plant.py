"""The local consortium that ``mutualedge up`` founds: two enterprises, to be kept for long."""

import os
import shutil
from pathlib import Path

from mutualedge.app.founding import Founding, found_consortium
from mutualedge.app.options import (
    BorrowingSettings,
    LendingSettings,
    TimingSettings,
)
from mutualedge.errors import UsageError
from mutualedge.model import EnterpriseId, Milliseconds

CANDY, LOGISTICS = EnterpriseId("candy"), EnterpriseId("logistics")

RENEW_BEFORE_MS = 2 * 60 * 1000
"""The next lease is agreed before the last one ends, so that there is always one."""


def founding() -> Founding:
    """Return who founds: a candy factory that borrows, a logistics hub that lends."""
    borrowing = BorrowingSettings(
        providers=(LOGISTICS,),
        renew_before_ms=Milliseconds(RENEW_BEFORE_MS),
    )
    return Founding(
        consortium=EnterpriseId("local"),
        timing=TimingSettings(),
        lending=LendingSettings(),
        borrowers={CANDY: borrowing},
        members=(CANDY, LOGISTICS),
        are_ports_fixed=True,
    )


def found_plant(folder: Path) -> None:
    """Found the consortium in a folder that is empty or not there: all of it, or nothing.

    Devices find each node under one address for as long as the folder lives.

    Raises:
        UsageError: Something else is in the folder, or it cannot be made.
    """
    unfinished = folder.with_name(f".{folder.name}.founding.{os.getpid()}")
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        found_consortium(founding(), unfinished)
        _make_durable(unfinished)
        unfinished.replace(folder)
        _sync(folder.parent)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        sentence = f"{folder} cannot hold a new consortium ({error.strerror}); name another folder."
        raise UsageError("app.consortium.unfounded", sentence) from error


def _make_durable(folder: Path) -> None:
    """Have everything on the disk before anybody relies on it: keys are made once."""
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
