"""Usage records, taken in as they are read: some 250 bytes kept of each."""

from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

from mutualedge.audit.terms import record_subject
from mutualedge.meter import UsageRecord
from mutualedge.model import AssuranceLevel, Digest, EnterpriseId, InvocationId, KeyId, LeaseId

PAYLOAD_BYTES_MAX = 256 * 1024
"""Most bytes one call carries either way (design section 7: inline to 256 KiB)."""

_DIGEST_BYTES = 32


class Profile(NamedTuple):
    """What nearly all records of a chain say alike, so that it is judged once."""

    lease: LeaseId
    meter: KeyId
    requester: EnterpriseId
    provider: EnterpriseId
    node: str
    function: Digest
    assurance: AssuranceLevel
    attestation: Digest
    rs_ms: int
    amount_microcredits: int


@dataclass(slots=True, kw_only=True)
class ProfileUse:
    """How many records have a profile, and the first of them."""

    count: int = 0
    line: int
    seq: int
    entry: int


class Row(NamedTuple):
    """What is kept of a record that does not stand in its place yet, or again."""

    seq: int
    digest: bytes
    prev: bytes
    amount_microcredits: int
    line: int
    entry: int


class Logged(NamedTuple):
    """A record's place in the bundle and in its provider's log, for findings."""

    seq: int
    line: int
    entry: int


@dataclass(slots=True, kw_only=True)
class Chain:
    """The records of one meter under one lease, in order of their numbers.

    Attributes:
        breaks: Numbers of records that name another predecessor than the one before them.
        doubles: Further records under a number that was taken.
        copies: The same records as the requester logged them, by (its log, row).
    """

    lease: LeaseId
    meter: KeyId
    provider: EnterpriseId
    heads: bytearray = field(default_factory=bytearray)
    totals: "array[int]" = field(default_factory=lambda: array("q"))
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    entries: "array[int]" = field(default_factory=lambda: array("q"))
    early: dict[int, Row] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    doubles: list[Row] = field(default_factory=list)
    copies: list[tuple[EnterpriseId, Row]] = field(default_factory=list)

    def __len__(self) -> int:
        """Return how many records stand without gap from number 1."""
        return len(self.lines)

    def head(self, seq: int) -> bytes:
        """Return the digest of a record that stands."""
        return bytes(self.heads[(seq - 1) * _DIGEST_BYTES : seq * _DIGEST_BYTES])

    def total(self, seq: int) -> int:
        """Return the sum of all amounts up to this record, in microcredits."""
        return self.totals[seq - 1]

    def place(self, seq: int) -> Logged:
        """Return where a record that stands was found."""
        return Logged(seq, self.lines[seq - 1], self.entries[seq - 1])

    def add(self, row: Row) -> None:
        """Take one record; they may come in any order."""
        expected = len(self.lines) + 1
        if row.seq == expected:
            self._append(row)
            while self.early and (late := self.early.pop(len(self.lines) + 1, None)):
                self._append(late)
        elif row.seq < expected or row.seq in self.early:
            self.doubles.append(row)
        else:
            self.early[row.seq] = row

    def _append(self, row: Row) -> None:
        before = self.heads[-_DIGEST_BYTES:] if self.heads else bytes(_DIGEST_BYTES)
        if row.prev != before:
            self.breaks.append(row.seq)
        total = self.totals[-1] if self.totals else 0
        self.heads += row.digest
        self.totals.append(total + row.amount_microcredits)
        self.lines.append(row.line)
        self.entries.append(row.entry)


@dataclass(slots=True, kw_only=True)
class LeaseUse:
    """What is counted over all meters of one lease.

    Attributes:
        last_entry: Last entry of the log that charges for something.
        rebilled: Records that charge an invocation which another record charges too.
        oversize: Records that carry more bytes than a call can.
    """

    billed: set[bytes] = field(default_factory=set)
    billed_count: int = 0
    last_entry: int = 0
    rebilled: list[tuple[KeyId, Logged]] = field(default_factory=list)
    oversize: list[tuple[KeyId, Logged]] = field(default_factory=list)

    def add(self, record: UsageRecord, place: Logged) -> None:
        """Count one record of the provider's log."""
        if record.amount_microcredits:
            self._bill(record.invocation, record.meter, place)
        if record.in_bytes > PAYLOAD_BYTES_MAX or record.out_bytes > PAYLOAD_BYTES_MAX:
            self.oversize.append((record.meter, place))

    def _bill(self, invocation: InvocationId, meter: KeyId, place: Logged) -> None:
        self.last_entry = max(self.last_entry, place.entry)
        name = bytes.fromhex(invocation)
        if name in self.billed:
            self.rebilled.append((meter, place))
        self.billed.add(name)
        self.billed_count += 1


class UsageBook:
    """Every record of the bundle, sorted into chains."""

    def __init__(self) -> None:
        """Start empty."""
        self.chains: dict[tuple[LeaseId, KeyId, EnterpriseId], Chain] = {}
        self.leases: dict[tuple[LeaseId, EnterpriseId], LeaseUse] = {}
        self.profiles: dict[Profile, ProfileUse] = {}
        self.strays: list[tuple[EnterpriseId, str, Logged]] = []
        self.record_count = 0

    def add(
        self, log: EnterpriseId, record: UsageRecord, digest: bytes, *, line: int, index: int
    ) -> None:
        """Take one opened record from one enterprise's log."""
        self.record_count += 1
        prev, amount = bytes.fromhex(record.prev), record.amount_microcredits
        row = Row(record.seq, digest, prev, amount, line, index)
        chain = self._chain(record)
        if log != record.provider:
            if log == record.requester:
                chain.copies.append((log, row))
            else:
                subject = record_subject(record.lease, record.meter, record.seq)
                self.strays.append((log, subject, Logged(record.seq, line, index)))
            return
        chain.add(row)
        self._count(record, Logged(record.seq, line, index))

    def _chain(self, record: UsageRecord) -> Chain:
        # The provider is part of the key, so that nobody's log can touch another's chain.
        key = (record.lease, record.meter, record.provider)
        chain = self.chains.get(key)
        if chain is None:
            chain = Chain(lease=record.lease, meter=record.meter, provider=record.provider)
            self.chains[key] = chain
        return chain

    def _count(self, record: UsageRecord, place: Logged) -> None:
        profile = Profile(
            record.lease,
            record.meter,
            record.requester,
            record.provider,
            record.node,
            record.function,
            record.assurance,
            record.attestation,
            record.rs_ms,
            record.amount_microcredits,
        )
        use = self.profiles.get(profile)
        if use is None:
            use = ProfileUse(line=place.line, seq=place.seq, entry=place.entry)
            self.profiles[profile] = use
        use.count += 1
        lease = self.leases.get((record.lease, record.provider))
        if lease is None:
            lease = self.leases[record.lease, record.provider] = LeaseUse()
        lease.add(record, place)
