"""The local consortium that ``mutualedge up`` founds: two enterprises, to be kept for long."""

from pathlib import Path

from mutualedge.app.founding import Founding
from mutualedge.app.options import (
    BorrowingSettings,
    LendingSettings,
    TimingSettings,
)
from mutualedge.app.whole_founding import found_whole
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
    found_whole(founding(), folder)
