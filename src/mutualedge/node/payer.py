"""Paying what is owed and nothing else: vouchers, statements, contradictions, closings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import msgspec

from mutualedge.errors import PeerError
from mutualedge.ledger import Close, Contradict, Settle
from mutualedge.meter import (
    ChainPosition,
    Statement,
    UsageRecord,
    Voucher,
    position_of,
    statement_of,
    verify_batch,
    verify_usage,
    walk_chain,
)
from mutualedge.model import NS_PER_MS, InvocationId, LeaseId, parse_instant
from mutualedge.node.books import Books
from mutualedge.node.lease_rows import save_account, save_statement
from mutualedge.node.leases import (
    RECORD,
    STATEMENT,
    HeldLease,
    MeterAccount,
    RecordRow,
    record_row_key,
)
from mutualedge.node.logbook import Logbook
from mutualedge.node.station import Station
from mutualedge.protocol import (
    AskStatement,
    AskVoucher,
    LateReply,
    RepliesMissing,
    StatementSigned,
    VoucherSigned,
)
from mutualedge.signing import (
    countersign,
    key_id_of,
    parse_canonical,
    signed_only_by,
    verify_record,
)

CLOSE_GRACES = 2
"""A requester waits two settlement graces for the provider to settle before it does so alone."""

Walked = list[tuple[bytes, UsageRecord]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LateReplies:
    """How replies that come with a request for a voucher are dealt with.

    Attributes:
        is_awaited: Whether we sent this invocation and could still open its reply.
        can_open: Whether we have the keys of this session, also of one that ended.
        take: Opens a late reply and keeps its record as received.
    """

    is_awaited: Callable[[LeaseId, InvocationId], bool]
    can_open: Callable[[LeaseId, int], bool]
    take: Callable[[LeaseId, LateReply], None]


class Payer:
    """Signs what the runner metered for us, once each, and contradicts what it did not."""

    def __init__(self, station: Station, logbook: Logbook, books: Books) -> None:
        """Owe nothing yet; the borrower fills ``leases``."""
        self._station = station
        self._logbook = logbook
        self._books = books
        self.leases: dict[LeaseId, HeldLease] = {}

    def watch(self, lease: HeldLease) -> None:
        """End the lease alone if its provider does not."""
        end_ns = lease.terms.ends_ns + CLOSE_GRACES * self._grace_ns
        self._station.after(max(0, end_ns - self._station.now_ns), partial(self._end, lease))

    @property
    def _grace_ns(self) -> int:
        return self._station.settings.settle_grace_ms * NS_PER_MS

    def _lease(self, lease_id: LeaseId) -> HeldLease:
        lease = self.leases.get(lease_id)
        if lease is None:
            sentence = "We borrow nothing under that lease, or it is settled; look at the ledger."
            raise PeerError("market.lease.unknown", sentence)
        return lease

    def sign_voucher(self, ask_id: int, request: AskVoucher, replies: LateReplies) -> None:
        """Sign for new records of a meter if every one of them is ours, priced right, and here."""
        lease = self._lease(request.lease)
        account = lease.accounts.get(key_id_of(request.meter_key))
        if account is None:
            sentence = "That meter key is not one whose evidence we appraised; we owe it nothing."
            raise PeerError("meter.voucher.unknown-meter", sentence)
        if _first_seq(request) <= account.signed.seq:
            # Our last voucher did not arrive; with it the provider asks for the rest.
            self._station.answer(ask_id, VoucherSigned(voucher=account.voucher))
            return
        walked, position = _verify_run(lease, account, request)
        for late in request.replies:
            if late.seq not in account.calls:  # else it came after all, and opens only once
                replies.take(lease.lease_id, late)
        missing = self._missing(lease, account, walked, request, replies)
        if missing:
            self._station.answer(ask_id, RepliesMissing(seqs=missing))
            return
        _count_unseen(lease, account, walked)
        self._sign(lease, account, walked, position)
        self._station.answer(ask_id, VoucherSigned(voucher=account.voucher))

    def _missing(
        self,
        lease: HeldLease,
        account: MeterAccount,
        walked: Walked,
        request: AskVoucher,
        replies: LateReplies,
    ) -> tuple[int, ...]:
        """Return which results we asked for and still wait for.

        A result we can no longer open (we restarted) is paid on the runner's signed word alone,
        also where we asked again under the same invocation, in the session of this life. In which
        session a reply was sealed its provider says; of a life that had them all it is not heard.

        Raises:
            PeerError: A record differs from the one inside its sealed reply, or nobody vouches.
        """
        missing, lease_id = [], lease.lease_id
        lost = {
            late.seq
            for late in request.replies
            if account.is_restored and not replies.can_open(lease_id, late.session)
        }
        for raw, usage in walked:
            received = account.calls.get(usage.seq)
            if received is not None and received.raw != raw:
                sentence = f"Record {usage.seq} is not the one that came with its result."
                raise PeerError("meter.record.altered", sentence)
            is_openable = usage.seq not in lost and replies.is_awaited(lease_id, usage.invocation)
            if received is None and is_openable:
                missing.append(usage.seq)
            elif received is None and request.batch is None:
                sentence = "We did not see these results; send the runner's signed batch."
                raise PeerError("meter.voucher.unproved", sentence)
        return tuple(missing)

    def _sign(
        self, lease: HeldLease, account: MeterAccount, walked: Walked, position: ChainPosition
    ) -> None:
        for raw, usage in walked:
            lease.charge(usage)
            key = record_row_key(lease.lease_id, account.meter, usage.seq)
            row = RecordRow(usage=raw, session=0, reply=b"")
            self._station.write(RECORD, key, msgspec.msgpack.encode(row))
        settlement = self._station.keys.settlement
        voucher = position.voucher(lease.lease_id, account.meter_key, settlement)
        account.sign_through(position, voucher)
        save_account(self._station, lease, account)
        self._station.note(
            "voucher.signed", lease=lease.lease_id, total=position.total_microcredits
        )

    def sign_statement(self, ask_id: int, request: AskStatement) -> None:
        """Countersign a statement that equals the sum of our vouchers."""
        claimed = parse_canonical(request.statement.payload, Statement)
        lease = self._lease(claimed.lease)
        provider = self._station.consortium.member(lease.terms.provider)
        statement = verify_record(request.statement, Statement, provider.settlement_key)
        if statement != self._own_statement(lease):
            sentence = "The statement is not the sum of our vouchers; send what is missing first."
            raise PeerError("meter.statement.differs", sentence)
        if self._station.now_ns < lease.terms.ends_ns:
            sentence = f"The lease runs until {lease.terms.ends}; more calls may follow."
            raise PeerError("meter.statement.early", sentence)
        clean = signed_only_by(request.statement, provider.settlement_key)
        signed = countersign(clean, self._station.keys.settlement)
        if lease.statement is None:
            body = save_statement(self._station, lease, signed)
            self._logbook.append("statement", body, STATEMENT, lease.lease_id)
        self._station.answer(ask_id, StatementSigned(statement=signed))

    def _own_statement(self, lease: HeldLease) -> Statement:
        vouchers = tuple(
            parse_canonical(account.voucher.payload, Voucher) for account in lease.accounts.values()
        )
        return statement_of(lease.lease_id, vouchers)

    def _end(self, lease: HeldLease) -> None:
        """Bring what is signed to the ledger until it resolved the lease: its provider is away.

        A statement both signed may have reached nobody but us.
        """
        if lease.is_resolved:
            return
        if lease.statement is not None:
            self._books.submit_for(lease, Settle(statement=lease.statement))
        else:
            self._close(lease)
        self._station.after(self._grace_ns, partial(self._end, lease))

    def _close(self, lease: HeldLease) -> None:
        vouchers = tuple(account.voucher for account in lease.accounts.values())
        self._books.submit_for(lease, Close(lease=lease.lease_id, vouchers=vouchers))
        if not lease.is_claimed:
            lease.is_claimed = True
            self._station.note("lease.closed_alone", lease=lease.lease_id)

    def check_claim(self, lease: HeldLease) -> None:
        """Contradict a one-sided claim of more than we would sign for.

        For calls without result the provider has half the time that is left to hand it over, or, if
        we could not open it any more, to show the runner's record: an honest one goes on asking.
        """
        claimed = self._pending_claim(lease)
        if claimed is None:
            return
        if lease.is_overcharged or claimed > _owed_microcredits(lease, lease.unanswered):
            self._contradict(lease)
        elif not lease.is_doubted and claimed > _owed_microcredits(lease, lease.shown):
            lease.is_doubted = True
            on_ledger = self._books.lease(lease)
            assert on_ledger is not None, "it is claimed there"
            left_ns = parse_instant(on_ledger.due) - self._station.now_ns
            self._station.after(max(0, left_ns // 2), partial(self._end_doubt, lease))

    def _end_doubt(self, lease: HeldLease) -> None:
        """Contradict what the provider has neither handed over nor shown."""
        lease.is_doubted = False
        claimed = self._pending_claim(lease)
        if claimed is not None and claimed > _owed_microcredits(lease, lease.shown):
            self._contradict(lease)

    def _pending_claim(self, lease: HeldLease) -> int | None:
        """Return the microcredits claimed, if part of them still pends and we can judge it.

        We cannot if we restarted under this lease: what we sent before is forgotten, so the
        attested runner's batch speaks for it, as it does in ``sign_voucher``; the ledger holds it
        within W. Only a second charge is one all the same.
        """
        on_ledger = self._books.lease(lease)
        if on_ledger is None or on_ledger.is_resolved or not on_ledger.pending_microcredits:
            return None
        is_restored = any(account.is_restored for account in lease.accounts.values())
        if is_restored and not lease.is_overcharged:
            return None
        return on_ledger.claimed_microcredits

    def _contradict(self, lease: HeldLease) -> None:
        reason = "Claimed beyond our vouchers and the calls we sent and were answered or shown."
        self._books.submit(Contradict(lease=lease.lease_id, reason=reason))
        self._station.note("claim.contradicted", lease=lease.lease_id)


def _owed_microcredits(lease: HeldLease, lost: Mapping[InvocationId, None]) -> int:
    """Return the most an honest runner can have metered for us, if these calls were lost."""
    calls = sum(invocation in lease.unanswered for invocation in lost)
    return _known_microcredits(lease) + calls * lease.terms.call_microcredits


def _known_microcredits(lease: HeldLease) -> int:
    """Return what we signed for and what we received since, each invocation once."""
    signed = sum(account.signed.total_microcredits for account in lease.accounts.values())
    received = {
        call.usage.invocation: call.usage.amount_microcredits
        for account in lease.accounts.values()
        for call in account.calls.values()
        if call.usage.amount_microcredits and call.usage.invocation not in lease.paid
    }
    return signed + sum(received.values())


def _verify_run(
    lease: HeldLease, account: MeterAccount, request: AskVoucher
) -> tuple[Walked, ChainPosition]:
    """Return the records to pay and where their chain ends.

    Raises:
        PeerError: A record breaks the chain or the terms, an invocation is charged twice, the
            window is exceeded, or the sums differ from what was asked or batched.
    """
    if len(request.records) > lease.terms.window_calls:
        sentence = f"At most {lease.terms.window_calls} calls may be unsigned; this asks for more."
        raise PeerError("meter.voucher.window", sentence)
    meter = account.meter
    walked = [
        (raw, verify_usage(raw, lease=lease.lease_id, terms=lease.terms, meter=meter))
        for raw in request.records
    ]
    position = walk_chain(account.signed, walked)
    if (position.seq, position.total_microcredits) != (
        request.through_seq,
        request.total_microcredits,
    ):
        sentence = "The records do not add up to the sum that is asked for."
        raise PeerError("meter.voucher.sum", sentence)
    if request.batch is not None:
        batch = verify_batch(request.batch, lease=lease.lease_id, meter_key=account.meter_key)
        if position_of(batch) != position:
            sentence = "The runner's batch stands at another position than the records."
            raise PeerError("meter.batch.differs", sentence)
    try:
        _refuse_double_charge(lease, walked)
    except PeerError:
        lease.is_overcharged |= request.batch is not None
        raise
    return walked, position


def _count_unseen(lease: HeldLease, account: MeterAccount, walked: Walked) -> None:
    """Pay for results we never got only as often as honest crashes could cost us: W calls.

    Raises:
        PeerError: This provider loses results too often to be paid for them on its word.
    """
    results = [usage.invocation for _, usage in walked if usage.seq not in account.calls]
    unseen = len(results)
    if unseen and lease.unseen_calls + unseen > lease.terms.window_calls:
        for invocation in results:
            lease.show(invocation)
        sentence = "Too many results of this lease never reached us; claim what is left."
        raise PeerError("meter.voucher.unseen", sentence)
    lease.unseen_calls += unseen


def _first_seq(request: AskVoucher) -> int:
    if not request.records:
        sentence = "A request for a voucher must hold the records it is for."
        raise PeerError("meter.voucher.empty", sentence)
    return parse_canonical(request.records[0], UsageRecord).seq


def _refuse_double_charge(lease: HeldLease, walked: Walked) -> None:
    charged: dict[InvocationId, None] = {}
    for _, usage in walked:
        if not usage.amount_microcredits:
            continue
        if usage.invocation in lease.paid or usage.invocation in charged:
            sentence = f"Invocation {usage.invocation} is charged a second time; it is owed once."
            raise PeerError("meter.record.charged-twice", sentence)
        charged[usage.invocation] = None
