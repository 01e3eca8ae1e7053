"""Each reason for refusing evidence, alone, and that all of them are told."""

from dataclasses import replace

import msgspec
import pytest

from mutualedge.adapters.tee_sim import make_collateral, make_platform, make_test_root
from mutualedge.attest import (
    PLACEMENT_SKEW_NS,
    MeterAttestation,
    Refusal,
    appraise,
    check_evidence,
    policy_for,
)
from mutualedge.errors import AttestationFailed, PeerError
from mutualedge.model import AssuranceLevel, Digest, EnterpriseId, LeaseId
from mutualedge.signing import SigningKey
from tests.unit.attest_world import (
    DAY_NS,
    GOOD,
    HANDSHAKE,
    LEASE,
    MACHINE,
    METER_KEY,
    NOW_NS,
    OTHER_MACHINE,
    PLATFORM,
    POLICY,
    ROOT,
    RUNNER,
    SIGNER,
    Session,
    agreement,
    bound_data,
    codes,
    consortium,
    with_collateral,
)


def test_good_evidence_proves_the_simulated_level() -> None:
    """Evidence under a test root is accepted, and never as more than simulated."""
    appraisal = appraise(GOOD, consortium(), agreement(), LEASE, NOW_NS)
    assert appraisal.assurance is AssuranceLevel.SIMULATED
    assert appraisal.claims.mr_enclave == RUNNER
    assert appraisal.claims.platform == MACHINE
    assert appraisal.reasons == ()


def quoted(evidence: bytes) -> MeterAttestation:
    return msgspec.structs.replace(GOOD, evidence=evidence)


def bound_to_this_session() -> bytes:
    return bound_data()


def test_debug_enclave() -> None:
    """A debug enclave is refused, whatever else is right."""
    evidence = PLATFORM.quote(bound_to_this_session(), RUNNER, SIGNER, debug=True)
    assert codes(quoted(evidence)) == ("attest.evidence.debug",)


def test_wrong_measurement() -> None:
    """A genuine enclave that runs another program is refused."""
    evidence = PLATFORM.quote(bound_to_this_session(), "33" * 32, SIGNER)
    assert codes(quoted(evidence)) == ("attest.evidence.measurement",)


def test_another_release_is_named_by_both_measurements() -> None:
    """Who reads the refusal sees whose runner is which, and that one of the two must update."""
    evidence = PLATFORM.quote(bound_to_this_session(), "33" * 32, SIGNER)
    outcome = check_evidence(POLICY, quoted(evidence), LEASE, NOW_NS)
    assert isinstance(outcome, Refusal)
    (reason,) = outcome.reasons
    named = ("33" * 32, RUNNER, POLICY.provider, "installs the other's release")
    assert all(each in reason.sentence for each in named)


def test_diversion_to_another_machine() -> None:
    """A genuine runner on a machine the provider did not register is refused."""
    other = make_platform(ROOT, OTHER_MACHINE, NOW_NS, mr_enclave=RUNNER, mr_signer=SIGNER)
    diverted = Session(platform=other).attestation()
    assert codes(diverted) == ("attest.platform.unregistered",)


def test_diversion_that_the_provider_admits() -> None:
    """Signing a placement for the other machine does not make it the registered one."""
    other = make_platform(ROOT, OTHER_MACHINE, NOW_NS, mr_enclave=RUNNER, mr_signer=SIGNER)
    diverted = Session(platform=other, placed_on=OTHER_MACHINE).attestation()
    assert codes(diverted) == ("attest.platform.unregistered", "attest.placement.mismatch")


def test_spliced_evidence() -> None:
    """Evidence from another handshake with the same runner is refused: replay or relay."""
    elsewhere = Session(handshake=b"x" * 32).attestation()
    assert codes(quoted(elsewhere.evidence)) == ("attest.evidence.binding",)


def test_spliced_evidence_with_its_placement() -> None:
    """Neither does it help to bring along the placement of that other handshake."""
    elsewhere = Session(handshake=b"x" * 32).attestation()
    spliced = msgspec.structs.replace(elsewhere, handshake=HANDSHAKE)
    assert codes(spliced) == ("attest.evidence.binding", "attest.placement.mismatch")


def test_swapped_meter_key() -> None:
    """Evidence does not vouch for a meter key that it does not name."""
    swapped = msgspec.structs.replace(GOOD, meter_key=SigningKey(b"z" * 32).public_bytes)
    assert codes(swapped) == ("attest.evidence.binding",)


def test_other_function() -> None:
    """A runner that loaded another bundle is refused even if its evidence says so honestly."""
    function = Digest("0f" * 32)
    evidence = PLATFORM.collect(bound_data(function=function))
    honest = msgspec.structs.replace(GOOD, function=function, evidence=evidence)
    assert codes(honest) == ("attest.subject.function",)


def test_other_trust_file() -> None:
    """A runner that believes other members' keys is refused: it may take anyone for us."""
    evidence = PLATFORM.collect(bound_data(trust=Digest("0f" * 32)))
    assert codes(quoted(evidence)) == ("attest.evidence.binding",)


def test_other_lease() -> None:
    """An attestation made for one lease says nothing about another."""
    outcome = check_evidence(POLICY, GOOD, LeaseId("2e" * 32), NOW_NS)
    assert [reason.code for reason in outcome.reasons] == ["attest.subject.lease"]


def test_placement_by_another_key() -> None:
    """Only the provider's node key places a runner."""
    forged = Session(node_key=SigningKey(b"x" * 32)).attestation()
    assert codes(forged) == ("attest.placement.unsigned",)


def test_placement_with_an_impossible_date() -> None:
    """A date that has the form of one and is none counts as no placement."""
    payload = GOOD.placement.payload.replace(b"2026-11-21", b"2026-13-45")
    placement = msgspec.structs.replace(GOOD.placement, payload=payload)
    dated = msgspec.structs.replace(GOOD, placement=placement)
    assert codes(dated) == ("attest.placement.unsigned",)


@pytest.mark.parametrize("sign", [-1, 1])
def test_stale_placement(sign: int) -> None:
    """A placement is accepted up to the clock skew, in either direction, and not beyond."""
    at_limit = Session(placed_ns=NOW_NS + sign * PLACEMENT_SKEW_NS).attestation()
    beyond = Session(placed_ns=NOW_NS + sign * (PLACEMENT_SKEW_NS + 1_000_000)).attestation()
    assert codes(at_limit) == ()
    assert codes(beyond) == ("attest.placement.stale",)


def test_wrong_root() -> None:
    """Evidence under another consortium's test root is refused."""
    stranger = make_test_root("hills", b"\x01" * 32, NOW_NS)
    policy = policy_for(consortium(stranger.certificate), agreement())
    assert codes(GOOD, policy) == ("attest.evidence.signature",)


def test_unreadable_root() -> None:
    """A trust file without a certificate as its root accepts nothing."""
    policy = policy_for(consortium(b"no certificate"), agreement())
    assert codes(GOOD, policy) == ("attest.evidence.signature",)


@pytest.mark.parametrize(
    "status", ["OutOfDate", "ConfigurationNeeded", "OutOfDateConfigurationNeeded"]
)
def test_tcb_status(status: str) -> None:
    """A machine that is out of date or misconfigured is refused although its quote verifies."""
    collateral = make_collateral(ROOT, NOW_NS, tcb_status=status)
    assert codes(with_collateral(collateral)) == ("attest.tcb.status",)


def test_advisory_outside_the_allow_list() -> None:
    """Hardening is tolerated only for advisories the policy names, and then it is told."""
    told = make_collateral(
        ROOT, NOW_NS, tcb_status="SWHardeningNeeded", advisories=("INTEL-SA-00615",)
    )
    hardened = with_collateral(told)
    assert codes(hardened) == ("attest.tcb.advisory",)
    lenient = replace(POLICY, advisories=("INTEL-SA-00615",))
    outcome = check_evidence(lenient, hardened, LEASE, NOW_NS)
    assert [reason.code for reason in outcome.reasons] == ["attest.tcb.tolerated"]


def test_rolled_back_collateral() -> None:
    """Collateral of an earlier evaluation than the policy knows is refused."""
    policy = replace(POLICY, tcb_evaluation_number_min=5)
    assert codes(GOOD, policy) == ("attest.tcb.evaluation",)
    assert codes(with_collateral(make_collateral(ROOT, NOW_NS, evaluation_number=5)), policy) == ()


def test_revoked_machine() -> None:
    """A machine on the revocation list is refused."""
    revoked = make_collateral(ROOT, NOW_NS, revoked_platforms=(MACHINE,))
    assert codes(with_collateral(revoked)) == ("attest.evidence.signature",)
    spared = make_collateral(ROOT, NOW_NS, revoked_platforms=(OTHER_MACHINE,))
    assert codes(with_collateral(spared)) == ()


def test_clock_sweep() -> None:
    """Collateral counts from its issue to its expiry, and on no day outside."""
    verdicts = {}
    for day in (-1, 0, 15, 89, 91, 400):
        now_ns = NOW_NS + day * DAY_NS
        verdicts[day] = codes(Session(placed_ns=now_ns).attestation(), now_ns=now_ns)
    early, late = ("attest.collateral.not-yet-valid",), ("attest.collateral.expired",)
    assert verdicts == {-1: early, 0: (), 15: (), 89: (), 91: late, 400: late}


@pytest.mark.parametrize("level", [level for level in AssuranceLevel if level.rank])
def test_test_root_above_simulated(level: AssuranceLevel) -> None:
    """A consortium above simulated never accepts a test root, even for a simulated lease."""
    policy = policy_for(consortium(assurance=level), agreement())
    assert codes(GOOD, policy) == ("attest.root.test",)


def test_assurance_too_low() -> None:
    """Simulated evidence never reaches an agreement that demands an enclave."""
    policy = policy_for(consortium(), agreement(AssuranceLevel.ENCLAVE))
    assert codes(GOOD, policy) == ("attest.assurance.too-low",)


def test_unknown_backend() -> None:
    """Evidence of a format without verifier is refused, not skipped."""
    unknown = msgspec.structs.replace(GOOD, backend="tdx")
    assert codes(unknown) == ("attest.backend.unknown",)


def test_every_reason_is_told() -> None:
    """The error carries the gravest code and names all reasons, so one repair suffices."""
    bad = Session(node_key=SigningKey(b"x" * 32), meter_key=METER_KEY).attestation()
    spoiled = msgspec.structs.replace(bad, evidence=b"", function=Digest("0f" * 32))
    with pytest.raises(AttestationFailed) as caught:
        appraise(spoiled, consortium(), agreement(), LEASE, NOW_NS)
    assert caught.value.code == "attest.evidence.malformed"
    for code in ("attest.subject.function", "attest.placement.unsigned"):
        assert code in caught.value.sentence


def test_provider_outside_the_consortium() -> None:
    """No policy exists for a provider that is no member."""
    stranger = msgspec.structs.replace(agreement(), provider=EnterpriseId("nobody"))
    with pytest.raises(PeerError, match="not a member"):
        appraise(GOOD, consortium(), stranger, LEASE, NOW_NS)
