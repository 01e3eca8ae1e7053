"""Remote attestation: what evidence is bound to, verifying it offline, and judging it."""

from mutualedge.attest.appraisal import (
    BACKEND_SGX,
    PLACEMENT_SKEW_NS,
    Appraisal,
    AppraisalPolicy,
    Reason,
    Refusal,
    appraise,
    check_evidence,
    policy_for,
    root_assurance,
)
from mutualedge.attest.binding import report_data
from mutualedge.attest.collateral import collateral_ends_ns
from mutualedge.attest.intel import (
    INTEL_ROOT_FINGERPRINT,
    SgxClaims,
    is_intel_root,
    verify_sgx_quote,
)
from mutualedge.attest.records import (
    MeterAttestation,
    Placement,
)

__all__ = [
    "BACKEND_SGX",
    "INTEL_ROOT_FINGERPRINT",
    "PLACEMENT_SKEW_NS",
    "Appraisal",
    "AppraisalPolicy",
    "MeterAttestation",
    "Placement",
    "Reason",
    "Refusal",
    "SgxClaims",
    "appraise",
    "check_evidence",
    "collateral_ends_ns",
    "is_intel_root",
    "policy_for",
    "report_data",
    "root_assurance",
    "verify_sgx_quote",
]
