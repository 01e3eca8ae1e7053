"""The local consortium that ``mutualedge up`` founds: two enterprises, to be kept for long."""

import os
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path

import msgspec

from mutualedge.app.files import enterprise_folder
from mutualedge.app.founding import Founding, found_consortium
from mutualedge.app.options import (
    SETTINGS_FILE,
    BorrowingSettings,
    LendingSettings,
    NodeOptions,
    TimingSettings,
    write_settings,
)
from mutualedge.app.settings import read_settings_file, settle
from mutualedge.errors import UsageError
from mutualedge.model import EnterpriseId, Microcredits, Milliseconds

CANDY, LOGISTICS = EnterpriseId("candy"), EnterpriseId("logistics")

LENDING = LendingSettings(credit_microcredits=Microcredits(2_000_000_000))
"""The credit covers some 27 leases of an hour at the usual terms: each sets 72 credits aside,
and what was not used comes back with its statement."""

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
            _fix_port(enterprise_folder(unfinished, name), port)
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


def _fix_port(own: Path, port: int) -> None:
    """Have a node listen for its devices on this port from now on."""
    path = own / SETTINGS_FILE
    options = settle(NodeOptions, path, read_settings_file(path), {}, ()).options
    network = msgspec.structs.replace(options.network, client_port=port)
    write_settings(own, msgspec.structs.replace(options, network=network))


def _free_ports(count: int) -> list[int]:
    """Return different ports that were free a moment ago."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
