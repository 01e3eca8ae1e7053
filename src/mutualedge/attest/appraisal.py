"""Whether evidence suffices: the consortium's rules, each refusal with its reason, fail closed."""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass

from mutualedge.attest.binding import report_data
from mutualedge.attest.intel import SgxClaims, is_intel_root, verify_sgx_quote
from mutualedge.attest.records import MeterAttestation, Placement
from mutualedge.errors import AttestationFailed, PeerError, UsageError
from mutualedge.identity import Consortium
from mutualedge.market import Agreement
from mutualedge.model import (
    NS_PER_S,
    AssuranceLevel,
    Digest,
    EnterpriseId,
    LeaseId,
    NodeId,
    parse_instant,
)
from mutualedge.signing import verify_record

BACKEND_SGX = "sgx"

PLACEMENT_SKEW_NS = 60 * NS_PER_S
"""A placement is signed during the handshake; a minute covers slow links and members' clocks."""

TCB_STATUSES_ACCEPTED = ("UpToDate", "SWHardeningNeeded")
"""All others say that the machine is misconfigured, out of date or revoked."""

INTEL_EVALUATION_NUMBER_MIN = 17
"""Intel's ``tcbEvaluationDataNumber`` of June 2025; older collateral is a rollback."""

SIMULATED_EVALUATION_NUMBER_MIN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AppraisalPolicy:
    """What evidence must show for one lease. There is no rule that admits debug enclaves.

    Attributes:
        trust_digest: Trust file that the runner must have been started with.
        root: DER of the root certificate that evidence must chain to.
        consortium_assurance: Weakest level any session of the consortium may have.
        assurance: Weakest level this lease may have.
        measurements: Accepted MRENCLAVE values of the runner.
        tcb_statuses: Accepted, in Intel's words.
        advisories: Security advisories that the consortium knows about and accepts.
        tcb_evaluation_number_min: Collateral of an earlier evaluation is refused.
        platform: Machine that the provider registered.
        node_key: Key that signs the provider's placements.
        function: Bundle that the agreement is about.
    """

    trust_digest: Digest
    root: bytes
    consortium_assurance: AssuranceLevel
    assurance: AssuranceLevel
    measurements: tuple[Digest, ...]
    tcb_statuses: tuple[str, ...] = TCB_STATUSES_ACCEPTED
    advisories: tuple[str, ...] = ()
    tcb_evaluation_number_min: int
    provider: EnterpriseId
    node: NodeId
    platform: str
    node_key: bytes
    function: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why evidence was refused, or what was tolerated in accepting it."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraisal:
    """Evidence that suffices.

    Attributes:
        assurance: The level it proves, which may be above the one that was needed.
        claims: What the quote says.
        reasons: What the policy tolerated; empty when there was nothing to tolerate.
    """

    assurance: AssuranceLevel
    claims: SgxClaims
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Evidence that does not suffice, with every reason, evidence before circumstance."""

    reasons: tuple[Reason, ...]


def policy_for(consortium: Consortium, agreement: Agreement) -> AppraisalPolicy:
    """Return what the trust file and the agreement demand of evidence for this lease.

    Raises:
        PeerError: The provider is no member.
    """
    trust, provider = consortium.trust, consortium.member(agreement.provider)
    genuine = is_intel_root(trust.attestation_root)
    return AppraisalPolicy(
        trust_digest=consortium.digest,
        root=trust.attestation_root,
        consortium_assurance=trust.assurance,
        assurance=agreement.assurance,
        measurements=trust.runner_measurements,
        tcb_evaluation_number_min=(
            INTEL_EVALUATION_NUMBER_MIN if genuine else SIMULATED_EVALUATION_NUMBER_MIN
        ),
        provider=provider.enterprise,
        node=provider.node,
        platform=provider.platform,
        node_key=provider.node_key,
        function=agreement.function,
    )


def appraise(
    attestation: MeterAttestation,
    consortium: Consortium,
    agreement: Agreement,
    lease: LeaseId,
    now_ns: int,
) -> Appraisal:
    """Return what the evidence behind a meter key proves, if that is enough for the lease.

    An auditor passes the placement's own instant as ``now_ns``: collateral expires, archives stay.

    Args:
        attestation: What was archived, or, live, what was received with our own handshake hash.
        consortium: Verified trust file.
        agreement: Terms of the lease, signed by both sides.
        lease: Identity of that agreement.
        now_ns: Time to judge at.

    Raises:
        AttestationFailed: With the code of the gravest reason and every reason in its sentence.
        PeerError: The provider is no member.
    """
    outcome = check_evidence(policy_for(consortium, agreement), attestation, lease, now_ns)
    if isinstance(outcome, Appraisal):
        return outcome
    told = " ".join(f"{each.sentence} [{each.code}]" for each in outcome.reasons)
    raise AttestationFailed(outcome.reasons[0].code, told)


def check_evidence(
    policy: AppraisalPolicy, attestation: MeterAttestation, lease: LeaseId, now_ns: int
) -> Appraisal | Refusal:
    """Return what the evidence proves, or every reason why the policy refuses it."""
    reasons = list(_check_root(policy))
    claims = None
    if attestation.backend != BACKEND_SGX:
        sentence = f"There is no verifier for '{attestation.backend}' evidence; sgx is known."
        reasons.append(Reason(code="attest.backend.unknown", sentence=sentence))
    else:
        try:
            claims = verify_sgx_quote(
                attestation.evidence, attestation.collateral, policy.root, now_ns // NS_PER_S
            )
        except AttestationFailed as error:
            reasons.append(Reason(code=error.code, sentence=error.sentence))
        else:
            reasons += _check_claims(policy, attestation, claims)
            reasons += _check_tcb(policy, claims)
    reasons += _check_subject(policy, attestation, lease)
    reasons += _check_placement(policy, attestation, now_ns)
    if reasons or claims is None:
        return Refusal(reasons=tuple(reasons))
    return Appraisal(
        assurance=root_assurance(policy.root), claims=claims, reasons=_tolerated(claims)
    )


def root_assurance(root: bytes) -> AssuranceLevel:
    """Return the most that evidence under this root can prove: only Intel's makes enclaves."""
    return AssuranceLevel.ENCLAVE if is_intel_root(root) else AssuranceLevel.SIMULATED


def _check_root(policy: AppraisalPolicy) -> Iterator[Reason]:
    """Keep simulation and production apart, whatever evidence says."""
    proves, simulated = root_assurance(policy.root), AssuranceLevel.SIMULATED
    wants = policy.consortium_assurance
    if proves is simulated and wants is not simulated:
        sentence = f"The trust file demands '{wants}' and names a test root; it must name Intel's."
        yield Reason(code="attest.root.test", sentence=sentence)
    if proves is not simulated and wants is simulated:
        sentence = "A simulated consortium takes no genuine root: give it a test root of its own."
        yield Reason(code="attest.root.genuine", sentence=sentence)
    if not proves.reaches(policy.assurance):
        sentence = f"The evidence can prove '{proves}', the agreement demands '{policy.assurance}'."
        yield Reason(code="attest.assurance.too-low", sentence=sentence)


def _check_claims(
    policy: AppraisalPolicy, attestation: MeterAttestation, claims: SgxClaims
) -> Iterator[Reason]:
    if claims.mr_enclave not in policy.measurements:
        sentence = (
            f"'{policy.provider}' runs a runner measured {claims.mr_enclave}, the trust file "
            f"accepts {' or '.join(policy.measurements)}: another release, or another program. "
            "Who is behind installs the other's release, or the members adopt both measurements."
        )
        yield Reason(code="attest.evidence.measurement", sentence=sentence)
    bound = report_data(
        backend=attestation.backend,
        trust_digest=policy.trust_digest,
        handshake=attestation.handshake,
        bundle_digest=attestation.function,
        meter_key=attestation.meter_key,
    )
    if not hmac.compare_digest(bound, claims.report_data):
        sentence = (
            "The evidence is about another handshake, trust file, function or meter key: "
            "it was replayed or relayed."
        )
        yield Reason(code="attest.evidence.binding", sentence=sentence)
    if claims.platform != policy.platform:
        sentence = (
            f"The evidence comes from machine {claims.platform}; "
            f"'{policy.provider}' registered {policy.platform}."
        )
        yield Reason(code="attest.platform.unregistered", sentence=sentence)


def _check_tcb(policy: AppraisalPolicy, claims: SgxClaims) -> Iterator[Reason]:
    if claims.tcb_status not in policy.tcb_statuses:
        sentence = f"The machine's TCB status is '{claims.tcb_status}'; its owner must update it."
        yield Reason(code="attest.tcb.status", sentence=sentence)
    unknown = [each for each in claims.advisory_ids if each not in policy.advisories]
    if unknown:
        sentence = f"The machine is open to {', '.join(unknown)}, which the policy does not accept."
        yield Reason(code="attest.tcb.advisory", sentence=sentence)
    number = claims.tcb_evaluation_number
    if number < policy.tcb_evaluation_number_min:
        sentence = (
            f"The collateral is of evaluation {number}, "
            f"{policy.tcb_evaluation_number_min} is the earliest accepted; fetch it anew."
        )
        yield Reason(code="attest.tcb.evaluation", sentence=sentence)


def _check_subject(
    policy: AppraisalPolicy, attestation: MeterAttestation, lease: LeaseId
) -> Iterator[Reason]:
    if attestation.lease != lease:
        sentence = f"The attestation names lease {attestation.lease}, not {lease}."
        yield Reason(code="attest.subject.lease", sentence=sentence)
    if attestation.function != policy.function:
        sentence = f"The runner loaded {attestation.function}, the agreement is about another."
        yield Reason(code="attest.subject.function", sentence=sentence)


def _check_placement(
    policy: AppraisalPolicy, attestation: MeterAttestation, now_ns: int
) -> Iterator[Reason]:
    try:
        placement = verify_record(attestation.placement, Placement, policy.node_key)
        at_ns = parse_instant(placement.at)
    except (PeerError, UsageError) as error:
        sentence = f"'{policy.provider}' did not sign a placement with its node key: {error}"
        yield Reason(code="attest.placement.unsigned", sentence=sentence)
        return
    placed = (placement.lease, placement.node, placement.platform, placement.handshake)
    expected = (attestation.lease, policy.node, policy.platform, attestation.handshake)
    if placed != expected:
        sentence = "The placement is about another lease, node, machine or handshake."
        yield Reason(code="attest.placement.mismatch", sentence=sentence)
    if abs(now_ns - at_ns) > PLACEMENT_SKEW_NS:
        limit_s = PLACEMENT_SKEW_NS // NS_PER_S
        sentence = f"The placement was signed at {placement.at}, over {limit_s} s off our clock."
        yield Reason(code="attest.placement.stale", sentence=sentence)


def _tolerated(claims: SgxClaims) -> tuple[Reason, ...]:
    if claims.tcb_status == "UpToDate" and not claims.advisory_ids:
        return ()
    known = ", ".join(claims.advisory_ids) or "no advisory"
    sentence = f"Accepted with TCB status '{claims.tcb_status}' and {known}."
    return (Reason(code="attest.tcb.tolerated", sentence=sentence),)
