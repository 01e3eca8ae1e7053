"""A real consortium on this machine for tests: hub, two linked enterprises, a rival outside."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Protocol

import pytest
from nats.aio.msg import Msg

from mutualedge.adapters.nats import (
    EnterpriseServer,
    HubLink,
    HubServer,
    LocalUser,
    NatsClient,
    NatsServer,
    Nkey,
    Partner,
    PasswordLogin,
    Request,
    Role,
    TlsFiles,
    TokenLogin,
    account_token,
    activation_token,
    client_user_token,
    connect,
    credentials_text,
    leaf_user_token,
    operator_token,
    start_server,
)
from mutualedge.adapters.nats.credentials import _user_token, _Validity
from mutualedge.errors import MutualEdgeError, Unreachable
from mutualedge.identity.certificates import (
    SpiffeIdentity,
    create_authority,
    generate_private_key,
    issue_certificate,
    public_key_of,
)
from mutualedge.model import NS_PER_S, EnterpriseId
from mutualedge.signing import Entropy

HOUR_NS = 3600 * NS_PER_S
NAMES = tuple(EnterpriseId(name) for name in ("bakery", "harbour", "rival", "hub"))
BAKERY, HARBOUR, RIVAL, HUB = NAMES


def local_user(name: str) -> LocalUser:
    return LocalUser(name=name, password=f"{name}-secret")


ALONE = EnterpriseServer(
    name="alone",
    node_user=local_user("node"),
    intake_user=local_user("intake"),
    device_users=(local_user("press"), local_user("oven")),
)
"""An enterprise without partners; with a link it is one of a consortium."""


SCENARIO_S_MAX = 60
"""A scenario takes one or two seconds; this only ends one that hangs."""

PATIENCE_S = 10.0
"""For what must come: it comes in milliseconds, and on a busy machine in a second."""

Scenario = Callable[[Path], Awaitable[None]]


class MakeToken(Protocol):
    def __call__(
        self, account: Nkey, *, user: str, name: str, now_ns: int, lifetime_ns: int
    ) -> str: ...


def seed(text: str) -> bytes:
    return text.encode().ljust(32, b".")


@dataclass(kw_only=True)
class Consortium:
    """Keys and servers; every enterprise may call every other, except the rival, which may not."""

    folder: Path
    stack: AsyncExitStack
    now_ns: int = field(default_factory=time.time_ns)
    leaves_confined: bool = True
    entropy: Entropy = field(default_factory=lambda: Entropy(b"t" * 32))
    servers: dict[EnterpriseId, NatsServer] = field(default_factory=dict)
    reported: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.authority = create_authority("test", entropy=self.entropy, now_ns=self.now_ns)
        self.operator = Nkey(Role.OPERATOR, seed("operator"))
        self.accounts = {name: Nkey(Role.ACCOUNT, seed(name)) for name in NAMES}

    def tls(self, enterprise: str) -> TlsFiles:
        key = generate_private_key(self.entropy)
        certificate = issue_certificate(
            self.authority,
            public_key_pem=public_key_of(key),
            identity=SpiffeIdentity(consortium="test", enterprise=enterprise, role="leaf"),
            now_ns=self.now_ns,
        )
        root = self.authority.certificate_pem
        return TlsFiles(certificate_pem=certificate, private_key_pem=key, root_pem=root)

    def partner(self, importer: EnterpriseId, exporter: EnterpriseId) -> Partner:
        """Return the exporter's leave; the rival shows one that was given to somebody else."""
        shown = BAKERY if importer == RIVAL else importer
        activation = activation_token(
            self.accounts[exporter],
            importer=self.accounts[shown].public,
            now_ns=self.now_ns,
            lifetime_ns=HOUR_NS,
        )
        account = self.accounts[exporter].public
        return Partner(name=exporter, account=account, activation=activation)

    def account(self, name: EnterpriseId) -> str:
        return account_token(
            self.operator,
            account=self.accounts[name].public,
            name=name,
            partners=[self.partner(name, each) for each in NAMES if each != name],
            now_ns=self.now_ns,
        )

    def hub_settings(self, *names: EnterpriseId) -> HubServer:
        return HubServer(
            name="hub",
            operator_token=operator_token(self.operator, consortium="test", now_ns=self.now_ns),
            account_tokens={self.accounts[n].public: self.account(n) for n in names or NAMES},
            tls=self.tls("hub"),
        )

    async def start_hub(self, *, leaf_port: int = 0) -> NatsServer:
        settings = replace(self.hub_settings(), leaf_port=leaf_port)
        server = await start_server(settings, self.folder / "hub")
        self.servers[HUB] = await self.stack.enter_async_context(server)
        return server

    def enterprise_settings(self, name: EnterpriseId) -> EnterpriseServer:
        user = Nkey(Role.USER, seed(f"{name}-leaf"))
        token = self.user_token(leaf_user_token, self.accounts[name], user, self.leaves_confined)
        hub_port = self.servers[HUB].leaf_port
        assert hub_port is not None
        link = HubLink(
            host="127.0.0.1",
            port=hub_port,
            credentials=credentials_text(token, user),
            tls=self.tls(name),
        )
        return replace(ALONE, name=name, hub=link)

    def leaf_credentials(self, name: EnterpriseId, lifetime_ns: int) -> str:
        """Return credentials that last so long from now."""
        user = Nkey(Role.USER, seed(f"{name}-leaf"))
        token = leaf_user_token(
            self.accounts[name],
            user=user.public,
            name="test",
            now_ns=time.time_ns(),
            lifetime_ns=lifetime_ns,
        )
        return credentials_text(token, user)

    async def start_enterprise(self, name: EnterpriseId) -> NatsServer:
        server = await start_server(self.enterprise_settings(name), self.folder / name)
        self.servers[name] = await self.stack.enter_async_context(server)
        return server

    async def connect(self, enterprise: EnterpriseId, user: str = "node") -> NatsClient:
        url = self.servers[enterprise].client_url
        login = PasswordLogin(user=user, password=f"{user}-secret")
        client = await connect(url, login, name=f"{enterprise}-{user}", report=self.report)
        return await self.stack.enter_async_context(client)

    async def connect_hub(self, signer: Nkey, *, is_confined: bool = True) -> NatsClient:
        """Connect at the hub as a user whom this account key signed."""
        user = Nkey(Role.USER, seed("hub-process"))
        token = self.user_token(client_user_token, signer, user, is_confined)
        login = TokenLogin(token=token, key=user)
        url = self.servers[HUB].client_url
        client = await connect(url, login, name="hub", report=self.report)
        return await self.stack.enter_async_context(client)

    def user_token(self, make: MakeToken, signer: Nkey, user: Nkey, is_confined: bool) -> str:
        """Return the product's token for a user, or one with every right in its account."""
        if is_confined:
            return make(
                signer, user=user.public, name="test", now_ns=self.now_ns, lifetime_ns=HOUR_NS
            )
        validity = _Validity(now_ns=self.now_ns, lifetime_ns=HOUR_NS)
        return _user_token(signer, user.public, "test", {}, validity)

    def report(self, event: str, detail: str) -> None:
        self.reported.append((event, detail))


@asynccontextmanager
async def consortium(folder: Path, *enterprises: EnterpriseId) -> AsyncIterator[Consortium]:
    """Run a hub and these enterprises' servers until the block ends."""
    async with AsyncExitStack() as stack:
        world = Consortium(folder=folder, stack=stack)
        await world.start_hub()
        for name in enterprises:
            await world.start_enterprise(name)
        yield world


@dataclass(kw_only=True)
class Ears:
    """All that passes in one account on one server, replies too; answers nothing itself."""

    heard: list[tuple[str, bytes]] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, message: Msg) -> None:
        self.heard.append((message.subject, message.data))
        self._more.set()

    async def wait_payload(self, payload: bytes) -> None:
        """Return once this was heard, and with it all that was sent on the same way before."""
        while payload not in self.payloads:
            self._more.clear()
            await self._more.wait()

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.heard]


async def listen(client: NatsClient, subject: str) -> Ears:
    """Listen from now on; once this returns the client's server knows it."""
    ears = Ears()
    await client._subscribe(subject, ears.take)
    return ears


async def echo(request: Request) -> bytes:
    return request.payload


async def wait_answer(client: NatsClient, subject: str, *, timeout_s: float = 10.0) -> bytes:
    """Return the first answer on a subject whose way has yet to open."""
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                return await client.request(subject, b"ping", timeout_s=1.0)
            except Unreachable:
                await asyncio.sleep(0.02)


def on_loop(scenario: Scenario) -> Callable[[Path], None]:
    """Run an asynchronous test on a fresh event loop, within a minute."""

    @wraps(scenario)
    def test(tmp_path: Path) -> None:
        async def main() -> None:
            async with asyncio.timeout(SCENARIO_S_MAX):
                await scenario(tmp_path)

        asyncio.run(main())

    return test


@asynccontextmanager
async def alone(folder: Path) -> AsyncIterator[Consortium]:
    """Run one enterprise's server without a hub."""
    async with consortium(folder) as world:
        server = await start_server(ALONE, folder / "alone")
        world.servers[BAKERY] = await world.stack.enter_async_context(server)
        yield world


async def error_of(asked: Awaitable[object]) -> MutualEdgeError:
    with pytest.raises(MutualEdgeError) as caught:
        await asked
    return caught.value
