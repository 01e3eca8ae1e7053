"""The arithmetic of a lease, worked out here again from what both sides signed."""

from dataclasses import dataclass

from mutualedge.market import Agreement
from mutualedge.model import (
    NS_PER_MS,
    AssuranceLevel,
    Digest,
    EnterpriseId,
    KeyId,
    LeaseId,
    parse_instant,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTerms:
    """One agreement's consequences in integers.

    Attributes:
        line: Where the agreement stands in the bundle.
        call_rs_ms: Reserved time one call is charged for: the budget, rounded up once.
        calls_max: Jobs that fit the window at one per period.
        cost_max_microcredits: Most the ledger may ever move for it.
        exposure_microcredits: W in money.
        settles_until_ns: One side alone may settle before this.
    """

    line: int
    agreement: Agreement
    starts_ns: int
    ends_ns: int
    call_rs_ms: int
    call_microcredits: int
    calls_max: int
    cost_max_microcredits: int
    exposure_microcredits: int
    settles_until_ns: int


def terms_of(agreement: Agreement, line: int) -> LeaseTerms:
    """Return what the agreement comes to."""
    starts_ns, ends_ns = parse_instant(agreement.starts), parse_instant(agreement.ends)
    call_rs_ms = (agreement.budget_ns + NS_PER_MS - 1) // NS_PER_MS
    call_microcredits = call_rs_ms * agreement.price_microcredits
    calls_max = (ends_ns - starts_ns) // agreement.period_ns + 1
    return LeaseTerms(
        line=line,
        agreement=agreement,
        starts_ns=starts_ns,
        ends_ns=ends_ns,
        call_rs_ms=call_rs_ms,
        call_microcredits=call_microcredits,
        calls_max=calls_max,
        cost_max_microcredits=calls_max * call_microcredits,
        exposure_microcredits=agreement.window_calls * call_microcredits,
        settles_until_ns=ends_ns + agreement.dispute_window_ms * NS_PER_MS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One party's signed word about a chain of records: how far, which head, which sum.

    Attributes:
        kind: "batch" (the runner's word), "voucher" (the requester's) or "statement" (both).
        line: Where the document stands in the bundle.
    """

    kind: str
    lease: LeaseId
    meter: KeyId
    through_seq: int
    head: Digest
    total_microcredits: int
    line: int

    @property
    def subject(self) -> str:
        """Name of the last record it speaks for."""
        return record_subject(self.lease, self.meter, self.through_seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """A meter key with the evidence behind it.

    Attributes:
        evidence: SHA-256 of the evidence.
        level: What the appraisal came to; None when the evidence did not stand.
    """

    line: int
    evidence: Digest
    level: AssuranceLevel | None


def record_subject(lease: str, meter: str, seq: int) -> str:
    """Return the id under which the report names a record."""
    return f"{lease}/{meter}/{seq}"


def gainer(difference_microcredits: int, terms: LeaseTerms | None) -> EnterpriseId:
    """Return who gains from a sum that is too large (positive) or too small."""
    if terms is None:
        return EnterpriseId("unknown")
    agreement = terms.agreement
    return agreement.provider if difference_microcredits > 0 else agreement.requester
