"""What a contract reports besides its writes; a view for readers, never the source of money."""

from enum import StrEnum

import msgspec

from mutualedge.model import Amount, EnterpriseName, HexDigest, HexLeaseId, PositiveCount


class LeaseStatus(StrEnum):
    """Where a lease stands between opening and its last posting.

    ``open``, ``claimed`` (by the provider alone), ``closing`` (by the requester alone) and
    ``disputed`` still hold a reservation; ``settled`` (both signed), ``closed`` (one-sided and
    past the dispute window) and ``expired`` (nobody asked) do not. ``disputed`` stays after the
    reservation ended, unless a statement settles it before.
    """

    OPEN = "open"
    CLAIMED = "claimed"
    CLOSING = "closing"
    DISPUTED = "disputed"
    SETTLED = "settled"
    CLOSED = "closed"
    EXPIRED = "expired"


class LeaseChanged(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """A lease opened, moved money or changed its status."""

    lease: HexLeaseId
    status: LeaseStatus
    posted_microcredits: Amount
    pending_microcredits: Amount


class LimitChanged(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """A creditor decided anew how much a debtor may owe it."""

    creditor: EnterpriseName
    debtor: EnterpriseName
    limit_microcredits: Amount


class TrustAdopted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """The members changed their trust file; it holds from this block on."""

    version: PositiveCount
    digest: HexDigest
    from_height: PositiveCount


Event = LeaseChanged | LimitChanged | TrustAdopted
