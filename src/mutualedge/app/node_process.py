"""The node process of one enterprise: its devices, its partners, its runner."""

import asyncio
import os
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import BinaryIO

from mutualedge.adapters.linux import Priority, raise_priority
from mutualedge.adapters.nats import (
    EnterpriseServer,
    HubLink,
    LocalUser,
    NatsServer,
    start_server,
)
from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.accounts import callers
from mutualedge.app.bus import (
    INTAKE_USER,
    NODE_USER,
    NatsBus,
    connect_node,
    serve_devices,
    serve_partners,
)
from mutualedge.app.devices import DEVICE_USER
from mutualedge.app.driver import Driver
from mutualedge.app.expiries import Expiry, expiry_notes, node_expiries, running_expiries
from mutualedge.app.files import NodeFile, read_process_file
from mutualedge.app.link import LOOK_EVERY_S, keep_link, link_credentials
from mutualedge.app.options import BorrowingSettings, LendingSettings, NodeOptions
from mutualedge.app.processes import (
    NATS_FOLDER,
    Site,
    open_site,
    own_binary,
    restoring,
    settle_memory,
    tls_files,
    until_restarting,
    watch_bus,
    while_up,
    wound_up,
    write_ready,
)
from mutualedge.app.runner_link import RunnerLink
from mutualedge.app.settings import read_options
from mutualedge.functions import parse_bundle, verify_bundle
from mutualedge.identity import verify_trust
from mutualedge.model import NS_PER_MS, format_instant
from mutualedge.node import Borrowing, Lending, Node, NodeKeys, NodeSettings
from mutualedge.protocol import ToldToEnd
from mutualedge.signing import Entropy, SigningKey


async def run_node(folder: Path, flags: Sequence[str] = (), notes: BinaryIO | None = None) -> None:
    """Serve one enterprise: its devices, its partners, its runner, until told to stop.

    Its NATS server stays while the core is made anew, so that its devices stay connected.

    Args:
        folder: Its own.
        flags: Settings that win over its file.
        notes: Where what happens is written; standard output otherwise.

    Raises:
        UsageError: The folder's file, store or port cannot be used.
    """
    told, options = read_process_file(folder, NodeFile), read_options(folder, NodeOptions, flags)
    async with AsyncExitStack() as stack:
        priority = raise_priority()  # before the server starts, which inherits it
        site = open_site(folder, "node", told.enterprise, stack, notes)
        _tell_expiries(site, told)
        node = _restored_node(site, told, options)
        server = await stack.enter_async_context(
            await start_server(
                enterprise_server(told, options, site.clock_ns()),
                folder / NATS_FOLDER,
                binary=own_binary(options.network.nats_server),
            )
        )
        while True:
            await until_restarting(_serve_node(site, server, told, node, priority))
            node = _restored_node(site, told, options)


def _tell_expiries(site: Site, told: NodeFile) -> None:
    """Note what expired or soon will; the node serves its devices all the same."""
    _show_expiry(site, node_expiries(told))
    for note in expiry_notes(node_expiries(told), site.clock_ns()):
        site.note(note)


def _show_expiry(site: Site, expiries: Iterable[Expiry]) -> None:
    site.status.credentials_end = format_instant(min(each.ends_ns for each in expiries))


async def _keep_link(site: Site, told: NodeFile) -> None:
    """Renew the link's credentials while the node runs, and warn of what it cannot renew."""
    while True:
        _show_expiry(site, running_expiries(told, site.folder))
        await asyncio.sleep(LOOK_EVERY_S)
        for note in await asyncio.to_thread(keep_link, told, site.folder, site.clock_ns()):
            site.note(note)


def _restored_node(site: Site, told: NodeFile, options: NodeOptions) -> Node:
    with restoring(site.folder):
        return restore_node(told, options, site.store, site.clock_ns())


async def _serve_node(
    site: Site, server: NatsServer, told: NodeFile, node: Node, priority: Priority
) -> None:
    """Serve until the core asks to be made anew; its runner believes one trust file for life."""
    async with AsyncExitStack() as stack:
        connecting = connect_node(told, server.client_url, site.report)
        connections = await while_up(server, stack.enter_async_context(connecting))
        link = RunnerLink(told.platform, node.consortium.envelope, priority, site.note)
        driver = Driver(node, site.ports(NatsBus(connections.partners), link.order))
        partners = serve_partners(connections.partners, driver, callers(node.consortium))
        await while_up(server, partners)
        await while_up(server, serve_devices(connections.devices, driver, site.status.answers))
        tasks = (
            watch_bus(server),
            connections.partners.wait_closed(),
            connections.devices.wait_closed(),
            link.run(driver.post),
            driver.run(),
            _keep_link(site, told),
            site.status.run(lambda: node.snapshot(site.clock_ns()), server.client_url),
        )
        settle_memory()
        write_ready(site.folder, server.client_url)
        await wound_up(_all_of(tasks), lambda: driver.post(ToldToEnd()))


async def _all_of(tasks: Iterable[Coroutine[None, None, None]]) -> None:
    async with asyncio.TaskGroup() as running:
        for each in tasks:
            running.create_task(each)


def enterprise_server(told: NodeFile, options: NodeOptions, now_ns: int) -> EnterpriseServer:
    """Return the server of an enterprise as its files describe it, with fresh credentials."""
    return EnterpriseServer(
        name=told.enterprise,
        node_user=LocalUser(name=NODE_USER, password=told.node_password),
        intake_user=LocalUser(name=INTAKE_USER, password=told.intake_password),
        device_users=(LocalUser(name=DEVICE_USER, password=told.device_password),),
        hub=HubLink(
            host=options.network.hub_host,
            port=options.network.hub_port,
            credentials=link_credentials(told, now_ns),
            tls=tls_files(told.tls),
        ),
        client_port=options.network.client_port,
    )


def restore_node(told: NodeFile, options: NodeOptions, store: SqliteStore, now_ns: int) -> Node:
    """Return an enterprise's node as its files and its store have it.

    Raises:
        MutualEdgeError: The trust file or the bundle does not verify.
        DecodeError: A row of the store cannot be read.
    """
    return Node(
        enterprise=told.enterprise,
        consortium=verify_trust(told.trust),
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
