"""Who each process is: its identity, secrets and credentials, readable by its owner only."""

from pathlib import Path
from typing import TypeVar

import msgspec

from mutualedge.errors import UsageError
from mutualedge.model import UNREADABLE, Bytes32, EnterpriseId, EnterpriseName
from mutualedge.signing import Envelope

T = TypeVar("T", "HubFile", "NodeFile")

PROCESS_FILE = "process.json"
STORE_FILE = "store.sqlite3"
SECRET_MODE = 0o600


class TlsText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate, its key and the root it chains to, PEM."""

    certificate_pem: str
    private_key_pem: str
    root_pem: str


class HubFile(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="hub",
):
    """What the hub process needs.

    Attributes:
        names: Enterprise of each account key on the hub's server.
        account_tokens: Every account's token, by account key.
    """

    trust: Envelope
    writer_seed: Bytes32
    witness_seed: Bytes32
    operator_token: str
    account_tokens: dict[str, str]
    names: dict[str, EnterpriseName]
    client_token: str
    client_seed: Bytes32
    tls: TlsText


class NodeFile(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="node",
):
    """What a node process needs.

    Attributes:
        bundle: The function bundle it runs, as it travels.
        platform: Secret of the simulated machine, handed to the runner.
        names: Enterprise of each account key on the hub's server.
        node_password: Of the node's user on its server, towards partners.
        intake_password: Of the node's user on its server, towards devices.
        device_password: Of its devices' user.
        leaf_credentials: With which its server links to the hub.
    """

    enterprise: EnterpriseName
    trust: Envelope
    node_seed: Bytes32
    settlement_seed: Bytes32
    log_seed: Bytes32
    witness_seed: Bytes32
    salt_secret: Bytes32
    bundle: bytes
    platform: bytes
    collateral: bytes
    names: dict[str, EnterpriseName]
    node_password: str
    intake_password: str
    device_password: str
    leaf_credentials: str
    tls: TlsText


def write_process_file(folder: Path, content: HubFile | NodeFile) -> None:
    """Write a process's file, readable by its owner only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / PROCESS_FILE
    path.touch(mode=SECRET_MODE)
    path.chmod(SECRET_MODE)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1))


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
    try:
        mode = path.stat().st_mode
        raw = path.read_bytes()
    except OSError as error:
        sentence = f"{path} cannot be read ({error.strerror}); found the consortium there first."
        raise UsageError("app.file.unreadable", sentence) from error
    if mode & 0o077:
        sentence = f"{path} holds secrets and others may read it; run: chmod 600 {path}"
        raise UsageError("app.file.exposed", sentence)
    try:
        return msgspec.json.decode(raw, type=HubFile | NodeFile)
    except UNREADABLE as error:
        sentence = f"{path} cannot be used ({error}); correct it, or restore it from its backup."
        raise UsageError("app.file.malformed", sentence) from error


def _kind(process: type[HubFile] | type[NodeFile]) -> str:
    return str(process.__struct_config__.tag)


def enterprise_folder(folder: Path, enterprise: EnterpriseId) -> Path:
    """Return where an enterprise's process keeps its files."""
    return folder / enterprise
