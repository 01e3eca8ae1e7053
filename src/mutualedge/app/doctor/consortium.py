"""Finds out how a consortium's folder stands: keys, ports, dates, trust, stores, processes."""

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mutualedge.adapters.nats import (
    hub_problem,
    token_ends_ns,
)
from mutualedge.adapters.sqlite import SqliteStore, store_problem
from mutualedge.app.doctor.facts import (
    Leaving,
    OpenPath,
    Port,
    ProcessFact,
    Reach,
    StoreCheck,
    Trust,
)
from mutualedge.app.expiries import Expiry, node_expiries, running_expiries
from mutualedge.app.files import (
    PROCESS_FILE,
    STORE_FILE,
    HubFile,
    NodeFile,
    read_any_process_file,
)
from mutualedge.app.founding import OFFLINE_KEY_FILE
from mutualedge.app.hub_process import doors
from mutualedge.app.measurement import runner_measurement
from mutualedge.app.operation.queries import ProcessState, ProcessView, kind_of
from mutualedge.app.operation.status_text import concerns
from mutualedge.app.options import (
    SETTINGS_KEPT,
    HubNetwork,
    HubOptions,
    NodeNetwork,
    NodeOptions,
)
from mutualedge.app.settings import read_options
from mutualedge.consortium.enrolment import ACTIVATION_BUCKET
from mutualedge.consortium.rows import BLOCK_BUCKET, LEDGER_BUCKET
from mutualedge.errors import MutualEdgeError
from mutualedge.identity import Consortium, verify_trust
from mutualedge.ledger import Block, Ledger
from mutualedge.model import Digest, parse_instant
from mutualedge.protocol import SignedBlock
from mutualedge.signing import Envelope, parse_canonical

LOOPBACK = "127.0.0.1"
CONNECT_TIMEOUT_S = 0.5
SECRETS = (PROCESS_FILE, OFFLINE_KEY_FILE)
OTHERS = stat.S_IRWXG | stat.S_IRWXO

Told = HubFile | NodeFile
Options = HubOptions | NodeOptions


def open_paths(folder: Path, own_folders: list[Path]) -> list[OpenPath]:
    """Return the folders of processes and the files with keys that others may enter or read."""
    secrets = [where / name for where in (folder, *own_folders) for name in SECRETS]
    modes = [
        (path, stat.S_IMODE(path.stat().st_mode))
        for path in (*own_folders, *secrets)
        if path.exists()
    ]
    return [OpenPath(path=str(path), mode=mode) for path, mode in modes if mode & OTHERS]


def keys_beside(own_folders: list[Path]) -> list[str]:
    """Return where a member's enterprise key lies beside its node.

    Where several members share a folder, all of it is a trial, and nobody's key is kept apart.
    """
    members = [own for own in own_folders if kind_of(own.name) == "node"]
    paths = [own / OFFLINE_KEY_FILE for own in members] if len(members) == 1 else []
    return [str(path) for path in paths if path.exists()]


def founded_ns(own_folders: list[Path]) -> int:
    """Return when the oldest file that founding wrote was written."""
    return min((own / PROCESS_FILE).stat().st_mtime_ns for own in own_folders)


def ledger_ns(own_folders: list[Path]) -> int | None:
    """Return what the newest block in any store here says the time was, None without blocks."""
    times = [_last_block_ns(own) for own in own_folders if (own / STORE_FILE).exists()]
    return max((each for each in times if each is not None), default=None)


def _last_block_ns(own: Path) -> int | None:
    """Return the time of a store's last block; a store that cannot be read is judged as such."""
    try:
        with SqliteStore(own / STORE_FILE, read_only=True) as store:
            raw = store.get(BLOCK_BUCKET, store.last_key(BLOCK_BUCKET) or "")
            if raw is None:
                return None
            signed = msgspec.msgpack.decode(raw, type=SignedBlock)
            return parse_instant(parse_canonical(signed.block.payload, Block).time)
    except (MutualEdgeError, msgspec.DecodeError):
        return None


def read_told(own: Path) -> tuple[Told, Options]:
    """Return what a process is told, and what its operator chose.

    Raises:
        UsageError: One of its files cannot be used.
    """
    told = read_any_process_file(own)
    if isinstance(told, HubFile):
        return told, read_options(own, HubOptions)
    return told, read_options(own, NodeOptions)


def ports_of(options: Options, process: ProcessView) -> Iterator[Port]:
    """Yield the ports that others know a process by; none if any will do, or it is starting."""
    if process.state is ProcessState.STARTING:
        return
    is_up = process.state in {ProcessState.RUNNING, ProcessState.STALE}
    for host, number in _places(options.network):
        is_taken = _answers(host, number)
        yield Port(of=process.name, number=number, is_taken=is_taken, is_owner_up=is_up)


def _places(network: HubNetwork | NodeNetwork) -> Iterator[tuple[str, int]]:
    if isinstance(network, HubNetwork):
        yield network.leaf_host, network.leaf_port
        yield network.leaf_host, network.office_port
    elif network.client_port:
        yield LOOPBACK, network.client_port


def _answers(host: str, number: int) -> bool:
    try:
        with socket.create_connection((host, number), timeout=CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False


def expiries(own: Path, told: Told, *, is_running: bool = False) -> Iterator[Expiry]:
    """Yield what of a process is valid for a time; while it runs also what its start made.

    Raises:
        UsageError: Something that is dated cannot be read.
    """
    if isinstance(told, NodeFile):
        yield from running_expiries(told, own) if is_running else node_expiries(told)
        return
    members = _current(own, verify_trust(told.trust)).accounts.keys()
    given = doors(told, _rows(own, ACTIVATION_BUCKET))
    tokens = {way: token for way, token in given.items() if members >= {*way}}
    for exporter in sorted({each for each, _ in tokens}):
        ends = [token_ends_ns(token) for (each, _), token in tokens.items() if each == exporter]
        dated = [ends_ns for ends_ns in ends if ends_ns is not None]
        if dated:
            then = f"the bus refuses '{exporter}'"
            what = "leave to be called"
            yield Expiry(of=exporter, what=what, then=then, ends_ns=min(dated))


def _rows(own: Path, bucket: str) -> list[tuple[str, bytes]]:
    """Return what a process keeps in a bucket: nothing before its first start."""
    if not (own / STORE_FILE).exists():
        return []
    with SqliteStore(own / STORE_FILE, read_only=True) as store:
        return list(store.scan(bucket))


def trust_of(name: str, own: Path, founding: Envelope) -> Trust:
    """Return whether the trust file verifies and names the runner's code installed here.

    That is the one of the founding, or the last one that a process's ledger adopted.
    """
    try:
        told = _current(own, verify_trust(founding)).trust
    except MutualEdgeError as error:
        return _trust(name, 0, error.sentence, ())
    return _trust(name, told.version, "", told.runner_measurements)


def leaving_of(name: str, own: Path, told: NodeFile) -> Leaving:
    """Return whether a node's owner began to leave; who has left is none of it."""
    is_kept = (own / SETTINGS_KEPT).exists()
    is_begun = is_kept and _current(own, verify_trust(told.trust)).has(told.enterprise)
    return Leaving(of=name, own=str(own), is_begun=is_begun)


def _current(own: Path, founding: Consortium) -> Consortium:
    return Ledger(founding, _rows(own, LEDGER_BUCKET)).consortium


def _trust(name: str, version: int, problem: str, accepted: tuple[Digest, ...]) -> Trust:
    measured = runner_measurement()
    return Trust(
        of=name,
        version=version,
        problem=problem,
        knows_this_code=measured in accepted,
        measured=measured,
        accepted=accepted,
    )


def store_of(name: str, own: Path) -> StoreCheck:
    """Return what SQLite says of a process's store; one that was never opened is sound."""
    path = own / STORE_FILE
    problem = store_problem(path) if path.exists() else ""
    return StoreCheck(of=name, path=str(path), problem=problem)


def reach_of(name: str, told: NodeFile, network: NodeNetwork) -> Reach:
    """Return whether a node's way to the hub works."""
    problem = hub_problem(network.hub_host, network.hub_port, told.tls.root_pem)
    return Reach(of=name, address=f"{network.hub_host}:{network.hub_port}", problem=problem)


def process_of(process: ProcessView) -> ProcessFact:
    """Return how a process is."""
    told = tuple(concern.removeprefix(f"{process.name}: ") for concern in concerns(process))
    given_up = process.child is not None and process.child.is_given_up
    return ProcessFact(of=process.name, state=process.state, concerns=told, is_given_up=given_up)
