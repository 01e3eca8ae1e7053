"""The local consortium that ``mutualedge up`` founds: two enterprises, to be kept for long."""

import os
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path

import msgspec

from mutualedge.app.files import (
    BorrowingSettings,
    LendingSettings,
    NodeFile,
    TimingSettings,
    enterprise_folder,
    read_process_file,
    write_process_file,
)
from mutualedge.app.founding import Founding, found_consortium
from mutualedge.errors import UsageError
from mutualedge.model import EnterpriseId, Microcredits, Milliseconds

CANDY, LOGISTICS = EnterpriseId("candy"), EnterpriseId("logistics")

MINUTE_MS, HOUR_MS = 60_000, 3_600_000

TIMING = TimingSettings(
    job_budget_ms=20,
    network_ms=Milliseconds(5),
    window_calls=64,
    window_ms=Milliseconds(10_000),
    dispute_window_ms=Milliseconds(HOUR_MS),
    settle_grace_ms=Milliseconds(5 * MINUTE_MS),
    checkpoint_every_ms=Milliseconds(MINUTE_MS),
    follow_every_ms=Milliseconds(1_000),
    request_timeout_ms=Milliseconds(5_000),
)
"""At most 64 calls or ten seconds are unsigned; a side that is away for minutes loses nothing,
and one that is away for an hour can still contradict."""

LENDING = LendingSettings(
    budget_ms=20,
    period_ms=25,
    deadline_ms=45,
    price_microcredits=Microcredits(50),
    credit_microcredits=Microcredits(2_000_000_000),
)
"""The credit covers some six leases of an hour at this price, whose most is 144 credits each
hour of reserved time and whose work waits up to the dispute window to be settled."""

LEASE_MS = HOUR_MS
RENEW_BEFORE_MS = 2 * MINUTE_MS


def founding() -> Founding:
    """Return who founds: a candy factory that borrows, a logistics hub that lends."""
    borrowing = BorrowingSettings(
        providers=(LOGISTICS,),
        lease_ms=Milliseconds(LEASE_MS),
        renew_before_ms=Milliseconds(RENEW_BEFORE_MS),
        price_max_microcredits=Microcredits(100),
    )
    return Founding(
        consortium=EnterpriseId("local"),
        timing=TIMING,
        lending=LENDING,
        borrowers={CANDY: borrowing},
        members=(CANDY, LOGISTICS),
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
        told = founding()
        found_consortium(told, unfinished)
        for name, port in zip(told.members, _free_ports(len(told.members)), strict=True):
            own = enterprise_folder(unfinished, name)
            node = read_process_file(own, NodeFile)
            write_process_file(own, msgspec.structs.replace(node, client_port=port))
        unfinished.replace(folder)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        sentence = f"{folder} cannot hold a new consortium ({error.strerror}); name another folder."
        raise UsageError("app.consortium.unfounded", sentence) from error


def _free_ports(count: int) -> list[int]:
    """Return different ports that were free a moment ago."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
