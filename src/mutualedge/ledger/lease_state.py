"""A lease as the ledger remembers it, and the ways its reservation shrinks and ends."""

import msgspec

from mutualedge.errors import RefusedByPolicy
from mutualedge.ledger.accounts import TransferId, TransferName, post, reserve, void
from mutualedge.ledger.commands import Reason
from mutualedge.ledger.context import Context, read_row, write_row
from mutualedge.ledger.events import LeaseChanged, LeaseStatus
from mutualedge.market import Commitment
from mutualedge.model import (
    Amount,
    Count,
    DurationMs,
    EnterpriseId,
    EnterpriseName,
    HexDigest,
    InstantText,
    LeaseId,
    Microcredits,
    format_instant,
)

LEASE_TABLE, DUE_TABLE, UNSIGNED_TABLE = "lease/", "due/", "unsigned/"

_PRESENT = b"null"
"""Value of rows that only their key matters of: the order leases fall due and end in."""


class Lease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the ledger remembers of a lease; its key is the agreement's digest.

    Attributes:
        settles_until: Claims and closings arrive before this.
        due: When the ledger resolves the lease by itself; a late claim moves it, so that the
            requester always has half the dispute window to contradict.
        posted_microcredits: Moved so far.
        claimed_microcredits: What will have moved when the lease falls due; at least posted.
        contradicted_microcredits: What the requester denied, and ``reason`` why.
        transfer: The pending reservation; None once the lease is resolved.
        transfer_count: Transfers made so far; numbers the next one.
        statement: Digest of the statement that settled it.
    """

    requester: EnterpriseName
    provider: EnterpriseName
    ends: InstantText
    settles_until: InstantText
    due: InstantText
    dispute_window_ms: DurationMs
    cost_max_microcredits: Amount
    exposure_microcredits: Amount
    transfer: TransferName | None
    transfer_count: Count
    status: LeaseStatus = LeaseStatus.OPEN
    posted_microcredits: Amount = Microcredits(0)
    claimed_microcredits: Amount = Microcredits(0)
    contradicted_microcredits: Amount = Microcredits(0)
    reason: Reason | None = None
    statement: HexDigest | None = None

    def is_of(self, told: Commitment) -> bool:
        """Tell whether this is the lease that a commitment is about, but for its identity."""
        return (
            (self.requester, self.provider, self.ends) == (told.requester, told.provider, told.ends)
            and self.dispute_window_ms == told.dispute_window_ms
            and self.cost_max_microcredits == told.cost_max_microcredits
            and self.exposure_microcredits == told.exposure_microcredits
        )

    @property
    def pending_microcredits(self) -> Microcredits:
        """Claimed beyond what posted: posts when due unless the requester contradicts."""
        return Microcredits(self.claimed_microcredits - self.posted_microcredits)

    @property
    def is_resolved(self) -> bool:
        """Whether the reservation is gone."""
        return self.transfer is None


def transfer_id_of(lease_id: LeaseId, index: int) -> TransferId:
    """Return the name of a lease's transfer number ``index``, from 0."""
    return TransferId(f"{lease_id}.{index}")


def unsigned_prefix(one: EnterpriseId, other: EnterpriseId) -> str:
    """Return the prefix of the unresolved leases between two, either way; the next end first."""
    return f"{UNSIGNED_TABLE}{min(one, other)}/{max(one, other)}/"


def due_key(lease_id: LeaseId, lease: Lease) -> str:
    """Return the key that sorts an unresolved lease by when it falls due."""
    return f"{DUE_TABLE}{lease.due}/{lease_id}"


def unsigned_key(lease_id: LeaseId, lease: Lease) -> str:
    """Return the key that sorts an unresolved lease by when it ends, below its two parties."""
    return f"{unsigned_prefix(lease.requester, lease.provider)}{lease.ends}/{lease_id}"


def add_lease(context: Context, lease_id: LeaseId, lease: Lease) -> None:
    """Write a new lease and the rows that make it fall due and block its successors."""
    context.put(unsigned_key(lease_id, lease), _PRESENT)
    context.put(due_key(lease_id, lease), _PRESENT)
    save_lease(context, lease_id, lease)


def save_lease(context: Context, lease_id: LeaseId, lease: Lease) -> None:
    """Write a changed lease and tell the world."""
    write_row(context, LEASE_TABLE + lease_id, lease)
    context.emit(
        LeaseChanged(
            lease=lease_id,
            status=lease.status,
            posted_microcredits=lease.posted_microcredits,
            pending_microcredits=lease.pending_microcredits,
        )
    )


def current_lease(context: Context, lease_id: LeaseId) -> Lease:
    """Return a lease as of now, resolving it first if it is due and was not swept yet.

    Raises:
        RefusedByPolicy: No such lease.
    """
    lease = read_row(context, LEASE_TABLE + lease_id, Lease)
    if lease is None:
        sentence = f"There is no lease {lease_id}; open it first."
        raise RefusedByPolicy("ledger.lease.unknown", sentence)
    if lease.is_resolved or format_instant(context.now_ns) < lease.due:
        return lease
    return resolve(context, lease_id, lease, _STATUS_WHEN_DUE[lease.status])


def unresolved_lease(context: Context, lease_id: LeaseId) -> Lease:
    """Return a lease that still holds its reservation now.

    Raises:
        RefusedByPolicy: No such lease, or it is resolved.
    """
    lease = current_lease(context, lease_id)
    if lease.is_resolved:
        sentence = f"Lease {lease_id} is {lease.status} and final; nothing can be asked of it."
        raise RefusedByPolicy("ledger.lease.final", sentence)
    return lease


def post_part(context: Context, lease_id: LeaseId, lease: Lease, total: Microcredits) -> Lease:
    """Return the lease with its postings raised to this total and the rest still reserved."""
    assert lease.transfer is not None
    difference = total - lease.posted_microcredits
    if difference <= 0:
        return lease
    rest = transfer_id_of(lease_id, lease.transfer_count)
    post(context, lease.transfer, Microcredits(difference), rest=rest)
    return msgspec.structs.replace(
        lease,
        posted_microcredits=total,
        claimed_microcredits=max(total, lease.claimed_microcredits),
        transfer=rest,
        transfer_count=lease.transfer_count + 1,
    )


def reserve_again(context: Context, lease_id: LeaseId, lease: Lease, total: Microcredits) -> Lease:
    """Return an expired lease with a new reservation of just this total.

    Raises:
        RefusedByPolicy: The requester's credit line has no room for it now.
    """
    assert lease.is_resolved
    transfer = transfer_id_of(lease_id, lease.transfer_count)
    reserve(context, transfer, debtor=lease.requester, creditor=lease.provider, amount=total)
    return msgspec.structs.replace(
        lease, transfer=transfer, transfer_count=lease.transfer_count + 1
    )


def put_off(context: Context, lease_id: LeaseId, lease: Lease, due_ns: int) -> Lease:
    """Return the lease falling due at this time at the earliest."""
    due = max(lease.due, format_instant(due_ns))
    later = msgspec.structs.replace(lease, due=due)
    if due != lease.due:
        context.delete(due_key(lease_id, lease))
        context.put(due_key(lease_id, later), _PRESENT)
    return later


def resolve(context: Context, lease_id: LeaseId, lease: Lease, status: LeaseStatus) -> Lease:
    """Post what is claimed, release the rest, and return the lease with its last status."""
    assert lease.transfer is not None
    if lease.pending_microcredits:
        post(context, lease.transfer, lease.pending_microcredits)
    else:
        void(context, lease.transfer)
    context.delete(due_key(lease_id, lease))
    context.delete(unsigned_key(lease_id, lease))
    resolved = msgspec.structs.replace(
        lease,
        status=status,
        posted_microcredits=lease.claimed_microcredits,
        transfer=None,
    )
    save_lease(context, lease_id, resolved)
    return resolved


_STATUS_WHEN_DUE = {
    LeaseStatus.OPEN: LeaseStatus.EXPIRED,
    LeaseStatus.CLAIMED: LeaseStatus.CLOSED,
    LeaseStatus.CLOSING: LeaseStatus.CLOSED,
    LeaseStatus.DISPUTED: LeaseStatus.DISPUTED,
}
