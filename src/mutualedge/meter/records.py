"""What was used and who said so: record, batch, voucher, statement."""

from typing import Annotated

import msgspec

from mutualedge.model import (
    ZERO_DIGEST,
    Amount,
    AssuranceLevel,
    Bytes32,
    Count,
    EnterpriseName,
    HexDigest,
    HexInvocationId,
    HexKeyId,
    HexLeaseId,
    KeyId,
    Microcredits,
    NodeName,
    PositiveCount,
)
from mutualedge.signing import key_id_of

METERS_MAX = 64
"""Meter keys (runner starts) one lease may see; more means a runner that cannot stay up."""


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One execution, measured inside the runner; chained per lease and meter key.

    Attributes:
        seq: 1, 2, 3 … without gap per (lease, meter).
        prev: Digest of the record before it in that chain, or zeros.
        request: SHA-256 of a session secret and the request, so that its content stays hidden.
        response: The same for the result.
        runtime: Name and version of the engine; fuel compares only within one.
        rs_ms: Reserved time charged, milliseconds.
        fuel: Instructions the engine counted; equal on re-execution.
        cpu_ns: Processor time the host reported; information only.
        attestation: SHA-256 of the evidence that binds the meter key.
    """

    lease: HexLeaseId
    meter: HexKeyId
    seq: PositiveCount
    prev: HexDigest
    requester: EnterpriseName
    provider: EnterpriseName
    node: NodeName
    function: HexDigest
    runtime: Annotated[str, msgspec.Meta(max_length=64)]
    invocation: HexInvocationId
    request: HexDigest
    response: HexDigest
    status: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z.-]{0,47}\Z")]
    rs_ms: Count
    fuel: Count
    cpu_ns: Count
    memory_bytes: Count
    in_bytes: Count
    out_bytes: Count
    amount_microcredits: Amount
    assurance: AssuranceLevel
    attestation: HexDigest


class RecordBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The runner's word for every record up to one: the chain's head and the sum so far."""

    lease: HexLeaseId
    meter_key: Bytes32
    through_seq: PositiveCount
    head: HexDigest
    total_microcredits: Amount

    @property
    def meter(self) -> KeyId:
        """Name of the meter key."""
        return key_id_of(self.meter_key)


class Voucher(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The requester's word: it owes this running total to this meter; a later one replaces it.

    With ``through_seq`` 0 it opens the account: the requester appraised the evidence behind the
    meter key and accepts what that key signs, up to the lease's exposure.
    """

    lease: HexLeaseId
    meter_key: Bytes32
    through_seq: Count
    head: HexDigest
    total_microcredits: Amount

    @property
    def meter(self) -> KeyId:
        """Name of the meter key."""
        return key_id_of(self.meter_key)

    def __post_init__(self) -> None:
        """An opening voucher owes nothing and names no record."""
        if self.through_seq == 0 and (self.total_microcredits or self.head != ZERO_DIGEST):
            raise ValueError("an opening voucher has total 0 and a zero head")


class StatementLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One meter's share of a statement."""

    meter: HexKeyId
    through_seq: Count
    head: HexDigest
    total_microcredits: Amount


class Statement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Both sides' word for a finished lease; the only thing of it the ledger needs to see."""

    lease: HexLeaseId
    lines: Annotated[tuple[StatementLine, ...], msgspec.Meta(max_length=METERS_MAX)]
    total_microcredits: Amount

    def __post_init__(self) -> None:
        """The total is the sum of its lines, one line a meter, sorted by meter."""
        meters = [line.meter for line in self.lines]
        if meters != sorted(set(meters)):
            raise ValueError("statement lines must be sorted by meter, each once")
        if sum(line.total_microcredits for line in self.lines) != self.total_microcredits:
            raise ValueError("the statement's total is not the sum of its lines")


def statement_of(lease: HexLeaseId, vouchers: tuple[Voucher, ...]) -> Statement:
    """Return the statement that the last voucher of each meter adds up to.

    A meter whose last voucher is the opening one has no line: it owes nothing, and only one side
    may know it, when its runner or a process died before the session was finished.
    """
    lines = tuple(
        StatementLine(
            meter=voucher.meter,
            through_seq=voucher.through_seq,
            head=voucher.head,
            total_microcredits=voucher.total_microcredits,
        )
        for voucher in sorted(vouchers, key=lambda voucher: voucher.meter)
        if voucher.through_seq
    )
    total = Microcredits(sum(line.total_microcredits for line in lines))
    return Statement(lease=lease, lines=lines, total_microcredits=total)
