"""What a node looks like from outside at one moment; status pages and the console read only this.

Instants, not ages: what time it is for the reader changes nothing here, so two equal views mean
that nothing happened in between.
"""

import msgspec

from mutualedge.ledger import CreditLine
from mutualedge.ledger import Lease as LedgerLease
from mutualedge.model import (
    Amount,
    AssuranceLevel,
    Count,
    EnterpriseId,
    EnterpriseName,
    HexLeaseId,
    InstantText,
    Microcredits,
)
from mutualedge.node.leases import HeldLease

CODES_MAX = 64
"""Different codes counted by name; a partner chooses the codes of its refusals."""

OTHER_CODES = "other"


class IntakeCounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of the readings since the node's start.

    Attributes:
        taken: All that came, repeats included.
        local: Scored here.
        offloaded: Scored at a partner.
        refused: Answered with a reason and not tried, or not here and at no partner.
        failed: Tried, without a result.
        late: Of the scored ones, those answered after their deadline.
        by_code: The refused and failed ones by their reason.
    """

    taken: Count
    local: Count
    offloaded: Count
    refused: Count
    failed: Count
    late: Count
    by_code: dict[str, int]


class QueueDepths(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What waits.

    Attributes:
        jobs: Admitted and not begun.
        errands: Handshakes, batches and loading that the runner has not begun.
        outbox: Commands the ledger has not answered.
        asks: Requests of ours that are unanswered.
    """

    jobs: Count
    errands: Count
    outbox: Count
    asks: Count


class LeaseView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One lease that is not resolved.

    Attributes:
        role: ``requester`` or ``provider``: what we are in it.
        state: ``agreed`` (not on our copy of the ledger yet), ``waiting`` (for its start),
            ``open``, ``connected`` (open, and our session stands) or ``settling`` (over).
        calls: Recorded under it so far.
        unsigned_calls: Of these, without the requester's voucher.
        unsigned_microcredits: What they come to.
        signed_microcredits: What vouchers say is owed so far.
    """

    lease: HexLeaseId
    role: str
    partner: EnterpriseName
    state: str
    starts: InstantText
    ends: InstantText
    calls: Count
    unsigned_calls: Count
    unsigned_microcredits: Amount
    signed_microcredits: Amount


class CreditView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far one enterprise trusts another with credit; owed is net and may be negative."""

    creditor: EnterpriseName
    debtor: EnterpriseName
    limit_microcredits: int
    owed_microcredits: int
    pending_microcredits: int


class CosignatureView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A witness vouches for the latest checkpoint; ``at`` is by its own clock."""

    witness: str
    at: InstantText


class CheckpointView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latest checkpoint of the log.

    Attributes:
        size: Entries it covers.
        at: When it was signed; unknown after a restart until the next one.
    """

    size: Count
    at: InstantText | None
    cosignatures: tuple[CosignatureView, ...]


class NodeSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything an operator may see of a node.

    Attributes:
        timing: ``enforced``, ``prioritised`` or ``best-effort``.
        served: Calls executed for partners since the start.
        sessions: Ours into partners' runners.
        hub_since: Since when the hub has answered without a gap; None while it does not.
        is_member: Whether it still is one; who has left serves its own devices only.
    """

    enterprise: EnterpriseName
    consortium: EnterpriseName
    trust_version: Count
    assurance: AssuranceLevel
    timing: str
    is_runner_ready: bool
    readings: IntakeCounts
    served: Count
    queues: QueueDepths
    leases: tuple[LeaseView, ...]
    sessions: Count
    balance_microcredits: int
    credit: tuple[CreditView, ...]
    ledger_height: Count
    final_height: Count
    log_size: Count
    checkpoint: CheckpointView
    hub_since: InstantText | None
    is_member: bool

    @property
    def leases_lent(self) -> int:
        """Unresolved leases in which we are the provider."""
        return sum(lease.role == PROVIDER for lease in self.leases)

    @property
    def leases_borrowed(self) -> int:
        """Unresolved leases in which we are the requester."""
        return sum(lease.role == REQUESTER for lease in self.leases)

    @property
    def outbox_size(self) -> int:
        """Commands the ledger has not answered yet."""
        return self.queues.outbox


PROVIDER, REQUESTER = "provider", "requester"


def lent_view(lease: HeldLease, on_ledger: LedgerLease | None, now_ns: int) -> LeaseView:
    """Return a lease as its provider sees it."""
    state = _state(lease, now_ns, is_agreed=on_ledger is not None, is_connected=False)
    return _lease_view(lease, PROVIDER, lease.terms.requester, state)


def borrowed_view(
    lease: HeldLease, on_ledger: LedgerLease | None, now_ns: int, *, is_connected: bool
) -> LeaseView:
    """Return a lease as its requester sees it."""
    state = _state(lease, now_ns, is_agreed=on_ledger is not None, is_connected=is_connected)
    return _lease_view(lease, REQUESTER, lease.terms.provider, state)


def _state(lease: HeldLease, now_ns: int, *, is_agreed: bool, is_connected: bool) -> str:
    if lease.terms.ends_ns <= now_ns:
        return "settling"
    if not is_agreed:
        return "agreed"
    if lease.terms.starts_ns > now_ns:
        return "waiting"
    return "connected" if is_connected else "open"


def _lease_view(lease: HeldLease, role: str, partner: EnterpriseId, state: str) -> LeaseView:
    accounts = tuple(lease.accounts.values())
    unsigned = [call for account in accounts for call in account.calls.values()]
    return LeaseView(
        lease=lease.lease_id,
        role=role,
        partner=partner,
        state=state,
        starts=lease.terms.starts,
        ends=lease.terms.ends,
        calls=sum(account.signed.seq for account in accounts) + len(unsigned),
        unsigned_calls=len(unsigned),
        unsigned_microcredits=Microcredits(
            sum(call.usage.amount_microcredits for call in unsigned)
        ),
        signed_microcredits=Microcredits(
            sum(account.signed.total_microcredits for account in accounts)
        ),
    )


def credit_view(creditor: EnterpriseId, debtor: EnterpriseId, line: CreditLine) -> CreditView:
    """Return one direction of credit between two enterprises."""
    return CreditView(
        creditor=creditor,
        debtor=debtor,
        limit_microcredits=line.limit_microcredits,
        owed_microcredits=line.owed_microcredits,
        pending_microcredits=line.pending_microcredits,
    )


def count_code(by_code: dict[str, int], code: str) -> None:
    """Count a reason under its code, or under ``other`` once too many are known."""
    known = code if code in by_code or len(by_code) < CODES_MAX else OTHER_CODES
    by_code[known] = by_code.get(known, 0) + 1
