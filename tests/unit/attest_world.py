"""One lease between two members in simulated assurance, and evidence for it to spoil."""

from dataclasses import dataclass
from hashlib import sha256

import msgspec

from mutualedge.adapters.nats import Nkey, Role
from mutualedge.adapters.tee_sim import SimulatedPlatform, make_platform, make_test_root
from mutualedge.attest import (
    Appraisal,
    AppraisalPolicy,
    MeterAttestation,
    Placement,
    check_evidence,
    policy_for,
    report_data,
)
from mutualedge.identity import Consortium, Member, TrustFile
from mutualedge.market import Agreement
from mutualedge.model import (
    NS_PER_MS,
    NS_PER_S,
    ZERO_DIGEST,
    AssuranceLevel,
    Digest,
    EnterpriseId,
    InvocationId,
    LeaseId,
    Microcredits,
    Milliseconds,
    NodeId,
    format_instant,
    parse_instant,
)
from mutualedge.signing import SigningKey, sign_record

NOW_NS = parse_instant("2026-11-21T08:00:00.000Z")
NOW_S = NOW_NS // NS_PER_S
DAY_NS = 86_400 * NS_PER_S

RUNNER = "11" * 32
SIGNER = "22" * 32
MACHINE = "ab" * 16
OTHER_MACHINE = "cd" * 16

ROOT = make_test_root("valley", bytes(32), NOW_NS)
PLATFORM = make_platform(ROOT, MACHINE, NOW_NS, mr_enclave=RUNNER, mr_signer=SIGNER)
FUNCTION = Digest("f0" * 32)
TRUST = Digest("7a" * 32)
LEASE = LeaseId("1e" * 32)
HANDSHAKE = b"h" * 32
METER_KEY = SigningKey(b"m" * 32).public_bytes
NODE_KEY = SigningKey(b"n" * 32)


def member(enterprise: str, platform: str) -> Member:
    def public(role: str) -> bytes:
        return SigningKey(sha256(f"{role} of {enterprise}".encode()).digest()).public_bytes

    return Member(
        enterprise=EnterpriseId(enterprise),
        node=NodeId(f"{enterprise}-node"),
        enterprise_key=public("enterprise"),
        node_key=NODE_KEY.public_bytes if enterprise == "bolt" else public("node"),
        settlement_key=public("settlement"),
        log_key=public("log"),
        witness_key=public("witness"),
        account=Nkey(Role.ACCOUNT, sha256(enterprise.encode()).digest()).public,
        platform=platform,
    )


def consortium(
    root: bytes = ROOT.certificate, assurance: AssuranceLevel = AssuranceLevel.SIMULATED
) -> Consortium:
    members = (member("acme", OTHER_MACHINE), member("bolt", MACHINE))
    trust = TrustFile(
        consortium=EnterpriseId("valley"),
        version=1,
        previous=ZERO_DIGEST,
        assurance=assurance,
        members=tuple(sign_record(each, NODE_KEY) for each in members),
        writer_key=bytes(32),
        witness_name="hub",
        witness_key=bytes(32),
        hub_account=Nkey(Role.ACCOUNT, bytes(32)).public,
        attestation_root=root,
        runner_measurements=(Digest(RUNNER),),
    )
    valley = Consortium(trust, sign_record(trust), members)
    valley.digest = TRUST  # whatever a test changes, its evidence is made for this file
    return valley


def agreement(assurance: AssuranceLevel = AssuranceLevel.SIMULATED) -> Agreement:
    return Agreement(
        requester=EnterpriseId("acme"),
        provider=EnterpriseId("bolt"),
        node=NodeId("bolt-node"),
        function=FUNCTION,
        budget_ns=10 * NS_PER_MS,
        period_ns=100 * NS_PER_MS,
        deadline_ns=50 * NS_PER_MS,
        opens_by=format_instant(NOW_NS + 60 * NS_PER_S),
        starts=format_instant(NOW_NS),
        ends=format_instant(NOW_NS + 60 * NS_PER_S),
        price_microcredits=Microcredits(3),
        window_calls=64,
        window_ms=Milliseconds(10_000),
        dispute_window_ms=Milliseconds(120_000),
        network_ms=Milliseconds(5),
        assurance=assurance,
        nonce=InvocationId("0" * 32),
    )


def bound_data(
    *,
    handshake: bytes = HANDSHAKE,
    function: Digest = FUNCTION,
    meter_key: bytes = METER_KEY,
    trust: Digest = TRUST,
) -> bytes:
    """Return the report data of a session's evidence."""
    return report_data(
        backend="sgx",
        trust_digest=trust,
        handshake=handshake,
        bundle_digest=function,
        meter_key=meter_key,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The facts of one attested session; a test changes one and looks at the verdict."""

    handshake: bytes = HANDSHAKE
    meter_key: bytes = METER_KEY
    platform: SimulatedPlatform = PLATFORM
    node_key: SigningKey = NODE_KEY
    placed_ns: int = NOW_NS
    placed_on: str = MACHINE

    def attestation(self) -> MeterAttestation:
        placement = Placement(
            lease=LEASE,
            node=NodeId("bolt-node"),
            platform=self.placed_on,
            handshake=self.handshake,
            at=format_instant(self.placed_ns),
        )
        bound = bound_data(handshake=self.handshake, meter_key=self.meter_key)
        return MeterAttestation(
            lease=LEASE,
            meter_key=self.meter_key,
            function=FUNCTION,
            backend="sgx",
            handshake=self.handshake,
            evidence=self.platform.collect(bound),
            collateral=self.platform.collateral,
            placement=sign_record(placement, self.node_key),
        )


GOOD = Session().attestation()
POLICY = policy_for(consortium(), agreement())


def with_collateral(collateral: bytes) -> MeterAttestation:
    return msgspec.structs.replace(GOOD, collateral=collateral)


def codes(
    attestation: MeterAttestation, policy: AppraisalPolicy = POLICY, now_ns: int = NOW_NS
) -> tuple[str, ...]:
    """Return the codes of all reasons for refusal; nothing if the evidence was accepted."""
    outcome = check_evidence(policy, attestation, LEASE, now_ns)
    if isinstance(outcome, Appraisal):
        return ()
    assert outcome.reasons
    return tuple(reason.code for reason in outcome.reasons)
