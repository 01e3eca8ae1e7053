"""A consortium of simulated members: keys, platforms and trust file, all from their names."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import msgspec

from mutualedge.adapters.nats import Nkey, Role
from mutualedge.adapters.tee_sim import (
    SimulatedPlatform,
    SimulatedRoot,
    make_platform,
    make_test_root,
)
from mutualedge.identity import Consortium, Member, TrustFile, verify_trust
from mutualedge.model import ZERO_DIGEST, AssuranceLevel, Digest, EnterpriseId, NodeId
from mutualedge.node import NodeKeys
from mutualedge.signing import Envelope, SigningKey, sign_record
from tests.simulation.schedule import START_NS

RUNNER_MEASUREMENT = Digest(hashlib.sha256(b"simulated runner").hexdigest())


def seed_of(*parts: str) -> bytes:
    return hashlib.sha256("/".join(parts).encode()).digest()


@cache
def keys_of(name: str) -> NodeKeys:
    return NodeKeys(
        node=SigningKey(seed_of(name, "node")),
        settlement=SigningKey(seed_of(name, "settlement")),
        log=SigningKey(seed_of(name, "log")),
        witness=SigningKey(seed_of(name, "witness")),
        salt_secret=seed_of(name, "salt"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Founded:
    """What every simulated process starts from."""

    trust: Envelope
    consortium: Consortium
    platforms: dict[str, SimulatedPlatform]
    writer: SigningKey
    witness: SigningKey


@cache
def found(names: tuple[str, ...], joiners: tuple[str, ...] = ()) -> Founded:
    """Return what these members found; the machines of those who join later are there already."""
    root = make_test_root("simulated", seed_of("root"), START_NS)
    platforms = {name: _platform(root, name) for name in (*names, *joiners)}
    writer, witness = SigningKey(seed_of("writer")), SigningKey(seed_of("hub-witness"))
    cards = tuple(_card(name) for name in sorted(names))
    trust = TrustFile(
        consortium=EnterpriseId("simulated"),
        version=1,
        previous=ZERO_DIGEST,
        assurance=AssuranceLevel.SIMULATED,
        members=cards,
        writer_key=writer.public_bytes,
        witness_name="simulated.mutualedge/hub/witness",
        witness_key=witness.public_bytes,
        hub_account=Nkey(Role.ACCOUNT, seed_of("hub-account")).public,
        attestation_root=root.certificate,
        runner_measurements=(RUNNER_MEASUREMENT,),
    )
    envelope = sign_record(trust, *map(enterprise_key, names))
    return Founded(
        trust=envelope,
        consortium=verify_trust(envelope),
        platforms=platforms,
        writer=writer,
        witness=witness,
    )


def enterprise_key(name: str) -> SigningKey:
    return SigningKey(seed_of(name, "enterprise"))


def successor(before: Consortium, *names: str, signers: Iterable[str] | None = None) -> Envelope:
    """Return the next version with these members, signed by all of those before unless told."""
    trust = msgspec.structs.replace(
        before.trust,
        version=before.trust.version + 1,
        previous=before.digest,
        members=tuple(_card(name) for name in sorted(names)),
    )
    voters = [each.enterprise for each in before.members] if signers is None else signers
    return sign_record(trust, *map(enterprise_key, voters))


def _platform(root: SimulatedRoot, name: str) -> SimulatedPlatform:
    return make_platform(
        root,
        seed_of(name, "ppid")[:16].hex(),
        START_NS,
        mr_enclave=RUNNER_MEASUREMENT,
        mr_signer="0" * 64,
    )


def _card(name: str) -> Envelope:
    keys = keys_of(name)
    enterprise = enterprise_key(name)
    member = Member(
        enterprise=EnterpriseId(name),
        node=NodeId(f"{name}-1"),
        enterprise_key=enterprise.public_bytes,
        node_key=keys.node.public_bytes,
        settlement_key=keys.settlement.public_bytes,
        log_key=keys.log.public_bytes,
        witness_key=keys.witness.public_bytes,
        account=Nkey(Role.ACCOUNT, seed_of(name, "account")).public,
        platform=seed_of(name, "ppid")[:16].hex(),
    )
    return sign_record(member, enterprise)
