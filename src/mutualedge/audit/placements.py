"""Step 5, evidence: the key that measured was born inside a runner that was appraised."""

from mutualedge.attest import MeterAttestation, Placement, appraise
from mutualedge.audit.case import Case
from mutualedge.audit.envelopes import check_signed_by_all, parse_document, parse_payload
from mutualedge.audit.terms import Attested, LeaseTerms
from mutualedge.errors import MutualEdgeError
from mutualedge.model import NS_PER_S, AssuranceLevel, LeaseId, parse_instant
from mutualedge.signing import digest_of, key_id_of

PLACEMENT_SKEW_NS = 30 * NS_PER_S
"""Placements are dated by the provider's clock; members' clocks are within seconds."""

_RECORD = 5


class AttestationDesk:
    """Appraises attestations into a case whose agreements are filed."""

    def __init__(self, case: Case) -> None:
        """Take the case to fill."""
        self._case = case

    def take(self, raw: bytes, line: int) -> None:
        """Appraise the evidence as of its placement and file what it came to."""
        attestation = parse_document(raw, MeterAttestation)
        if isinstance(attestation, str):
            self._flaw("attestation.malformed", attestation, line, "attestation")
            return
        lease, meter = LeaseId(attestation.lease), key_id_of(attestation.meter_key)
        subject = f"{lease}/{meter}"
        terms = self._case.terms.get(lease)
        if terms is None:
            sentence = "The lease of this attestation has no agreement in the bundle."
            self._flaw("missing.agreement", sentence, line, subject)
            return
        at_ns = self._placed_ns(attestation, terms, line, subject)
        level = None if at_ns is None else self._appraise(attestation, terms, at_ns, line, subject)
        attested = Attested(line=line, evidence=digest_of(attestation.evidence), level=level)
        self._case.attested.setdefault((lease, meter), []).append(attested)

    def _placed_ns(
        self, attestation: MeterAttestation, terms: LeaseTerms, line: int, subject: str
    ) -> int | None:
        """Return when the provider's node placed the runner; None if that does not stand."""
        placement = parse_payload(attestation.placement, Placement)
        if isinstance(placement, str):
            self._flaw("placement.malformed", placement, line, subject)
            return None
        provider = self._case.consortium.member(terms.agreement.provider)
        flaw = check_signed_by_all(attestation.placement, provider.node_key)
        if flaw is not None:
            self._flaw("placement.signature", flaw, line, subject)
            return None
        try:
            at_ns = parse_instant(placement.at)
        except MutualEdgeError as error:
            self._flaw("placement.malformed", error.sentence, line, subject)
            return None
        if not terms.starts_ns - PLACEMENT_SKEW_NS <= at_ns <= terms.ends_ns + PLACEMENT_SKEW_NS:
            sentence = f"The runner was placed at {placement.at}, outside the lease's window."
            self._flaw("placement.time", sentence, line, subject, provider.enterprise)
            return None
        return at_ns

    def _appraise(
        self,
        attestation: MeterAttestation,
        terms: LeaseTerms,
        at_ns: int,
        line: int,
        subject: str,
    ) -> AssuranceLevel | None:
        lease = LeaseId(attestation.lease)
        try:
            appraisal = appraise(attestation, self._case.consortium, terms.agreement, lease, at_ns)
        except MutualEdgeError as error:
            sentence = f"{error.sentence} ({error.code})"
            self._flaw("attestation.evidence", sentence, line, subject)
            return None
        return appraisal.assurance

    def _flaw(
        self, rule: str, sentence: str, line: int, subject: str, culprit: str = "unknown"
    ) -> None:
        self._case.findings.add(
            rule, sentence, step=_RECORD, line=line, subject=subject, culprit=culprit
        )
