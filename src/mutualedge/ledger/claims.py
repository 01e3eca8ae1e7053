"""When the other side is gone: claim, close and contradict; either side's loss is at most W.

A total that the requester signed counts whichever voucher carries it: the largest one wins, so a
later voucher with a smaller total takes nothing back. Each claim is complete in itself and the
ledger keeps the best one; the requester's closing can therefore never crowd it out.

Source: design, "Payment when somebody vanishes".
"""

import msgspec

from mutualedge.errors import RefusedByPolicy
from mutualedge.identity import Consortium
from mutualedge.ledger.commands import Claim, Close, Contradict
from mutualedge.ledger.context import Context
from mutualedge.ledger.events import LeaseStatus
from mutualedge.ledger.evidence import refusing
from mutualedge.ledger.lease_state import (
    Lease,
    post_part,
    put_off,
    save_lease,
    unresolved_lease,
)
from mutualedge.ledger.leases import require_party
from mutualedge.meter import RecordBatch, Voucher
from mutualedge.model import NS_PER_MS, KeyId, LeaseId, Microcredits, format_instant
from mutualedge.signing import Envelope, parse_canonical, verify_record


def claim(context: Context, consortium: Consortium, action: Claim) -> None:
    """Post the provider's vouchers at once and hold what its runner proves beyond them.

    Raises:
        RefusedByPolicy: Not the provider, outside lease end to ``settles_until``, evidence that
            is not this lease's or not signed, more than W beyond the vouchers, more than the
            lease can cost, beyond the vouchers after a contradiction, or nothing new.
    """
    lease = unresolved_lease(context, action.lease)
    require_party(context, lease.provider)
    _refuse_outside_window(context, lease, early="ledger.claim.early", late="ledger.claim.late")
    vouched = _verify_vouchers(consortium, lease, action.lease, action.vouchers)
    extra = _verify_extra(action, vouched)
    posted = Microcredits(sum(vouched.values()))
    claimed = Microcredits(posted + extra)
    if extra > lease.exposure_microcredits:
        sentence = (
            f"The runner's batches exceed the vouchers by {extra} microcredits; "
            f"the agreement lets {lease.exposure_microcredits} be unsigned."
        )
        raise RefusedByPolicy("ledger.claim.beyond-window", sentence)
    _refuse_beyond_cost(lease, claimed)
    if extra and lease.contradicted_microcredits:
        sentence = "The requester contradicted a claim on this lease; only vouchers count now."
        raise RefusedByPolicy("ledger.claim.contradicted", sentence)
    if posted <= lease.posted_microcredits and claimed <= lease.claimed_microcredits:
        sentence = f"{lease.claimed_microcredits} are claimed already; this claim adds nothing."
        raise RefusedByPolicy("ledger.claim.nothing-new", sentence)
    if lease.status is LeaseStatus.OPEN:
        lease = msgspec.structs.replace(lease, status=LeaseStatus.CLAIMED)
    if extra and claimed > lease.claimed_microcredits:
        lease = _hold(context, action.lease, lease, claimed)
    save_lease(context, action.lease, post_part(context, action.lease, lease, posted))


def close(context: Context, consortium: Consortium, action: Close) -> None:
    """Post what the requester says it vouched; the provider may still claim more until due.

    Raises:
        RefusedByPolicy: Not the requester, outside lease end to ``settles_until``, evidence that
            is not this lease's or not signed, more than the lease can cost, or nothing new.
    """
    lease = unresolved_lease(context, action.lease)
    require_party(context, lease.requester)
    _refuse_outside_window(context, lease, early="ledger.close.early", late="ledger.close.late")
    vouched = _verify_vouchers(consortium, lease, action.lease, action.vouchers)
    posted = Microcredits(sum(vouched.values()))
    _refuse_beyond_cost(lease, posted)
    known = lease.status in {LeaseStatus.CLOSING, LeaseStatus.DISPUTED}
    if known and posted <= lease.posted_microcredits:
        sentence = f"{lease.posted_microcredits} posted already; closing again adds nothing."
        raise RefusedByPolicy("ledger.close.nothing-new", sentence)
    if not known:
        lease = msgspec.structs.replace(lease, status=LeaseStatus.CLOSING)
    save_lease(context, action.lease, post_part(context, action.lease, lease, posted))


def contradict(context: Context, action: Contradict) -> None:
    """Void what a claim asks beyond its vouchers, and mark the lease disputed.

    Raises:
        RefusedByPolicy: Not the requester, the lease is resolved, or nothing is pending.
    """
    lease = unresolved_lease(context, action.lease)
    require_party(context, lease.requester)
    denied = lease.pending_microcredits
    if not denied:
        sentence = f"Nothing beyond vouchers is claimed on lease {action.lease}."
        raise RefusedByPolicy("ledger.contradict.nothing-pending", sentence)
    disputed = msgspec.structs.replace(
        lease,
        status=LeaseStatus.DISPUTED,
        claimed_microcredits=lease.posted_microcredits,
        contradicted_microcredits=denied,
        reason=action.reason,
    )
    save_lease(context, action.lease, disputed)


def _refuse_outside_window(context: Context, lease: Lease, *, early: str, late: str) -> None:
    now = format_instant(context.now_ns)
    if now < lease.ends:
        sentence = f"The lease runs until {lease.ends}; one side alone settles it afterwards."
        raise RefusedByPolicy(early, sentence)
    if now >= lease.settles_until:
        sentence = f"The lease could be settled by one side until {lease.settles_until} only."
        raise RefusedByPolicy(late, sentence)


def _verify_vouchers(
    consortium: Consortium, lease: Lease, lease_id: LeaseId, envelopes: tuple[Envelope, ...]
) -> dict[KeyId, Microcredits]:
    """Return each meter's total as the requester signed it."""
    totals: dict[KeyId, Microcredits] = {}
    for envelope in envelopes:
        with refusing("voucher"):
            requester = consortium.member(lease.requester).settlement_key
            voucher = verify_record(envelope, Voucher, requester)
        _refuse_other_lease(voucher, lease_id)
        _refuse_repeated(voucher, totals)
        totals[voucher.meter] = voucher.total_microcredits
    return totals


def _verify_extra(action: Claim, vouched: dict[KeyId, Microcredits]) -> int:
    """Return what the runners signed beyond the vouchers, summed over meters."""
    proven: dict[KeyId, Microcredits] = {}
    for envelope in action.batches:
        with refusing("batch"):
            key = parse_canonical(envelope.payload, RecordBatch).meter_key
            batch = verify_record(envelope, RecordBatch, key)
        _refuse_other_lease(batch, action.lease)
        _refuse_repeated(batch, proven)
        if batch.meter not in vouched:
            sentence = "A batch is signed by a meter key that no voucher of this claim accepts."
            raise RefusedByPolicy("ledger.claim.unknown-meter", sentence)
        proven[batch.meter] = batch.total_microcredits
    return sum(max(0, total - vouched[meter]) for meter, total in proven.items())


def _refuse_other_lease(record: Voucher | RecordBatch, lease_id: LeaseId) -> None:
    if record.lease != lease_id:
        sentence = f"The evidence belongs to lease {record.lease}, not to {lease_id}."
        raise RefusedByPolicy("ledger.claim.other-lease", sentence)


def _refuse_repeated(record: Voucher | RecordBatch, totals: dict[KeyId, Microcredits]) -> None:
    if record.meter in totals:
        sentence = f"Meter {record.meter} occurs twice; send only the last document of each."
        raise RefusedByPolicy("ledger.claim.meters", sentence)


def _refuse_beyond_cost(lease: Lease, total: Microcredits) -> None:
    if total > lease.cost_max_microcredits:
        sentence = f"{total} microcredits exceed the {lease.cost_max_microcredits} of the lease."
        raise RefusedByPolicy("ledger.claim.beyond-cost", sentence)


def _hold(context: Context, lease_id: LeaseId, lease: Lease, claimed: Microcredits) -> Lease:
    """Return the lease claiming this much, due when the requester had time to contradict."""
    answer_ns = lease.dispute_window_ms * NS_PER_MS // 2
    later = put_off(context, lease_id, lease, context.now_ns + answer_ns)
    return msgspec.structs.replace(later, claimed_microcredits=claimed)
