"""Composition roots: a hub process and a node process, each from its folder."""

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import uvloop

from mutualedge.adapters.nats import (
    EnterpriseServer,
    HubLink,
    HubServer,
    LocalUser,
    NatsServer,
    Nkey,
    Role,
    TlsFiles,
    TokenLogin,
    connect,
    start_server,
)
from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.bus import (
    INTAKE_USER,
    NODE_USER,
    NatsBus,
    connect_node,
    serve_devices,
    serve_partners,
)
from mutualedge.app.devices import DEVICE_USER
from mutualedge.app.driver import Driver, Ports
from mutualedge.app.files import STORE_FILE, HubFile, NodeFile, TlsText, read_process_file
from mutualedge.app.options import (
    BorrowingSettings,
    HubOptions,
    LendingSettings,
    NodeOptions,
)
from mutualedge.app.runner_link import RunnerLink
from mutualedge.app.settings import read_options
from mutualedge.app.status import StatusWriter
from mutualedge.app.stores import open_store
from mutualedge.consortium import Hub
from mutualedge.errors import CorruptState, MutualEdgeError, Unreachable
from mutualedge.functions import parse_bundle, verify_bundle
from mutualedge.identity import verify_trust
from mutualedge.model import NS_PER_MS, format_instant
from mutualedge.node import HUB, Borrowing, Lending, Node, NodeKeys, NodeSettings
from mutualedge.protocol import Note, Order
from mutualedge.signing import Entropy, SigningKey

T = TypeVar("T")

READY_FILE = "ready.json"
NATS_FOLDER = "nats"


class Ready(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Written once a process answers: where its devices connect."""

    pid: int
    client_url: str


def steady_clock() -> Callable[[], int]:
    """Return a clock in nanoseconds since 1970 that never steps: wall time once, then monotonic."""
    offset_ns = time.time_ns() - time.monotonic_ns()
    return lambda: time.monotonic_ns() + offset_ns


COLLECT_AFTER_OBJECTS = 10_000
"""New objects that call for a look at which can go; Python's 700 means one look in three calls."""


def settle_memory() -> None:
    """Let the collector pass over what this process keeps for ever: code and what was restored.

    A full collection of it takes longer than ten calls.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)


def _noter(clock_ns: Callable[[], int]) -> Callable[[Note], None]:
    """Return what prints a note as one line of JSON, with its time."""

    def write(note: Note) -> None:
        line = {"at": format_instant(clock_ns()), "event": note.name, **dict(note.fields)}
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        sys.stdout.buffer.flush()

    return write


def _tls(text: TlsText) -> TlsFiles:
    return TlsFiles(
        certificate_pem=text.certificate_pem.encode(),
        private_key_pem=text.private_key_pem.encode(),
        root_pem=text.root_pem.encode(),
    )


def _binary(configured: str) -> Path | None:
    return Path(configured) if configured else None


def write_ready(folder: Path, client_url: str) -> None:
    """Say that the process of this folder answers, and where."""
    temporary = folder / f"{READY_FILE}.new"
    temporary.write_bytes(msgspec.json.encode(Ready(pid=os.getpid(), client_url=client_url)))
    temporary.replace(folder / READY_FILE)


def _no_runner(order: Order) -> None:
    sentence = f"The hub has no runner and gave it {type(order.order).__name__}."
    raise AssertionError(sentence)


async def run_hub(folder: Path, flags: Sequence[str] = ()) -> None:
    """Serve ledger and witness of a consortium until told to stop.

    Args:
        folder: Its own.
        flags: Settings that win over its file.

    Raises:
        UsageError: The folder's file, store or port cannot be used.
    """
    told = read_process_file(folder, HubFile)
    options = read_options(folder, HubOptions, flags)
    clock_ns = steady_clock()
    note = _noter(clock_ns)
    async with AsyncExitStack() as stack:
        store = stack.enter_context(open_store(folder))
        status = stack.enter_context(StatusWriter(folder, "hub", HUB, clock_ns))
        with _restoring(folder):
            hub = _hub(told, store)
        server = await stack.enter_async_context(
            await start_server(
                _hub_server(told, options),
                folder / NATS_FOLDER,
                binary=_binary(options.network.nats_server),
            )
        )
        login = TokenLogin(token=told.client_token, key=Nkey(Role.USER, told.client_seed))
        connecting = connect(server.client_url, login, name="hub", report=_reporter(note))
        client = await stack.enter_async_context(await _while_up(server, connecting))
        ports = Ports(
            store=store, bus=NatsBus(client), order=_no_runner, note=note, clock_ns=clock_ns
        )
        driver = Driver(hub, ports)
        await serve_partners(client, driver, told.names)
        async with asyncio.TaskGroup() as running:
            running.create_task(_watch_bus(server))
            running.create_task(client.wait_closed())
            running.create_task(driver.run())
            running.create_task(status.run(hub.snapshot, server.client_url))
            settle_memory()
            write_ready(folder, server.client_url)


async def _while_up(server: NatsServer, connecting: Awaitable[T]) -> T:
    """Return what connecting to our own server gives, or say at once that the server ended."""
    async with asyncio.TaskGroup() as trying:
        watching = trying.create_task(_watch_bus(server))
        connection = await connecting
        watching.cancel()
    return connection


async def _watch_bus(server: NatsServer) -> None:
    """Wait until our own NATS server ends by itself.

    Raises:
        Unreachable: It did; without it this process is deaf, so a supervisor starts both again.
    """
    status = await server.wait_stopped()
    sentence = f"Our NATS server ended by itself (status {status}); start this process again."
    raise Unreachable("nats.server.ended", sentence)


def _hub(told: HubFile, store: SqliteStore) -> Hub:
    return Hub(
        consortium=verify_trust(told.trust),
        writer=SigningKey(told.writer_seed),
        witness=SigningKey(told.witness_seed),
        store=store,
    )


@contextmanager
def _restoring(folder: Path) -> Iterator[None]:
    """Say which store it is when its rows cannot be read or contradict each other.

    Raises:
        CorruptState: They are not what this release writes.
    """
    try:
        yield
    except msgspec.DecodeError as error:
        path = folder / STORE_FILE
        sentence = f"A row of {path} cannot be read ({error}); stop, and restore it from a backup."
        raise CorruptState("store.row.unreadable", sentence) from error
    except CorruptState as error:
        path = folder / STORE_FILE
        if str(path) in error.sentence:
            raise
        raise CorruptState(error.code, f"{path}: {error.sentence}") from error


def _hub_server(told: HubFile, options: HubOptions) -> HubServer:
    return HubServer(
        name="hub",
        operator_token=told.operator_token,
        account_tokens=told.account_tokens,
        tls=_tls(told.tls),
        leaf_host=options.network.leaf_host,
        leaf_port=options.network.leaf_port,
    )


def _reporter(note: Callable[[Note], None]) -> Callable[[str, str], None]:
    return lambda event, detail: note(Note(name=f"bus.{event}", fields=(("detail", detail),)))


async def run_node(folder: Path, flags: Sequence[str] = ()) -> None:
    """Serve one enterprise: its devices, its partners, its runner, until told to stop.

    Args:
        folder: Its own.
        flags: Settings that win over its file.

    Raises:
        UsageError: The folder's file, store or port cannot be used.
    """
    told = read_process_file(folder, NodeFile)
    options = read_options(folder, NodeOptions, flags)
    clock_ns = steady_clock()
    async with AsyncExitStack() as stack:
        store = stack.enter_context(open_store(folder))
        status = stack.enter_context(StatusWriter(folder, "node", told.enterprise, clock_ns))
        note = status.listening(_noter(clock_ns))
        with _restoring(folder):
            node = restore_node(told, options, store, clock_ns())
        server = await stack.enter_async_context(
            await start_server(
                enterprise_server(told, options),
                folder / NATS_FOLDER,
                binary=_binary(options.network.nats_server),
            )
        )
        connecting = connect_node(told, server.client_url, _reporter(note))
        connections = await _while_up(server, stack.enter_async_context(connecting))
        link = RunnerLink(told.platform, told.trust, note)
        ports = Ports(
            store=store,
            bus=NatsBus(connections.partners),
            order=link.order,
            note=note,
            clock_ns=clock_ns,
        )
        driver = Driver(node, ports)
        await serve_partners(connections.partners, driver, told.names)
        await serve_devices(connections.devices, driver, status.answers)
        async with asyncio.TaskGroup() as running:
            running.create_task(_watch_bus(server))
            running.create_task(connections.partners.wait_closed())
            running.create_task(connections.devices.wait_closed())
            running.create_task(link.run(driver.post))
            running.create_task(driver.run())
            running.create_task(status.run(lambda: node.snapshot(clock_ns()), server.client_url))
            settle_memory()
            write_ready(folder, server.client_url)


def enterprise_server(told: NodeFile, options: NodeOptions) -> EnterpriseServer:
    """Return the server of an enterprise as its files describe it."""
    return EnterpriseServer(
        name=told.enterprise,
        node_user=LocalUser(name=NODE_USER, password=told.node_password),
        intake_user=LocalUser(name=INTAKE_USER, password=told.intake_password),
        device_users=(LocalUser(name=DEVICE_USER, password=told.device_password),),
        hub=HubLink(
            host=options.network.hub_host,
            port=options.network.hub_port,
            credentials=told.leaf_credentials,
            tls=_tls(told.tls),
        ),
        client_port=options.network.client_port,
    )


def restore_node(told: NodeFile, options: NodeOptions, store: SqliteStore, now_ns: int) -> Node:
    """Return an enterprise's node as its files and its store have it.

    Raises:
        MutualEdgeError: The trust file or the bundle does not verify.
        DecodeError: A row of the store cannot be read.
    """
    consortium = verify_trust(told.trust)
    return Node(
        me=consortium.member(told.enterprise),
        consortium=consortium,
        settings=_settings(told, options),
        keys=NodeKeys(
            node=SigningKey(told.node_seed),
            settlement=SigningKey(told.settlement_seed),
            log=SigningKey(told.log_seed),
            witness=SigningKey(told.witness_seed),
            salt_secret=told.salt_secret,
        ),
        entropy=Entropy(os.urandom(32)),
        store=store,
        now_ns=now_ns,
    )


def _settings(told: NodeFile, options: NodeOptions) -> NodeSettings:
    timing = options.timing
    return NodeSettings(
        function=verify_bundle(parse_bundle(told.bundle)).digest,
        bundle=told.bundle,
        collateral=told.collateral,
        job_budget_ns=timing.job_budget_ms * NS_PER_MS,
        lending=_lending(options.lending),
        borrowing=_borrowing(options.borrowing),
        network_ms=timing.network_ms,
        window_calls=timing.window_calls,
        window_ms=timing.window_ms,
        dispute_window_ms=timing.dispute_window_ms,
        settle_grace_ms=timing.settle_grace_ms,
        checkpoint_every_ms=timing.checkpoint_every_ms,
        follow_every_ms=timing.follow_every_ms,
        request_timeout_ms=timing.request_timeout_ms,
    )


def _lending(lent: LendingSettings | None) -> Lending | None:
    if lent is None:
        return None
    return Lending(
        budget_ns=lent.budget_ms * NS_PER_MS,
        period_ns=lent.period_ms * NS_PER_MS,
        deadline_ns=lent.deadline_ms * NS_PER_MS,
        price_microcredits=lent.price_microcredits,
        credit_microcredits=lent.credit_microcredits,
    )


def _borrowing(borrowed: BorrowingSettings | None) -> Borrowing | None:
    if borrowed is None:
        return None
    return Borrowing(
        providers=borrowed.providers,
        lease_ms=borrowed.lease_ms,
        renew_before_ms=borrowed.renew_before_ms,
        price_max_microcredits=borrowed.price_max_microcredits,
    )


def run_until_told(serve: Callable[[], Awaitable[None]]) -> None:
    """Run one process in this one until SIGTERM or SIGINT, then stop its children and leave.

    Raises:
        MutualEdgeError: It could not start, or cannot go on.
    """

    async def supervised() -> None:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        try:
            await serve()
        except asyncio.CancelledError:
            if not task.cancelling():
                raise  # nobody told us: a fault, which must not pass for an end in order
            while task.uncancel() > 0:
                continue  # told twice is told once
        except ExceptionGroup as failed:
            raise _cause(failed) from failed

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(supervised())


def _cause(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first failure of tasks that ran together, or all if one is a bug of ours."""
    causes = list(_leaves(failed))
    return causes[0] if all(isinstance(each, MutualEdgeError) for each in causes) else failed


def _leaves(failed: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for each in failed.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each
