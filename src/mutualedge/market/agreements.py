"""What a provider would lend, what both sides signed, and what of it the ledger may see."""

import msgspec

from mutualedge.errors import PeerError
from mutualedge.identity import Consortium
from mutualedge.model import (
    JSON_INTEGER_MAX,
    NS_PER_MS,
    Amount,
    AssuranceLevel,
    DurationMs,
    EnterpriseName,
    HexDigest,
    HexInvocationId,
    HexLeaseId,
    InstantText,
    LeaseId,
    Microcredits,
    NodeName,
    PositiveCount,
    parse_instant,
)
from mutualedge.signing import Envelope, parse_canonical, verify_record

WINDOW_CALLS_MAX = 64
"""Most calls a requester may have unsigned; bounds either side's loss (design section 6)."""

CALLS_MAX = 10_000_000
"""Calls one lease may hold; a year at one call every three seconds."""


class Offer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider's node would lend right now; signed with its node key, binds nobody."""

    provider: EnterpriseName
    node: NodeName
    function: HexDigest
    budget_ns: PositiveCount
    period_ns: PositiveCount
    deadline_ns: PositiveCount
    price_microcredits: Amount
    assurance: AssuranceLevel
    expires: InstantText


class Agreement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One lease, signed by both settlement keys; its digest is the lease's identity.

    Attributes:
        function: Digest of the function bundle that may run under it.
        budget_ns: Processor time reserved for each job, dispatch and crypto included.
        period_ns: Least distance between two jobs' releases.
        deadline_ns: From release to reply, on the provider's node.
        opens_by: The ledger opens it before this or never, so that nothing is held for nothing.
        price_microcredits: For one millisecond of reserved time (``rs_ms``).
        window_calls: Calls the requester may leave without a voucher: W, in calls.
        window_ms: Longest age of a call without a voucher: W, in time.
        dispute_window_ms: From lease end until pending claims post and the reservation ends.
        network_ms: Bound on one-way delay that both sides' arithmetic uses.
        nonce: Makes two equal leases two.
    """

    requester: EnterpriseName
    provider: EnterpriseName
    node: NodeName
    function: HexDigest
    budget_ns: PositiveCount
    period_ns: PositiveCount
    deadline_ns: PositiveCount
    opens_by: InstantText
    starts: InstantText
    ends: InstantText
    price_microcredits: Amount
    window_calls: PositiveCount
    window_ms: DurationMs
    dispute_window_ms: DurationMs
    network_ms: DurationMs
    assurance: AssuranceLevel
    nonce: HexInvocationId

    def __post_init__(self) -> None:
        """Refuse what arithmetic or common sense refuses, on construction and on decode."""
        if self.requester == self.provider:
            raise ValueError("requester and provider are the same enterprise")
        if self.ends <= self.starts:
            raise ValueError("the lease ends before it starts")
        _refuse_late_opening(self.opens_by, self.ends)
        if self.window_calls > WINDOW_CALLS_MAX:
            raise ValueError(f"window_calls exceeds {WINDOW_CALLS_MAX}")
        if self.calls_max > CALLS_MAX:
            raise ValueError(f"the lease holds more than {CALLS_MAX} calls")
        if self.cost_max_microcredits > JSON_INTEGER_MAX:
            raise ValueError("the lease may cost more than an account holds")

    @property
    def opens_by_ns(self) -> int:
        """Until when the ledger may open it, nanoseconds since 1970."""
        return parse_instant(self.opens_by)

    @property
    def starts_ns(self) -> int:
        """Start of the window, nanoseconds since 1970."""
        return parse_instant(self.starts)

    @property
    def ends_ns(self) -> int:
        """End of the window, nanoseconds since 1970."""
        return parse_instant(self.ends)

    @property
    def settles_until_ns(self) -> int:
        """End of the dispute window: the reservation cannot expire before it."""
        return self.ends_ns + self.dispute_window_ms * NS_PER_MS

    @property
    def call_rs_ms(self) -> int:
        """Reserved milliseconds one call is charged for: the budget, rounded up once."""
        return -(-self.budget_ns // NS_PER_MS)

    @property
    def call_microcredits(self) -> Microcredits:
        """Charge of one call."""
        return Microcredits(self.call_rs_ms * self.price_microcredits)

    @property
    def calls_max(self) -> int:
        """Jobs that fit the window at one per period."""
        return (self.ends_ns - self.starts_ns) // self.period_ns + 1

    @property
    def cost_max_microcredits(self) -> Microcredits:
        """Most the lease can cost; reserved on the ledger when it opens."""
        return Microcredits(self.calls_max * self.call_microcredits)

    @property
    def exposure_microcredits(self) -> Microcredits:
        """W in money: most that may be unsigned, hence either side's largest loss."""
        return Microcredits(self.window_calls * self.call_microcredits)


class Commitment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that the ledger, and so every member, learns of an agreement; signed by both.

    Function, node, price and timing stay between the two. The nonce inside the agreement keeps
    its digest from being guessed.

    Attributes:
        lease: Digest of the agreement.
    """

    lease: HexLeaseId
    requester: EnterpriseName
    provider: EnterpriseName
    opens_by: InstantText
    ends: InstantText
    dispute_window_ms: DurationMs
    cost_max_microcredits: Amount
    exposure_microcredits: Amount

    def __post_init__(self) -> None:
        """Refuse what no account can hold, on construction and on decode."""
        if self.requester == self.provider:
            raise ValueError("requester and provider are the same enterprise")
        _refuse_late_opening(self.opens_by, self.ends)

    @property
    def ends_ns(self) -> int:
        """End of the lease, nanoseconds since 1970."""
        return parse_instant(self.ends)

    @property
    def settles_until_ns(self) -> int:
        """End of the dispute window: the reservation cannot expire before it."""
        return self.ends_ns + self.dispute_window_ms * NS_PER_MS


def _refuse_late_opening(opens_by: InstantText, ends: InstantText) -> None:
    if opens_by > ends:
        raise ValueError("the lease may be opened after its end")


def commitment_of(lease_id: LeaseId, terms: Agreement) -> Commitment:
    """Return what both sides of an agreement tell the ledger."""
    return Commitment(
        lease=lease_id,
        requester=terms.requester,
        provider=terms.provider,
        opens_by=terms.opens_by,
        ends=terms.ends,
        dispute_window_ms=terms.dispute_window_ms,
        cost_max_microcredits=terms.cost_max_microcredits,
        exposure_microcredits=terms.exposure_microcredits,
    )


def verify_commitment(envelope: Envelope, consortium: Consortium) -> Commitment:
    """Return the commitment if the settlement keys of both its parties signed it.

    Raises:
        PeerError: A signature is missing, a party is no member, or it is malformed.
    """
    claimed = parse_canonical(envelope.payload, Commitment)
    requester = consortium.member(claimed.requester).settlement_key
    provider = consortium.member(claimed.provider).settlement_key
    return verify_record(envelope, Commitment, requester, provider)


def verify_agreement(envelope: Envelope, consortium: Consortium) -> tuple[LeaseId, Agreement]:
    """Return the lease's identity and terms if both sides' settlement keys signed it.

    Raises:
        PeerError: A signature is missing, a party is no member, or the terms are malformed.
    """
    claimed = parse_canonical(envelope.payload, Agreement)
    requester = consortium.member(claimed.requester).settlement_key
    provider = consortium.member(claimed.provider)
    if provider.node != claimed.node:
        sentence = f"'{claimed.node}' is not a node of '{claimed.provider}'."
        raise PeerError("market.agreement.node", sentence)
    terms = verify_record(envelope, Agreement, requester, provider.settlement_key)
    return LeaseId(envelope.payload_digest), terms
