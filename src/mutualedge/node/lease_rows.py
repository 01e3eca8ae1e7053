"""Leases to rows and back: what a node must find again after a crash."""

from collections.abc import Iterator

import msgspec

from mutualedge.attest import MeterAttestation
from mutualedge.market import Agreement
from mutualedge.meter import ChainPosition, UsageRecord, Voucher, position_of
from mutualedge.model import KeyId, LeaseId
from mutualedge.node.leases import (
    ATTESTATION,
    METER,
    RECORD,
    STATEMENT,
    HeldLease,
    LeaseRow,
    MeterAccount,
    MeteredCall,
    MeterRow,
    RecordRow,
    meter_row_key,
)
from mutualedge.node.station import Station
from mutualedge.protocol import StoreView
from mutualedge.signing import (
    Envelope,
    canonical_bytes,
    digest_of,
    key_id_of,
    parse_canonical,
)


def save_lease(station: Station, bucket: str, lease: HeldLease) -> None:
    """Write a lease's row; its accounts have rows of their own."""
    row = LeaseRow(
        agreement=lease.agreement, commitment=lease.commitment, resolved=lease.is_resolved
    )
    station.write(bucket, lease.lease_id, msgspec.msgpack.encode(row))


def save_account(station: Station, lease: HeldLease, account: MeterAccount) -> None:
    """Write a meter's row; its records have rows of their own."""
    row = MeterRow(
        meter_key=account.meter_key,
        voucher=account.voucher,
        batch=account.batch,
    )
    key = meter_row_key(lease.lease_id, account.meter)
    station.write(METER, key, msgspec.msgpack.encode(row))


def save_attestation(station: Station, attestation: MeterAttestation) -> None:
    """Write the evidence of one session; a meter key has as many as it had sessions."""
    evidence = digest_of(attestation.evidence)
    key = f"{attestation.lease}/{key_id_of(attestation.meter_key)}/{evidence}"
    station.write(ATTESTATION, key, canonical_bytes(attestation))


def save_statement(station: Station, lease: HeldLease, statement: Envelope) -> bytes:
    """Write a statement both signed; return the body to log."""
    lease.statement = statement
    body = canonical_bytes(statement)
    station.write(STATEMENT, lease.lease_id, body)
    return body


def restore_leases(store: StoreView, bucket: str) -> dict[LeaseId, HeldLease]:
    """Return the leases of a bucket that the ledger had not resolved, with their accounts."""
    leases: dict[LeaseId, HeldLease] = {}
    for key, value in store.scan(bucket):
        row = msgspec.msgpack.decode(value, type=LeaseRow)
        if not row.resolved:
            leases[LeaseId(key)] = _restore_lease(store, LeaseId(key), row)
    return leases


def _restore_lease(store: StoreView, lease_id: LeaseId, row: LeaseRow) -> HeldLease:
    terms = parse_canonical(row.agreement.payload, Agreement)
    lease = HeldLease(
        lease_id=lease_id, terms=terms, agreement=row.agreement, commitment=row.commitment
    )
    for _, value in store.scan(METER, f"{lease_id}/"):
        account = _restore_account(msgspec.msgpack.decode(value, type=MeterRow))
        lease.accounts[account.meter] = account
    for call in _stored_calls(store, lease_id):
        lease.charge(call.usage)
        account = lease.accounts[KeyId(call.usage.meter)]
        if call.usage.seq > account.signed.seq:
            account.calls[call.usage.seq] = call
    statement = store.get(STATEMENT, lease_id)
    if statement is not None:
        lease.statement = parse_canonical(statement, Envelope)
    return lease


def _restore_account(row: MeterRow) -> MeterAccount:
    return MeterAccount(
        meter_key=row.meter_key,
        voucher=row.voucher,
        signed=_position(row.voucher),
        batch=row.batch,
        is_restored=True,
    )


def _position(voucher: Envelope) -> ChainPosition:
    return position_of(parse_canonical(voucher.payload, Voucher))


def _stored_calls(store: StoreView, lease_id: LeaseId) -> Iterator[MeteredCall]:
    """Yield every recorded call of a lease, meter by meter, in order."""
    for _, value in store.scan(RECORD, f"{lease_id}/"):
        row = msgspec.msgpack.decode(value, type=RecordRow)
        usage = parse_canonical(row.usage, UsageRecord)
        yield MeteredCall(raw=row.usage, usage=usage, session=row.session, reply=row.reply, at_ns=0)
