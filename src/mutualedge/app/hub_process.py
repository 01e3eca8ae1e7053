"""The hub process: the consortium's ledger, its witness, its office, and the bus they meet on."""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from importlib.metadata import version
from pathlib import Path

from mutualedge.adapters.nats import (
    HubServer,
    Nkey,
    Role,
    TlsFiles,
    TokenLogin,
    connect,
    operator_token,
    start_server,
    verify_activation,
)
from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.adapters.tee_sim import SimulatedRoot
from mutualedge.adapters.tls import ServerFiles, serve
from mutualedge.app.accounts import (
    account_key,
    account_tokens,
    callers,
    hub_client_token,
    open_door,
    valid_doors,
)
from mutualedge.app.bus import NatsBus, serve_partners
from mutualedge.app.driver import Driver
from mutualedge.app.files import HubFile, read_process_file
from mutualedge.app.office import Office, hosts_of
from mutualedge.app.options import HubOptions
from mutualedge.app.processes import (
    NATS_FOLDER,
    Site,
    open_site,
    own_binary,
    restoring,
    settle_memory,
    until_restarting,
    watch_bus,
    while_up,
    write_ready,
)
from mutualedge.app.settings import read_options
from mutualedge.consortium import Hub
from mutualedge.consortium.enrolment import ACTIVATION_BUCKET, Enrolment
from mutualedge.errors import PeerError
from mutualedge.identity import HUB, Authority, Consortium, public_key_of, verify_trust
from mutualedge.model import EnterpriseId
from mutualedge.protocol import Order, Refused, encode_message, parse_request
from mutualedge.signing import SigningKey

OFFICE_PEER = "(office)"
"""Whoever asks over TLS: no enterprise's name, so no member; what it asks says who it is."""


async def run_hub(folder: Path, flags: Sequence[str] = ()) -> None:
    """Serve ledger and witness of a consortium until told to stop.

    Args:
        folder: Its own.
        flags: Settings that win over its file.

    Raises:
        UsageError: The folder's file, store or port cannot be used.
    """
    told, options = read_process_file(folder, HubFile), read_options(folder, HubOptions, flags)
    async with AsyncExitStack() as stack:
        site = open_site(folder, "hub", HUB, stack)
        while True:
            await until_restarting(_serve_hub(site, told, options))


async def _serve_hub(site: Site, told: HubFile, options: HubOptions) -> None:
    """Serve until the core asks to be made anew: then members' accounts on the bus are others."""
    folder, clock_ns = site.folder, site.clock_ns
    with restoring(folder):
        hub = _hub(told, site.store)
    async with AsyncExitStack() as stack:
        tokens = account_tokens(
            Nkey(Role.OPERATOR, told.operator_seed),
            hub.consortium,
            _open_doors(told, hub.consortium, site.store, clock_ns()),
            clock_ns(),
        )
        server = await stack.enter_async_context(
            await start_server(
                _hub_server(told, tokens, options, clock_ns()),
                folder / NATS_FOLDER,
                binary=own_binary(options.network.nats_server),
            )
        )
        user = Nkey(Role.USER, os.urandom(32))
        token = hub_client_token(account_key(told.account_seed), user, clock_ns())
        login = TokenLogin(token=token, key=user)
        connecting = connect(server.client_url, login, name="hub", report=site.report)
        client = await stack.enter_async_context(await while_up(server, connecting))
        driver = Driver(hub, site.ports(NatsBus(client), _no_runner))
        await while_up(server, serve_partners(client, driver, callers(hub.consortium)))
        await stack.enter_async_context(_office(folder, options, driver))
        async with asyncio.TaskGroup() as running:
            running.create_task(watch_bus(server))
            running.create_task(client.wait_closed())
            running.create_task(driver.run())
            running.create_task(site.status.run(hub.snapshot, server.client_url))
            settle_memory()
            write_ready(folder, server.client_url)


def _office_of(told: HubFile) -> Office:
    trust = verify_trust(told.trust).trust
    root = SimulatedRoot(
        name=trust.consortium, seed=told.test_root_seed, certificate=trust.attestation_root
    )
    authority = Authority(
        certificate_pem=told.root_pem.encode(), private_key_pem=told.authority_key_pem.encode()
    )
    return Office(authority, root)


def _hub(told: HubFile, store: SqliteStore) -> Hub:
    return Hub(
        consortium=verify_trust(told.trust),
        writer=SigningKey(told.writer_seed),
        witness=SigningKey(told.witness_seed),
        store=store,
        enrolment=Enrolment(
            issue=_office_of(told).credentials,
            verify_door=verify_activation,
            release=version("mutualedge"),
            founding=told.trust,
            store=store,
        ),
    )


def doors(
    told: HubFile, kept: Iterable[tuple[str, bytes]]
) -> dict[tuple[EnterpriseId, EnterpriseId], str]:
    """Return the members' leaves to be called: of the founding, and those kept since.

    Args:
        told: The hub's file.
        kept: Rows of ``ACTIVATION_BUCKET``: of who joined, of who renewed.
    """
    given = {(each.exporter, each.importer): each.activation for each in told.doors}
    for key, token in kept:
        exporter, _, importer = key.partition("/")
        given[EnterpriseId(exporter), EnterpriseId(importer)] = token.decode()
    return given


def _open_doors(
    told: HubFile, consortium: Consortium, store: SqliteStore, now_ns: int
) -> dict[tuple[EnterpriseId, EnterpriseId], str]:
    """Return every leave that counts now."""
    account = account_key(told.account_seed)
    own = {
        (HUB, each.enterprise): open_door(account, each.account, now_ns)
        for each in consortium.members
    }
    return own | valid_doors(doors(told, store.scan(ACTIVATION_BUCKET)), consortium, now_ns)


def _office(folder: Path, options: HubOptions, driver: Driver) -> AbstractAsyncContextManager[int]:
    """Answer questions about membership, from who has no account on the bus yet."""

    async def answer(question: bytes) -> bytes:
        try:
            request = parse_request(question)
        except PeerError as error:
            return encode_message(Refused(code=error.code, sentence=error.sentence))
        return encode_message(await driver.ask(OFFICE_PEER, request))

    nats = folder / NATS_FOLDER
    files = ServerFiles(certificate=nats / "certificate.pem", private_key=nats / "private-key.pem")
    return serve(options.network.leaf_host, options.network.office_port, files, answer)


def _hub_server(
    told: HubFile, tokens: Mapping[str, str], options: HubOptions, now_ns: int
) -> HubServer:
    operator = Nkey(Role.OPERATOR, told.operator_seed)
    consortium = verify_trust(told.trust).trust.consortium
    return HubServer(
        name=HUB,
        operator_token=operator_token(operator, consortium=consortium, now_ns=now_ns),
        account_tokens=tokens,
        tls=_fresh_tls(told, options, now_ns),
        leaf_host=options.network.leaf_host,
        leaf_port=options.network.leaf_port,
    )


def _fresh_tls(told: HubFile, options: HubOptions, now_ns: int) -> TlsFiles:
    """Return the hub's certificate made anew: at each start it is good for as long as any."""
    private_key = told.tls_key_pem.encode()
    certificate = _office_of(told).certificate(
        HUB,
        "hub",
        public_key_of(private_key).decode(),
        now_ns,
        hosts_of(options.network.leaf_host),
    )
    return TlsFiles(
        certificate_pem=certificate.encode(),
        private_key_pem=private_key,
        root_pem=told.root_pem.encode(),
    )


def _no_runner(order: Order) -> None:
    sentence = f"The hub has no runner and gave it {type(order.order).__name__}."
    raise AssertionError(sentence)
