"""Founds a consortium: keys, cards, trust file, certificates, bus accounts, on one machine."""

import contextlib
import os
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from secrets import randbelow

from mutualedge.adapters.tee_sim import make_test_root
from mutualedge.app.accounts import account_key, open_door
from mutualedge.app.enterprise import EnterpriseSecrets
from mutualedge.app.files import (
    DoorOpened,
    HubFile,
    NodeFile,
    enterprise_folder,
    write_process_file,
    write_whole,
)
from mutualedge.app.measurement import runner_measurement
from mutualedge.app.office import Office
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
from mutualedge.errors import UsageError
from mutualedge.identity import (
    HUB,
    TrustFile,
    create_authority,
    generate_private_key,
    verify_trust,
)
from mutualedge.model import ZERO_DIGEST, AssuranceLevel, EnterpriseId
from mutualedge.signing import Entropy, Envelope, SigningKey, canonical_bytes, sign_record

__all__ = ["HUB", "Founding", "Place", "found_consortium"]

TRUST_FILE = "trust.json"
OFFLINE_KEY_FILE = "enterprise.key"
LOOPBACK = "127.0.0.1"

KEPT_PORTS = range(20_000, 32_000)
"""Linux lends connections ports from 32768 on (ip(7), ip_local_port_range)."""

TRIES_MAX = 100
"""Ports tried; one after the other taken means that the host is not this machine's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the hub is reached; a port of 0 takes any that is free now."""

    host: str = LOOPBACK
    leaf_port: int = 0
    office_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """Who founds, and how its members lend and borrow.

    Attributes:
        are_ports_fixed: Devices find each node under one port for as long as its folder lives.
    """

    consortium: EnterpriseId
    timing: TimingSettings
    lending: LendingSettings
    borrowers: dict[EnterpriseId, BorrowingSettings]
    members: tuple[EnterpriseId, ...]
    place: Place = field(default_factory=Place)
    are_ports_fixed: bool = False


class _Founder:
    """Holds every secret for the length of one founding; on real sites each party has its own."""

    def __init__(self, founding: Founding) -> None:
        self.founding = founding
        self.now_ns = time.time_ns()
        self.entropy = Entropy(os.urandom(32))
        self.root = make_test_root(founding.consortium, self.entropy.draw(), self.now_ns)
        self.authority = create_authority(
            founding.consortium, entropy=self.entropy, now_ns=self.now_ns
        )
        self.office = Office(self.authority, self.root)
        self.members = {
            name: EnterpriseSecrets.draw(name, self.entropy) for name in founding.members
        }
        self.writer, self.witness = self.entropy.draw(), self.entropy.draw()
        self.operator, self.hub_account = self.entropy.draw(), self.entropy.draw()

    def trust(self) -> Envelope:
        names = sorted(self.members)
        trust = TrustFile(
            consortium=self.founding.consortium,
            version=1,
            previous=ZERO_DIGEST,
            assurance=AssuranceLevel.SIMULATED,
            members=tuple(self.members[name].card() for name in names),
            writer_key=SigningKey(self.writer).public_bytes,
            witness_name=f"{self.founding.consortium}.mutualedge/hub/witness",
            witness_key=SigningKey(self.witness).public_bytes,
            hub_account=account_key(self.hub_account).public,
            attestation_root=self.root.certificate,
            runner_measurements=(runner_measurement(),),
        )
        return sign_record(trust, *(SigningKey(self.members[n].enterprise) for n in names))

    def doors(self) -> tuple[DoorOpened, ...]:
        """Return each member's leave for the others to call it, as joining would collect it."""
        accounts = {name: account_key(each.account) for name, each in self.members.items()}
        importers = {HUB: account_key(self.hub_account)} | accounts
        return tuple(
            DoorOpened(
                exporter=name, importer=other, activation=open_door(key, to.public, self.now_ns)
            )
            for name, key in accounts.items()
            for other, to in importers.items()
            if name != other
        )

    def hub_file(self, trust: Envelope) -> HubFile:
        return HubFile(
            trust=trust,
            writer_seed=self.writer,
            witness_seed=self.witness,
            operator_seed=self.operator,
            account_seed=self.hub_account,
            doors=self.doors(),
            authority_key_pem=self.authority.private_key_pem.decode(),
            test_root_seed=self.root.seed,
            tls_key_pem=generate_private_key(self.entropy).decode(),
            root_pem=self.authority.certificate_pem.decode(),
        )

    def node_file(self, name: EnterpriseId, trust: Envelope) -> NodeFile:
        secrets = self.members[name]
        granted = self.office.credentials(
            secrets.member, secrets.tls_public_key_pem, runner_measurement(), self.now_ns
        )
        root_pem = self.authority.certificate_pem.decode()
        return secrets.node_file(trust, granted, root_pem, self.entropy)

    def node_options(self, name: EnterpriseId, place: Place, client_port: int) -> NodeOptions:
        return NodeOptions(
            network=NodeNetwork(
                hub_host=place.host,
                hub_port=place.leaf_port,
                office_port=place.office_port,
                client_port=client_port,
            ),
            timing=self.founding.timing,
            lending=self.founding.lending,
            borrowing=self.founding.borrowers.get(name),
        )


def found_consortium(founding: Founding, folder: Path) -> Envelope:
    """Write every process's folder and the trust file; return the trust file.

    On one machine one program holds all secrets for a moment; that is what makes it a rehearsal.
    A consortium founded by one enterprise, which others join, has no such moment.
    """
    founder = _Founder(founding)
    trust = founder.trust()
    verify_trust(trust)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / TRUST_FILE).write_bytes(canonical_bytes(trust))
    place = _settled(founding.place)
    network = HubNetwork(
        leaf_host=place.host, leaf_port=place.leaf_port, office_port=place.office_port
    )
    write_process_file(folder / HUB, founder.hub_file(trust))
    write_settings(folder / HUB, HubOptions(network=network))
    for (name, secrets), port in zip(founder.members.items(), _ports(founding), strict=True):
        own = enterprise_folder(folder, name)
        write_process_file(own, founder.node_file(name, trust))
        write_settings(own, founder.node_options(name, place, port))
        write_offline_key(own, secrets)
    return trust


def write_offline_key(own: Path, secrets: EnterpriseSecrets) -> None:
    """Write the enterprise key beside the process, for its owner to take off the machine."""
    write_whole(own / OFFLINE_KEY_FILE, secrets.enterprise.hex().encode())


def _settled(place: Place) -> Place:
    """Return the place with ports that were free a moment ago, where any will do."""
    leaf_port, office_port = free_ports(place.host, (place.leaf_port, place.office_port))
    return Place(host=place.host, leaf_port=leaf_port, office_port=office_port)


def _ports(founding: Founding) -> list[int]:
    """Return each member's port for its devices, 0 where any will do at each start."""
    count = len(founding.members)
    return free_ports(LOOPBACK, [0] * count) if founding.are_ports_fixed else [0] * count


def free_ports(host: str, wanted: Sequence[int]) -> list[int]:
    """Return each wanted port, or for 0 a free one, all different.

    A port that is kept lies below those the system lends to connections: otherwise any of them may
    have it by the time its owner starts.

    Raises:
        UsageError: None was found.
    """
    with ExitStack() as stack:
        return [port or _free_port(host, stack) for port in wanted]


def _free_port(host: str, stack: ExitStack) -> int:
    """Return a port that is free, and held until the stack closes."""
    for _ in range(TRIES_MAX):
        port = KEPT_PORTS.start + randbelow(len(KEPT_PORTS))
        probe = stack.enter_context(socket.socket())
        with contextlib.suppress(OSError):
            probe.bind((host, port))
            return port
    sentence = (
        f"No port of {KEPT_PORTS.start} to {KEPT_PORTS.stop - 1} is free on {host}; name one."
    )
    raise UsageError("app.port.none", sentence)
