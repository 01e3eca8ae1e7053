"""Who each process is: its identity, secrets and credentials, readable by its owner only."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from mutualedge.errors import UsageError
from mutualedge.model import UNREADABLE, Bytes32, EnterpriseId, EnterpriseName
from mutualedge.signing import Envelope

T = TypeVar("T", "HubFile", "NodeFile")
R = TypeVar("R")

PROCESS_FILE = "process.json"
STORE_FILE = "store.sqlite3"
SECRET_MODE = 0o600


class TlsText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate, its key and the root it chains to, PEM."""

    certificate_pem: str
    private_key_pem: str
    root_pem: str


class DoorOpened(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account's leave for another to call it."""

    exporter: EnterpriseName
    importer: EnterpriseName
    activation: str


class HubFile(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="hub",
):
    """What the hub process is.

    Attributes:
        trust: The founding trust file; later versions stand in the ledger.
        operator_seed: Signs the tokens of all accounts on the bus.
        account_seed: Of the hub's own account.
        doors: Leaves given at the founding; those of who joined later stand in the store.
        authority_key_pem: Signs the members' certificates.
        test_root_seed: Makes the members' simulated machines.
        tls_key_pem: Its own key on links; each start certifies it anew.
        root_pem: Certificate of the authority.
    """

    trust: Envelope
    writer_seed: Bytes32
    witness_seed: Bytes32
    operator_seed: Bytes32
    account_seed: Bytes32
    doors: tuple[DoorOpened, ...]
    authority_key_pem: str
    test_root_seed: Bytes32
    tls_key_pem: str
    root_pem: str


class NodeFile(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="node",
):
    """What a node process is.

    Attributes:
        trust: The founding trust file; later versions stand in the ledger.
        account_seed: Of its account on the bus.
        bundle: The function bundle it runs, as it travels.
        platform: Secret of the simulated machine, handed to the runner.
        node_password: Of the node's user on its server, towards partners.
        intake_password: Of the node's user on its server, towards devices.
        device_password: Of its devices' user.
    """

    enterprise: EnterpriseName
    trust: Envelope
    node_seed: Bytes32
    settlement_seed: Bytes32
    log_seed: Bytes32
    witness_seed: Bytes32
    salt_secret: Bytes32
    account_seed: Bytes32
    bundle: bytes
    platform: bytes
    collateral: bytes
    node_password: str
    intake_password: str
    device_password: str
    tls: TlsText


def write_process_file(folder: Path, content: HubFile | NodeFile) -> None:
    """Write a process's file, readable by its owner only."""
    write_secret_record(folder / PROCESS_FILE, content)


def write_secret_record(path: Path, content: object) -> None:
    """Write a record that only its owner may read, whole or not at all, also if power fails."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(content), indent=1))


def write_whole(path: Path, content: bytes, *, mode: int = SECRET_MODE) -> None:
    """Write a file whole or not at all; once this returns, power may fail.

    Args:
        path: Whatever stood there before stays until the new content does.
        content: All of it.
        mode: Who may read it; its owner only, by default.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=mode)
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_process_file(folder: Path, kind: type[T]) -> T:
    """Return what a process is told.

    Raises:
        UsageError: The file is missing, readable by others, malformed or of another process.
    """
    found = read_any_process_file(folder)
    if not isinstance(found, kind):
        sentence = (
            f"{folder} belongs to a {_kind(type(found))}; name the folder of a {_kind(kind)}."
        )
        raise UsageError("app.file.other-process", sentence)
    return found


def read_any_process_file(folder: Path) -> HubFile | NodeFile:
    """Return what the process of a folder is told, whichever kind it is.

    Raises:
        UsageError: The file is missing, readable by others or malformed.
    """
    path = folder / PROCESS_FILE
    if not path.exists():
        sentence = f"{folder} has no {PROCESS_FILE}; {_instead_of(folder)}."
        raise UsageError("app.file.missing", sentence)
    raw = _read_secret(path)
    try:
        return msgspec.json.decode(raw, type=HubFile | NodeFile)
    except UNREADABLE as error:
        raise _malformed(path, error) from error


def _instead_of(folder: Path) -> str:
    below = sorted(str(path.parent) for path in folder.glob(f"*/{PROCESS_FILE}"))
    if below:
        return f"name the folder of one process: {', '.join(below)}"
    return "found or join a consortium there first"


def read_secret_record(path: Path, kind: type[R]) -> R:
    """Return what ``write_secret_record`` wrote.

    Raises:
        UsageError: The file cannot be read, others may read it, or it is malformed.
    """
    raw = _read_secret(path)
    try:
        return msgspec.json.decode(raw, type=kind)
    except UNREADABLE as error:
        raise _malformed(path, error) from error


def _read_secret(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        raw = path.read_bytes()
    except OSError as error:
        sentence = f"{path} cannot be read ({error.strerror}); check its owner and place."
        raise UsageError("app.file.unreadable", sentence) from error
    if mode & 0o077:
        sentence = f"{path} holds secrets and others may read it; run: chmod 600 {path}"
        raise UsageError("app.file.exposed", sentence)
    return raw


def _malformed(path: Path, error: Exception) -> UsageError:
    sentence = f"{path} cannot be used ({error}); correct it, or restore it from its backup."
    return UsageError("app.file.malformed", sentence)


def _kind(process: type[HubFile] | type[NodeFile]) -> str:
    return str(process.__struct_config__.tag)


def enterprise_folder(folder: Path, enterprise: EnterpriseId) -> Path:
    """Return where an enterprise's process keeps its files."""
    return folder / enterprise
