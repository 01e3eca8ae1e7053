"""The two-sided life of a lease: opened by an agreement, settled by a statement, or swept."""

from itertools import islice

import msgspec

from mutualedge.errors import RefusedByPolicy
from mutualedge.identity import Consortium
from mutualedge.ledger.accounts import reserve
from mutualedge.ledger.commands import OpenLease, Settle
from mutualedge.ledger.context import Context
from mutualedge.ledger.events import LeaseStatus
from mutualedge.ledger.evidence import refusing
from mutualedge.ledger.lease_state import (
    DUE_TABLE,
    LEASE_TABLE,
    Lease,
    add_lease,
    current_lease,
    reserve_again,
    resolve,
    transfer_id_of,
    unresolved_lease,
    unsigned_prefix,
)
from mutualedge.ledger.trust import refuse_leaving
from mutualedge.market import Commitment, verify_commitment
from mutualedge.meter import Statement
from mutualedge.model import (
    MS_PER_S,
    NS_PER_S,
    EnterpriseId,
    Instant,
    LeaseId,
    format_instant,
    parse_instant,
)
from mutualedge.signing import parse_canonical, verify_record

S_PER_DAY = 86_400

LEASE_AHEAD_NS_MAX = 366 * S_PER_DAY * NS_PER_S
"""A lease ends within a year: nobody can promise credit for longer."""

DISPUTE_WINDOW_MS_MAX = 31 * S_PER_DAY * MS_PER_S
"""A waiting reservation holds credit hostage; a month is ten times the usual 72 h."""

SWEEP_MAX = 256
"""Leases resolved at the start of one block; the others wait for the next one."""


def open_lease(context: Context, consortium: Consortium, action: OpenLease) -> None:
    """Reserve the most a lease can cost, from its requester to its provider.

    Raises:
        RefusedByPolicy: Not signed by both, not the caller's, known, late, out of bounds, one of
            the two leaves, an older lease of them is unsigned, or the credit line is too short.
    """
    with refusing("commitment"):
        terms = verify_commitment(action.commitment, consortium)
        parse_instant(terms.ends)
        parse_instant(terms.opens_by)
    lease_id = LeaseId(terms.lease)
    require_party(context, terms.requester, terms.provider)
    if context.get(LEASE_TABLE + lease_id) is not None:
        sentence = f"Lease {lease_id} was opened before; make a new agreement."
        raise RefusedByPolicy("ledger.lease.already-open", sentence)
    refuse_leaving(context, consortium, terms.requester, terms.provider)
    _refuse_bad_bounds(context, terms)
    _refuse_older_unsigned(context, terms)
    reserve(
        context,
        transfer_id_of(lease_id, 0),
        debtor=terms.requester,
        creditor=terms.provider,
        amount=terms.cost_max_microcredits,
    )
    add_lease(context, lease_id, _lease_of(terms))


def settle(context: Context, consortium: Consortium, action: Settle) -> None:
    """Post what both sides signed, once; it replaces any claim that is not final.

    An expired lease, which nobody claimed, may still be settled: two signatures need no timely
    witness. Its reservation is gone, so the credit line must have room again.

    Raises:
        RefusedByPolicy: Unknown lease, not signed by both, settled or final before, more than
            the lease can cost, or less than posted already.
    """
    with refusing("statement"):
        lease_id = LeaseId(parse_canonical(action.statement.payload, Statement).lease)
    lease = current_lease(context, lease_id)
    require_party(context, lease.requester, lease.provider)
    with refusing("statement"):
        requester = consortium.member(lease.requester).settlement_key
        provider = consortium.member(lease.provider).settlement_key
        statement = verify_record(action.statement, Statement, requester, provider)
    total = statement.total_microcredits
    if lease.status is LeaseStatus.SETTLED:
        sentence = f"Lease {lease_id} is settled; a statement posts once."
        raise RefusedByPolicy("ledger.statement.already-settled", sentence)
    if total > lease.cost_max_microcredits:
        sentence = f"A statement of {total} exceeds the {lease.cost_max_microcredits} of its lease."
        raise RefusedByPolicy("ledger.statement.beyond-cost", sentence)
    if lease.status is LeaseStatus.EXPIRED:
        lease = reserve_again(context, lease_id, lease, total)
    else:
        lease = unresolved_lease(context, lease_id)
    if total < lease.posted_microcredits:
        sentence = f"{lease.posted_microcredits} posted before; a statement cannot take them back."
        raise RefusedByPolicy("ledger.statement.below-posted", sentence)
    signed = msgspec.structs.replace(
        lease, claimed_microcredits=total, statement=action.statement.payload_digest
    )
    resolve(context, lease_id, signed, LeaseStatus.SETTLED)


def sweep(context: Context) -> int:
    """Resolve what is due, earliest first, at most ``SWEEP_MAX``; return how many leases."""
    now, count = format_instant(context.now_ns), 0
    for key, _ in islice(context.scan(DUE_TABLE), SWEEP_MAX):
        _, due, lease_id = key.split("/")
        if due > now:
            break
        current_lease(context, LeaseId(lease_id))
        count += 1
    return count


def require_party(context: Context, *parties: EnterpriseId) -> None:
    """Return if the caller is one of these.

    Raises:
        RefusedByPolicy: It is not.
    """
    if context.caller not in parties:
        sentence = f"Only {' or '.join(parties)} may ask this, not '{context.caller}'."
        raise RefusedByPolicy("ledger.command.not-party", sentence)


def _refuse_bad_bounds(context: Context, terms: Commitment) -> None:
    if parse_instant(terms.opens_by) <= context.now_ns:
        sentence = f"The lease had to be opened before {terms.opens_by}; agree on another."
        raise RefusedByPolicy("ledger.lease.late", sentence)
    if terms.ends_ns - context.now_ns > LEASE_AHEAD_NS_MAX:
        sentence = f"The lease ends at {terms.ends}; agree on one that ends within a year."
        raise RefusedByPolicy("ledger.lease.too-far", sentence)
    if terms.dispute_window_ms > DISPUTE_WINDOW_MS_MAX:
        sentence = f"A dispute window has at most {DISPUTE_WINDOW_MS_MAX} ms (31 days)."
        raise RefusedByPolicy("ledger.lease.dispute-window", sentence)


def older_unsigned(
    context: Context, one: EnterpriseId, other: EnterpriseId, now_ns: int
) -> tuple[LeaseId, Instant] | None:
    """Return a lease between two, either way, that is over and not resolved, and its end."""
    earliest = next(context.scan(unsigned_prefix(one, other)), None)
    if earliest is None:
        return None
    *_, ends, lease_id = earliest[0].split("/")
    return (LeaseId(lease_id), Instant(ends)) if ends <= format_instant(now_ns) else None


def _refuse_older_unsigned(context: Context, terms: Commitment) -> None:
    older = older_unsigned(context, terms.requester, terms.provider, context.now_ns)
    if older is not None:
        lease_id, ends = older
        sentence = (
            f"Lease {lease_id} between '{terms.requester}' and '{terms.provider}' ended at {ends} "
            "and is unsigned; settle it before the next one."
        )
        raise RefusedByPolicy("ledger.lease.older-unsigned", sentence)


def _lease_of(terms: Commitment) -> Lease:
    settles_until = format_instant(terms.settles_until_ns)
    return Lease(
        requester=terms.requester,
        provider=terms.provider,
        ends=terms.ends,
        settles_until=settles_until,
        due=settles_until,
        dispute_window_ms=terms.dispute_window_ms,
        cost_max_microcredits=terms.cost_max_microcredits,
        exposure_microcredits=terms.exposure_microcredits,
        transfer=transfer_id_of(LeaseId(terms.lease), 0),
        transfer_count=1,
    )
