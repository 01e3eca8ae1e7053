"""The chain of usage records of one meter under one lease: how it grows and what it may say."""

from collections.abc import Iterable

import msgspec

from mutualedge.errors import PeerError
from mutualedge.market import Agreement
from mutualedge.meter.records import RecordBatch, UsageRecord, Voucher
from mutualedge.model import ZERO_DIGEST, Digest, KeyId, LeaseId, Microcredits
from mutualedge.signing import (
    Envelope,
    SigningKey,
    digest_of,
    parse_canonical,
    sign_record,
    verify_record,
)


class ChainPosition(msgspec.Struct, frozen=True, kw_only=True):
    """How far a chain has come: its last record and the sum of all amounts."""

    seq: int
    head: Digest
    total_microcredits: Microcredits

    def after(self, raw: bytes, record: UsageRecord) -> "ChainPosition":
        """Return the position once this record is appended.

        Args:
            raw: The record's canonical bytes.
            record: The same, parsed.

        Raises:
            PeerError: The record does not follow this position.
        """
        if record.seq != self.seq + 1 or record.prev != self.head:
            sentence = f"Record {record.seq} does not follow record {self.seq} of its meter."
            raise PeerError("meter.record.chain", sentence)
        return ChainPosition(
            seq=record.seq,
            head=digest_of(raw),
            total_microcredits=Microcredits(self.total_microcredits + record.amount_microcredits),
        )

    def batch(self, lease: LeaseId, meter_key: SigningKey) -> Envelope:
        """Return this position signed by the meter key."""
        return sign_record(
            RecordBatch(
                lease=lease,
                meter_key=meter_key.public_bytes,
                through_seq=self.seq,
                head=self.head,
                total_microcredits=self.total_microcredits,
            ),
            meter_key,
        )

    def voucher(self, lease: LeaseId, meter_key: bytes, settlement: SigningKey) -> Envelope:
        """Return this position as a debt, signed by the requester's settlement key."""
        return sign_record(
            Voucher(
                lease=lease,
                meter_key=meter_key,
                through_seq=self.seq,
                head=self.head,
                total_microcredits=self.total_microcredits,
            ),
            settlement,
        )


CHAIN_START = ChainPosition(seq=0, head=ZERO_DIGEST, total_microcredits=Microcredits(0))


def position_of(signed: Voucher | RecordBatch) -> ChainPosition:
    """Return the position a voucher or batch speaks for."""
    return ChainPosition(
        seq=signed.through_seq, head=signed.head, total_microcredits=signed.total_microcredits
    )


def walk_chain(start: ChainPosition, records: Iterable[tuple[bytes, UsageRecord]]) -> ChainPosition:
    """Return the position after all these records.

    Raises:
        PeerError: One of them does not follow the one before.
    """
    position = start
    for raw, record in records:
        position = position.after(raw, record)
    return position


def verify_usage(raw: bytes, *, lease: LeaseId, terms: Agreement, meter: KeyId) -> UsageRecord:
    """Return the record if it is one this lease allows.

    Args:
        raw: Canonical bytes.
        lease: The lease it must name.
        terms: That lease's agreement.
        meter: The meter key it must name.

    Raises:
        PeerError: Malformed, of another lease, meter, party or function, or priced otherwise.
    """
    return verify_terms(parse_canonical(raw, UsageRecord), lease=lease, terms=terms, meter=meter)


def verify_terms(
    record: UsageRecord, *, lease: LeaseId, terms: Agreement, meter: KeyId
) -> UsageRecord:
    """Return the record, parsed already, if it is one this lease allows; see `verify_usage`.

    Raises:
        PeerError: Of another lease, meter, party or function, or priced otherwise.
    """
    named = (record.lease, record.meter, record.requester, record.provider, record.node)
    if named != (lease, meter, terms.requester, terms.provider, terms.node):
        raise _wrong(record, "names another lease, meter or party")
    if record.assurance != terms.assurance:
        raise _wrong(record, "was made under another assurance than the lease demands")
    if record.function != terms.function:
        raise _wrong(record, "ran another function than the lease names")
    paid = (record.rs_ms, record.amount_microcredits)
    if paid not in {(terms.call_rs_ms, terms.call_microcredits), (0, 0)}:
        raise _wrong(record, "charges another amount than the lease's price")
    return record


def _wrong(record: UsageRecord, why: str) -> PeerError:
    sentence = f"Usage record {record.seq} of lease {record.lease[:12]} {why}; do not pay for it."
    return PeerError("meter.record.terms", sentence)


def verify_batch(envelope: Envelope, *, lease: LeaseId, meter_key: bytes) -> RecordBatch:
    """Return the batch if this meter key signed it for this lease.

    Raises:
        PeerError: Another key, another lease, or malformed.
    """
    batch = verify_record(envelope, RecordBatch, meter_key)
    if batch.lease != lease or batch.meter_key != meter_key:
        sentence = "The batch names another lease or meter key than the one that signed it."
        raise PeerError("meter.batch.misplaced", sentence)
    return batch


def verify_voucher(envelope: Envelope, *, lease: LeaseId, requester_key: bytes) -> Voucher:
    """Return the voucher if the requester's settlement key signed it for this lease.

    Raises:
        PeerError: Another key, another lease, or malformed.
    """
    voucher = verify_record(envelope, Voucher, requester_key)
    if voucher.lease != lease:
        sentence = "The voucher is for another lease; it pays nothing here."
        raise PeerError("meter.voucher.misplaced", sentence)
    return voucher
