"""Step 5, evidence: the key that measured was born inside a runner that was appraised."""

from mutualedge.attest import (
    MeterAttestation,
    Placement,
    appraise,
    report_data,
    verify_sgx_quote,
)
from mutualedge.audit.case import Case
from mutualedge.audit.endorsements import check_certification, check_collateral
from mutualedge.audit.envelopes import check_signed_by_all, parse_document, parse_payload
from mutualedge.audit.report import UNKNOWN
from mutualedge.audit.terms import Attested, LeaseTerms
from mutualedge.errors import MutualEdgeError
from mutualedge.identity import Consortium
from mutualedge.model import NS_PER_S, AssuranceLevel, LeaseId, parse_instant
from mutualedge.signing import Envelope, digest_of, key_id_of

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
        placement = parse_payload(attestation.placement, Placement)
        if isinstance(placement, str):
            self._flaw("placement.malformed", placement, line, subject)
        elif placement.lease != lease:
            sentence = f"The runner was placed for lease {placement.lease}."
            self._flaw("placement.lease", sentence, line, subject)
        elif (terms := self._case.terms.get(lease)) is None:
            sentence = "The lease of this attestation has no agreement in the bundle."
            self._flaw("missing.agreement", sentence, line, subject)
        else:
            self._file(attestation, placement, terms, line)

    def _file(
        self, attestation: MeterAttestation, placement: Placement, terms: LeaseTerms, line: int
    ) -> None:
        lease, meter = LeaseId(attestation.lease), key_id_of(attestation.meter_key)
        level = None
        flaw = self._flaw_of_placement(attestation.placement, placement, terms)
        if flaw is not None:
            self._flaw("placement.signature", flaw, line, f"{lease}/{meter}")
        elif (at_ns := self._placed_ns(placement, terms, line)) is not None:
            level = self._appraise(attestation, terms, at_ns, line)
        attested = Attested(line=line, evidence=digest_of(attestation.evidence), level=level)
        self._case.attested.setdefault((lease, meter), []).append(attested)

    def _flaw_of_placement(
        self, envelope: Envelope, placement: Placement, terms: LeaseTerms
    ) -> str | None:
        provider = self._case.consortium.card(terms.agreement.provider)
        if placement.node != provider.node:
            return f"It places the runner on '{placement.node}', not on '{provider.node}'."
        return check_signed_by_all(envelope, provider.node_key)

    def _placed_ns(self, placement: Placement, terms: LeaseTerms, line: int) -> int | None:
        """Return when the provider's node says it placed the runner, if that can be."""
        try:
            at_ns = parse_instant(placement.at)
        except MutualEdgeError as error:
            self._flaw("placement.malformed", error.sentence, line, placement.lease)
            return None
        if terms.starts_ns - PLACEMENT_SKEW_NS <= at_ns <= terms.ends_ns + PLACEMENT_SKEW_NS:
            return at_ns
        sentence = f"The runner was placed at {placement.at}, outside the lease's window."
        culprit = terms.agreement.provider
        self._flaw("placement.time", sentence, line, placement.lease, culprit)
        return None

    def _appraise(
        self, attestation: MeterAttestation, terms: LeaseTerms, at_ns: int, line: int
    ) -> AssuranceLevel | None:
        lease = LeaseId(attestation.lease)
        subject = f"{lease}/{key_id_of(attestation.meter_key)}"
        root = self._case.consortium.trust.attestation_root
        flaw = check_collateral(attestation.collateral, root)
        if flaw is None:
            flaw = check_certification(attestation.evidence, root)
        if flaw is not None:
            self._flaw("attestation.endorsements", flaw, line, subject)
            return None
        try:
            consortium = self._made_for(attestation, terms, at_ns)
            appraisal = appraise(attestation, consortium, terms.agreement, lease, at_ns)
        except MutualEdgeError as error:
            sentence = f"{error.sentence} ({error.code})"
            self._flaw("attestation.evidence", sentence, line, subject)
            return None
        return appraisal.assurance

    def _made_for(self, attestation: MeterAttestation, terms: LeaseTerms, at_ns: int) -> Consortium:
        """Return the version of the trust file that the evidence names, else the last one.

        Raises:
            AttestationFailed: There is no quote to read it from.
        """
        *earlier, latest = self._case.lineage.versions
        if not earlier:
            return latest
        root = latest.trust.attestation_root
        claims = verify_sgx_quote(
            attestation.evidence, attestation.collateral, root, at_ns // NS_PER_S
        )
        provider = terms.agreement.provider
        named = (
            each
            for each in (*earlier, latest)
            if each.has(provider) and _bound(attestation, each) == claims.report_data
        )
        return next(named, latest)

    def _flaw(
        self, rule: str, sentence: str, line: int, subject: str, culprit: str = UNKNOWN
    ) -> None:
        self._case.findings.add(
            rule, sentence, step=_RECORD, line=line, subject=subject, culprit=culprit
        )


def _bound(attestation: MeterAttestation, consortium: Consortium) -> bytes:
    return report_data(
        backend=attestation.backend,
        trust_digest=consortium.digest,
        handshake=attestation.handshake,
        bundle_digest=attestation.function,
        meter_key=attestation.meter_key,
    )
