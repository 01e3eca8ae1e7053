"""Founds a consortium on one machine: keys, cards, trust file, certificates, bus credentials."""

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from mutualedge.adapters.nats import (
    Nkey,
    Partner,
    Role,
    account_token,
    activation_token,
    client_user_token,
    credentials_text,
    leaf_user_token,
    operator_token,
)
from mutualedge.adapters.tee_sim import SimulatedPlatform, make_platform, make_test_root
from mutualedge.app.files import (
    SECRET_MODE,
    HubFile,
    NodeFile,
    TlsText,
    enterprise_folder,
    write_process_file,
)
from mutualedge.app.measurement import runner_measurement
from mutualedge.app.options import (
    BorrowingSettings,
    HubNetwork,
    HubOptions,
    LendingSettings,
    NodeNetwork,
    NodeOptions,
    TimingSettings,
    write_settings,
)
from mutualedge.functions import anomaly_bundle
from mutualedge.identity import (
    Member,
    SpiffeIdentity,
    TrustFile,
    create_authority,
    generate_private_key,
    issue_certificate,
    public_key_of,
    verify_trust,
)
from mutualedge.model import NS_PER_S, ZERO_DIGEST, AssuranceLevel, EnterpriseId, NodeId
from mutualedge.signing import Entropy, Envelope, SigningKey, canonical_bytes, sign_record

CREDENTIALS_LIFE_NS = 90 * 24 * 3600 * NS_PER_S
"""Bus credentials last 90 days, as long as the certificates beside them."""

AUTHORITY_FILE = "authority.pem"
"""Key and certificate that renew the members' certificates; belongs offline."""

TRUST_FILE = "trust.json"
OFFLINE_KEY_FILE = "enterprise.key"
HUB = EnterpriseId("hub")


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """Who founds, and how its members lend and borrow."""

    consortium: EnterpriseId
    timing: TimingSettings
    lending: LendingSettings
    borrowers: dict[EnterpriseId, BorrowingSettings]
    members: tuple[EnterpriseId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bus:
    """Accounts and tokens of the consortium's bus."""

    operator: Nkey
    accounts: dict[EnterpriseId, Nkey]
    now_ns: int

    def token(self, name: EnterpriseId) -> str:
        partners = [self._partner(name, other) for other in self.accounts if other != name]
        return account_token(
            self.operator,
            account=self.accounts[name].public,
            name=name,
            partners=partners,
            now_ns=self.now_ns,
        )

    def _partner(self, importer: EnterpriseId, exporter: EnterpriseId) -> Partner:
        activation = activation_token(
            self.accounts[exporter],
            importer=self.accounts[importer].public,
            now_ns=self.now_ns,
            lifetime_ns=CREDENTIALS_LIFE_NS,
        )
        account = self.accounts[exporter].public
        return Partner(name=exporter, account=account, activation=activation)

    def leaf_credentials(self, name: EnterpriseId, user: Nkey) -> str:
        token = leaf_user_token(
            self.accounts[name],
            user=user.public,
            name=name,
            now_ns=self.now_ns,
            lifetime_ns=CREDENTIALS_LIFE_NS,
        )
        return credentials_text(token, user)

    @property
    def names(self) -> dict[str, EnterpriseId]:
        return {account.public: name for name, account in self.accounts.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seeds:
    """The secrets of one member before they are spread over its files."""

    enterprise: bytes
    node: bytes
    settlement: bytes
    log: bytes
    witness: bytes
    salt: bytes

    def card(self, name: EnterpriseId, platform: SimulatedPlatform) -> Envelope:
        member = Member(
            enterprise=name,
            node=NodeId(f"{name}-1"),
            enterprise_key=SigningKey(self.enterprise).public_bytes,
            node_key=SigningKey(self.node).public_bytes,
            settlement_key=SigningKey(self.settlement).public_bytes,
            log_key=SigningKey(self.log).public_bytes,
            witness_key=SigningKey(self.witness).public_bytes,
            platform=platform.ppid,
        )
        return sign_record(member, SigningKey(self.enterprise))


class _Founder:
    """Holds every secret for the length of one founding; on real sites each party has its own."""

    def __init__(self, founding: Founding, folder: Path) -> None:
        self.founding = founding
        self.folder = folder
        self.now_ns = time.time_ns()
        self.entropy = Entropy(os.urandom(32))
        self.root = make_test_root(founding.consortium, self.entropy.draw(), self.now_ns)
        self.seeds = {name: self._seeds() for name in founding.members}
        self.platforms = {name: self._platform() for name in founding.members}
        self.writer, self.witness = self.entropy.draw(), self.entropy.draw()
        self.authority = create_authority(
            founding.consortium, entropy=self.entropy, now_ns=self.now_ns
        )
        self.bus = _Bus(
            operator=Nkey(Role.OPERATOR, self.entropy.draw()),
            accounts={
                name: Nkey(Role.ACCOUNT, self.entropy.draw()) for name in (*founding.members, HUB)
            },
            now_ns=self.now_ns,
        )

    def _seeds(self) -> _Seeds:
        draw = self.entropy.draw
        return _Seeds(
            enterprise=draw(),
            node=draw(),
            settlement=draw(),
            log=draw(),
            witness=draw(),
            salt=draw(),
        )

    def _platform(self) -> SimulatedPlatform:
        return make_platform(
            self.root,
            self.entropy.draw()[:16].hex(),
            self.now_ns,
            mr_enclave=runner_measurement(),
            mr_signer="0" * 64,
        )

    def trust(self) -> Envelope:
        names = sorted(self.founding.members)
        trust = TrustFile(
            consortium=self.founding.consortium,
            version=1,
            previous=ZERO_DIGEST,
            assurance=AssuranceLevel.SIMULATED,
            members=tuple(self.seeds[n].card(n, self.platforms[n]) for n in names),
            writer_key=SigningKey(self.writer).public_bytes,
            witness_name=f"{self.founding.consortium}.mutualedge/hub/witness",
            witness_key=SigningKey(self.witness).public_bytes,
            attestation_root=self.root.certificate,
            runner_measurements=(runner_measurement(),),
        )
        return sign_record(trust, *(SigningKey(self.seeds[n].enterprise) for n in names))

    def tls(self, name: EnterpriseId, role: str) -> TlsText:
        key = generate_private_key(self.entropy)
        identity = SpiffeIdentity(consortium=self.founding.consortium, enterprise=name, role=role)
        certificate = issue_certificate(
            self.authority,
            public_key_pem=public_key_of(key),
            identity=identity,
            now_ns=self.now_ns,
            lifetime_ns=CREDENTIALS_LIFE_NS,
        )
        return TlsText(
            certificate_pem=certificate.decode(),
            private_key_pem=key.decode(),
            root_pem=self.authority.certificate_pem.decode(),
        )

    def hub_file(self, trust: Envelope) -> HubFile:
        user = Nkey(Role.USER, seed := self.entropy.draw())
        token = client_user_token(
            self.bus.accounts[HUB],
            user=user.public,
            name="hub",
            now_ns=self.now_ns,
            lifetime_ns=CREDENTIALS_LIFE_NS,
        )
        return HubFile(
            trust=trust,
            writer_seed=self.writer,
            witness_seed=self.witness,
            operator_token=operator_token(
                self.bus.operator, consortium=self.founding.consortium, now_ns=self.now_ns
            ),
            account_tokens={
                account.public: self.bus.token(name) for name, account in self.bus.accounts.items()
            },
            names=self.bus.names,
            client_token=token,
            client_seed=seed,
            tls=self.tls(HUB, "hub"),
        )

    def node_file(self, name: EnterpriseId, trust: Envelope) -> NodeFile:
        seeds, platform = self.seeds[name], self.platforms[name]
        user = Nkey(Role.USER, self.entropy.draw())
        return NodeFile(
            enterprise=name,
            trust=trust,
            node_seed=seeds.node,
            settlement_seed=seeds.settlement,
            log_seed=seeds.log,
            witness_seed=seeds.witness,
            salt_secret=seeds.salt,
            bundle=anomaly_bundle().raw,
            platform=platform.to_bytes(),
            collateral=platform.collateral,
            names=self.bus.names,
            node_password=self.entropy.draw().hex(),
            intake_password=self.entropy.draw().hex(),
            device_password=self.entropy.draw().hex(),
            leaf_credentials=self.bus.leaf_credentials(name, user),
            tls=self.tls(name, "leaf"),
        )

    def node_options(self, name: EnterpriseId, hub_port: int) -> NodeOptions:
        return NodeOptions(
            network=NodeNetwork(hub_port=hub_port),
            timing=self.founding.timing,
            lending=self.founding.lending,
            borrowing=self.founding.borrowers.get(name),
        )


def found_consortium(founding: Founding, folder: Path) -> Envelope:
    """Write every process's folder and the trust file; return the trust file.

    On one machine one program holds all secrets for a moment; that is what makes it a rehearsal.
    """
    founder = _Founder(founding, folder)
    trust = founder.trust()
    verify_trust(trust)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / TRUST_FILE).write_bytes(canonical_bytes(trust))
    authority = founder.authority
    _write_secret(folder / AUTHORITY_FILE, authority.private_key_pem + authority.certificate_pem)
    leaf_port = _free_port()
    write_process_file(folder / HUB, founder.hub_file(trust))
    write_settings(folder / HUB, HubOptions(network=HubNetwork(leaf_port=leaf_port)))
    for name in founding.members:
        own = enterprise_folder(folder, name)
        write_process_file(own, founder.node_file(name, trust))
        write_settings(own, founder.node_options(name, leaf_port))
        _write_secret(own / OFFLINE_KEY_FILE, founder.seeds[name].enterprise.hex().encode())
    return trust


def _write_secret(path: Path, content: bytes) -> None:
    path.touch(mode=SECRET_MODE)
    path.write_bytes(content)


def _free_port() -> int:
    """Return a port that was free a moment ago; the server says clearly if it no longer is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
