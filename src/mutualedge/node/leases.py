"""A lease as each side keeps it: what was recorded, what is signed for, what is still open."""

from dataclasses import dataclass, field

import msgspec

from mutualedge.market import Agreement, Commitment, commitment_of
from mutualedge.meter import CHAIN_START, ChainPosition, UsageRecord
from mutualedge.model import Bytes32, InvocationId, KeyId, LeaseId
from mutualedge.signing import Envelope, key_id_of

LENT = "lent"
BORROWED = "borrowed"
METER = "meter"
ATTESTATION = "attestation"
RECORD = "record"
STATEMENT = "statement"


PAID_MAX = 16_384
"""Charged invocations remembered per lease, about 3 MB: a repeat comes within seconds, and the
auditor finds one that comes later."""


UNANSWERED_MAX = 1024
"""Calls without result remembered per lease; more than any W, beyond which nothing is claimed."""


class LeaseRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Row ``lent/<lease>`` or ``borrowed/<lease>``: what both signed."""

    agreement: Envelope
    commitment: Envelope
    resolved: bool


class MeterRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Row ``meter/<lease>/<meter>``: the last voucher and the last batch."""

    meter_key: Bytes32
    voucher: Envelope
    batch: Envelope | None


class RecordRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Row ``record/<lease>/<meter>/<seq>``: a usage record and, at the provider, its reply."""

    usage: bytes
    session: int
    reply: bytes


def meter_row_key(lease: LeaseId, meter: KeyId) -> str:
    """Return the key of a meter's row."""
    return f"{lease}/{meter}"


def record_row_key(lease: LeaseId, meter: KeyId, seq: int) -> str:
    """Return the key of a record's row; zero-padded, so that keys sort as numbers."""
    return f"{lease}/{meter}/{seq:010d}"


class MeteredCall(msgspec.Struct, frozen=True, kw_only=True):
    """A usage record with what belongs to it."""

    raw: bytes
    usage: UsageRecord
    session: int
    reply: bytes
    at_ns: int


@dataclass(slots=True, kw_only=True)
class MeterAccount:
    """One meter key under one lease: records since the last voucher, and that voucher.

    Attributes:
        meter_key: Raw public key.
        voucher: The requester's last voucher; the opening one at first.
        signed: The position that voucher speaks for.
        calls: Records after it, by sequence number, in the order in which they came.
        batch: The runner's last batch.
        is_asking: A request for a voucher is under way.
        is_refused: The requester's last answer to one was no.
        is_restored: From the rows of an earlier life, which sent calls nobody remembers.
    """

    meter_key: bytes
    voucher: Envelope
    signed: ChainPosition = CHAIN_START
    calls: dict[int, MeteredCall] = field(default_factory=dict)
    batch: Envelope | None = None
    is_asking: bool = False
    is_refused: bool = False
    is_restored: bool = False

    @property
    def meter(self) -> KeyId:
        """Name of the key."""
        return key_id_of(self.meter_key)

    def unsigned(self) -> tuple[MeteredCall, ...]:
        """Return the gap-free run of records after the last voucher, in order."""
        run: list[MeteredCall] = []
        seq = self.signed.seq + 1
        while seq in self.calls:
            run.append(self.calls[seq])
            seq += 1
        return tuple(run)

    def sign_through(self, position: ChainPosition, voucher: Envelope) -> tuple[MeteredCall, ...]:
        """Take a voucher for this position; return the calls it covers, which are not open now."""
        assert position.seq >= self.signed.seq, "a voucher never goes back"
        self.signed = position
        self.voucher = voucher
        covered = [seq for seq in self.calls if seq <= position.seq]
        return tuple(self.calls.pop(seq) for seq in covered)


@dataclass(slots=True, kw_only=True)
class HeldLease:
    """A lease this enterprise lends or borrows, until the ledger resolved it.

    Attributes:
        commitment: What of the agreement the ledger sees; signed by both.
        accounts: By meter key; one per start of the provider's runner.
        paid: Invocations charged lately; none is charged twice.
        told: What the commitment says.
        unanswered: Invocations this life sent in whatever session, neither answered nor paid.
        shown: Of those, what the provider showed us the runner's records of, though we will not
            sign for more results that we never got.
        statement: Signed by both.
        refusals: Requests for a voucher refused or unanswered in a row; each doubles the wait.
        is_claimed: We sent the ledger our one-sided account.
        unseen_calls: Paid in this life on the runner's word alone, without their results.
        is_overcharged: The provider's runner signed for an invocation that was charged before.
        is_doubted: It claims what it has not shown us, and has some time left to do so.
        expired_ns: When this life saw that the ledger let it expire, unsigned.
    """

    lease_id: LeaseId
    terms: Agreement
    agreement: Envelope
    commitment: Envelope
    accounts: dict[KeyId, MeterAccount] = field(default_factory=dict)
    paid: dict[InvocationId, None] = field(default_factory=dict)
    unanswered: dict[InvocationId, None] = field(default_factory=dict)
    shown: dict[InvocationId, None] = field(default_factory=dict)
    told: Commitment = field(init=False)
    statement: Envelope | None = None
    refusals: int = 0
    is_claimed: bool = False
    unseen_calls: int = 0
    is_overcharged: bool = False
    is_doubted: bool = False
    is_resolved: bool = False
    expired_ns: int | None = None

    def __post_init__(self) -> None:
        """Work out once what the ledger must show."""
        self.told = commitment_of(self.lease_id, self.terms)

    def charge(self, usage: UsageRecord) -> None:
        """Remember that an invocation was charged."""
        if usage.amount_microcredits:
            _remember(self.paid, usage.invocation, PAID_MAX)
            self.unanswered.pop(usage.invocation, None)

    def expect(self, invocation: InvocationId) -> None:
        """Remember that an invocation was sent."""
        _remember(self.unanswered, invocation, UNANSWERED_MAX)

    def show(self, invocation: InvocationId) -> None:
        """Remember that the provider showed us this invocation's record."""
        if invocation in self.unanswered:
            _remember(self.shown, invocation, UNANSWERED_MAX)

    @property
    def open_calls(self) -> int:
        """Calls without a voucher, over all meters."""
        return sum(len(account.calls) for account in self.accounts.values())

    @property
    def metered_microcredits(self) -> int:
        """What all calls cost that were ever metered, signed for or not."""
        return sum(
            account.signed.total_microcredits
            + sum(call.usage.amount_microcredits for call in account.calls.values())
            for account in self.accounts.values()
        )

    @property
    def oldest_open_ns(self) -> int | None:
        """When the oldest call without a voucher was metered: the first of one of the meters."""
        firsts = (next(iter(account.calls.values()), None) for account in self.accounts.values())
        return min((first.at_ns for first in firsts if first is not None), default=None)


def _remember(known: dict[InvocationId, None], invocation: InvocationId, limit: int) -> None:
    """Add an invocation, and let go of the oldest beyond so many."""
    known[invocation] = None
    while len(known) > limit:
        del known[next(iter(known))]
