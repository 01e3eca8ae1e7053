"""Verifying Intel SGX evidence offline: quote and collateral in, claims out, no clock, no network.

Signatures, revocation, TCB matching and enclave identity are checked by ``dcap_qvl``; of that
library only the offline function is used. Whether the claims suffice is ``appraisal``'s question.
"""

import hashlib
from dataclasses import dataclass

import dcap_qvl  # type: ignore[import-untyped]  # ships stubs, but no py.typed

from mutualedge.attest.collateral import (
    Collateral,
    parse_bulletins,
    parse_collateral,
    verify_in_date,
)
from mutualedge.attest.quotes import parse_sgx_quote
from mutualedge.errors import AttestationFailed
from mutualedge.model import Digest

INTEL_ROOT_FINGERPRINT = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
"""SHA-256 of "Intel SGX Root CA", valid to 2049; the one root behind genuine SGX hardware."""

REASON_CHARACTERS_MAX = 200
"""Of the library's own explanation, which goes into our sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SgxClaims:
    """What a verified quote says. A debug enclave's quote never becomes claims.

    Attributes:
        report_data: The 64 bytes the enclave chose.
        platform: The machine's PPID, hexadecimal.
        tcb_status: Worse of machine and quoting enclave, in Intel's words (``UpToDate``).
        advisory_ids: Security advisories that go with the status.
        tcb_evaluation_number: Lower of the collateral's two evaluation numbers.
    """

    mr_enclave: Digest
    mr_signer: Digest
    isv_prod_id: int
    isv_svn: int
    report_data: bytes
    platform: str
    tcb_status: str
    advisory_ids: tuple[str, ...]
    tcb_evaluation_number: int


def is_intel_root(root: bytes) -> bool:
    """Tell Intel's production root (DER) from any other, such as a test root."""
    return hashlib.sha256(root).hexdigest() == INTEL_ROOT_FINGERPRINT


def verify_sgx_quote(evidence: bytes, collateral: bytes, root: bytes, now_s: int) -> SgxClaims:
    """Return what a genuine, non-debug SGX version 3 quote says.

    Args:
        evidence: The quote.
        collateral: JSON bytes of its collateral.
        root: DER of the only root certificate to trust.
        now_s: Seconds since 1970 to judge validity at.

    Raises:
        AttestationFailed: ``attest.evidence.malformed``, ``.debug``, ``.signature``;
            ``attest.collateral.malformed``, ``.expired``, ``.not-yet-valid``.
    """
    quote = parse_sgx_quote(evidence)
    if quote.debug:
        sentence = "The enclave runs in debug mode: its host reads and writes its memory."
        raise AttestationFailed("attest.evidence.debug", sentence)
    endorsed = parse_collateral(collateral)
    verify_in_date(endorsed, now_s)
    status, advisories, platform = _verified(evidence, endorsed, root, now_s)
    return SgxClaims(
        mr_enclave=quote.mr_enclave,
        mr_signer=quote.mr_signer,
        isv_prod_id=quote.isv_prod_id,
        isv_svn=quote.isv_svn,
        report_data=quote.report_data,
        platform=platform,
        tcb_status=status,
        advisory_ids=advisories,
        tcb_evaluation_number=min(
            bulletin.tcb_evaluation_data_number for bulletin in parse_bulletins(endorsed)
        ),
    )


def _verified(
    evidence: bytes, collateral: Collateral, root: bytes, now_s: int
) -> tuple[str, tuple[str, ...], str]:
    """Return TCB status, advisories and platform of a quote that verifies under this root."""
    try:
        endorsements = dcap_qvl.QuoteCollateralV3(
            pck_crl_issuer_chain=collateral.pck_crl_issuer_chain,
            root_ca_crl=bytes.fromhex(collateral.root_ca_crl),
            pck_crl=bytes.fromhex(collateral.pck_crl),
            tcb_info_issuer_chain=collateral.tcb_info_issuer_chain,
            tcb_info=collateral.tcb_info,
            tcb_info_signature=bytes.fromhex(collateral.tcb_info_signature),
            qe_identity_issuer_chain=collateral.qe_identity_issuer_chain,
            qe_identity=collateral.qe_identity,
            qe_identity_signature=bytes.fromhex(collateral.qe_identity_signature),
        )
        report = dcap_qvl.verify_with_root_ca(evidence, endorsements, root, now_s)
    except ValueError as error:
        why = " ".join(str(error).split())[:REASON_CHARACTERS_MAX]
        sentence = f"The quote does not verify under the consortium's attestation root: {why}."
        raise AttestationFailed("attest.evidence.signature", sentence) from error
    return report.status, tuple(report.advisory_ids), report.ppid.hex()
