"""Getting paid: vouchers while a lease runs, a statement when it ends, a claim if nobody signs."""

from collections.abc import Callable
from functools import partial

from mutualedge.errors import PeerError
from mutualedge.ledger import Claim, Settle
from mutualedge.meter import (
    ChainPosition,
    RecordBatch,
    Statement,
    Voucher,
    position_of,
    statement_of,
    verify_voucher,
    walk_chain,
)
from mutualedge.model import NS_PER_MS, LeaseId
from mutualedge.node.books import Books
from mutualedge.node.dispatcher import Dispatcher
from mutualedge.node.lease_rows import save_account, save_statement
from mutualedge.node.leases import STATEMENT, HeldLease, MeterAccount, MeteredCall
from mutualedge.node.logbook import Logbook
from mutualedge.node.station import Station
from mutualedge.protocol import (
    AskStatement,
    AskVoucher,
    BatchSealed,
    LateReply,
    Refused,
    RepliesMissing,
    Reply,
    RunnerAnswer,
    SealBatch,
    StatementSigned,
    Unanswered,
    VoucherSigned,
)
from mutualedge.signing import (
    Envelope,
    parse_canonical,
    sign_record,
    signed_only_by,
    verify_record,
)

DOUBLINGS_MAX = 6
"""A requester that will not sign is asked at most every 32 windows; calls stop at W anyway. What a
quiet ledger is asked its time for waits so long too, in graces."""

ATTENTIONS_PER_GRACE = 4
"""How often, within the settlement grace, the requester is asked again."""


OnSigned = Callable[[HeldLease, tuple[MeteredCall, ...]], None]


class Collector:
    """Keeps what a requester has not signed within W, and settles what it signed."""

    def __init__(
        self,
        station: Station,
        dispatcher: Dispatcher,
        logbook: Logbook,
        books: Books,
        *,
        on_signed: OnSigned,
    ) -> None:
        """Watch nothing yet; ``on_signed`` is told which calls a voucher covered."""
        self._on_signed = on_signed
        self._station = station
        self._dispatcher = dispatcher
        self._logbook = logbook
        self._books = books
        self._expected: set[LeaseId] = set()

    def watch(self, lease: HeldLease, forget: Callable[[HeldLease], None]) -> None:
        """Settle the lease once it has ended; ``forget`` it if the ledger never opens it."""
        self._at(lease.terms.opens_by_ns, partial(self._drop_unopened, lease, forget))
        ended_ns = lease.terms.ends_ns + self._station.settings.network_ms * NS_PER_MS
        self._at(ended_ns, partial(self._settle, lease))

    def _at(self, at_ns: int, action: Callable[[], None]) -> None:
        self._station.after(max(0, at_ns - self._station.now_ns), action)

    def _drop_unopened(
        self, lease: HeldLease, forget: Callable[[HeldLease], None], tries: int = 0
    ) -> None:
        """Let go of a lease its requester did not open, once the ledger cannot open it any more."""
        if lease.is_resolved or self._books.lease(lease) is not None:
            return
        if self._books.has_seen(lease.terms.opens_by_ns):
            forget(lease)
        else:
            self._books.pass_time(lease.terms.requester, f"{lease.lease_id} {tries}")
            grace_ns = self._station.settings.settle_grace_ms * NS_PER_MS
            again = partial(self._drop_unopened, lease, forget, tries + 1)
            self._station.after(grace_ns << min(tries, DOUBLINGS_MAX), again)

    def expect(self, lease: HeldLease) -> None:
        """See to it that what is recorded now is signed within half the window."""
        if lease.lease_id not in self._expected:
            self._expected.add(lease.lease_id)
            half_window_ns = lease.terms.window_ms * NS_PER_MS // 2
            delay_ns = half_window_ns << min(lease.refusals, DOUBLINGS_MAX)
            self._station.after(delay_ns, partial(self._due, lease))

    def _due(self, lease: HeldLease) -> None:
        self._expected.discard(lease.lease_id)
        if lease.open_calls and not lease.is_resolved:
            self.collect(lease)
            if self._station.now_ns < lease.terms.ends_ns:
                self.expect(lease)

    def collect(self, lease: HeldLease) -> None:
        """Have the runner sign what it metered, then ask the requester to sign it too."""
        if any(account.is_asking for account in lease.accounts.values()):
            return
        if not lease.open_calls:
            return
        for account in lease.accounts.values():
            account.is_asking = bool(account.calls)
        if self._dispatcher.is_ready:
            order = SealBatch(lease=lease.lease_id)
            self._dispatcher.order(order, partial(self._on_batch, lease))
        else:
            self._ask_all(lease)

    def wind_up(self, lease: HeldLease) -> bool:
        """Have everything metered so far signed; tell whether nothing more will come of waiting.

        A runner takes its meter key along: what it has not signed by then may never be paid.
        """
        accounts = lease.accounts.values()
        if not all(map(_is_covered, accounts)):
            self.collect(lease)
        return not any(each.is_asking for each in accounts) and all(map(_is_covered, accounts))

    def _on_batch(self, lease: HeldLease, answer: RunnerAnswer) -> None:
        if isinstance(answer, BatchSealed) and answer.batch is not None:
            batch = parse_canonical(answer.batch.payload, RecordBatch)
            account = lease.accounts.get(batch.meter)
            if account is not None:
                account.batch = answer.batch
                save_account(self._station, lease, account)
        self._ask_all(lease)

    def _ask_all(self, lease: HeldLease) -> None:
        for account in lease.accounts.values():
            if account.is_asking:
                self._ask(lease, account, ())

    def _ask(self, lease: HeldLease, account: MeterAccount, late: tuple[int, ...]) -> None:
        calls, batch = _claimable(account)
        if not calls:
            account.is_asking = False
            return
        position = walk_chain(account.signed, ((call.raw, call.usage) for call in calls))
        request = AskVoucher(
            lease=lease.lease_id,
            meter_key=account.meter_key,
            through_seq=position.seq,
            total_microcredits=position.total_microcredits,
            records=tuple(call.raw for call in calls),
            replies=tuple(_late_reply(call) for call in calls if call.usage.seq in late),
            batch=batch,
        )
        on_reply = partial(self._on_voucher, lease, account, position, bool(late))
        self._station.ask(lease.terms.requester, request, on_reply)

    def _on_voucher(
        self,
        lease: HeldLease,
        account: MeterAccount,
        position: ChainPosition,
        was_late: bool,
        reply: Reply | Unanswered,
    ) -> None:
        account.is_asking = False
        match reply:
            case VoucherSigned(voucher=envelope):
                self._take_voucher(lease, account, position, envelope)
            case RepliesMissing(seqs=seqs) if not was_late:
                account.is_asking = True
                self._ask(lease, account, seqs)
            case Refused() | RepliesMissing():
                lease.refusals += 1
                account.is_refused = True
                code = reply.code if isinstance(reply, Refused) else "meter.voucher.replies-missing"
                self._station.note("voucher.refused", lease=lease.lease_id, code=code)
            case _:
                lease.refusals += 1
                self._station.note("voucher.unanswered", lease=lease.lease_id)

    def _take_voucher(
        self, lease: HeldLease, account: MeterAccount, position: ChainPosition, envelope: Envelope
    ) -> None:
        """Keep a voucher for what was asked; one that signs nothing new counts as a refusal."""
        lease.refusals += 1
        requester = self._station.consortium.member(lease.terms.requester)
        voucher = verify_voucher(
            envelope, lease=lease.lease_id, requester_key=requester.settlement_key
        )
        signed = position_of(voucher)
        if voucher.meter_key != account.meter_key or signed != _prefix(account, signed.seq):
            sentence = f"'{requester.enterprise}' signed another sum than it was asked for."
            raise PeerError("meter.voucher.other-sum", sentence)
        is_progress = signed.seq > account.signed.seq
        clean = signed_only_by(envelope, requester.settlement_key)
        self._on_signed(lease, account.sign_through(signed, clean))
        if is_progress:
            lease.refusals = 0
            account.is_refused = False
        save_account(self._station, lease, account)
        self._station.note(
            "voucher.received", lease=lease.lease_id, total=signed.total_microcredits
        )
        if is_progress and signed.seq < position.seq:
            account.is_asking = True
            self._ask(lease, account, ())

    def _settle(self, lease: HeldLease) -> None:
        """Ask for what is missing until the ledger resolved the lease; claim after the grace."""
        if lease.is_resolved:
            return
        grace_ns = self._station.settings.settle_grace_ms * NS_PER_MS
        # In this order: collecting makes every account ask, and while one asks nothing is settled.
        if lease.statement is None and self._is_all_collected(lease):
            self._ask_statement(lease)
        elif lease.open_calls:
            self.collect(lease)
        if lease.statement is not None:
            # Asking twice is asking once, unless the hub refused it or we crashed in between.
            self._books.submit_for(lease, Settle(statement=lease.statement))
        elif self._station.now_ns >= lease.terms.ends_ns + grace_ns and lease.expired_ns is None:
            self._claim(lease)
        self._station.after(grace_ns // ATTENTIONS_PER_GRACE, partial(self._settle, lease))

    def _is_all_collected(self, lease: HeldLease) -> bool:
        """Tell whether nothing is left that a voucher or a claim could still bring.

        Calls that no batch proves (their runner died before signing) are written off after half
        the grace, once the requester said that it did not see them either; they are at most W.
        """
        accounts = lease.accounts.values()
        if any(account.is_asking for account in accounts):
            return False
        half_ns = self._station.settings.settle_grace_ms * NS_PER_MS // 2
        is_late = self._station.now_ns >= lease.terms.ends_ns + half_ns
        return all(not each.calls or (is_late and _is_hopeless(each)) for each in accounts)

    def _ask_statement(self, lease: HeldLease) -> None:
        envelope = sign_record(_statement(lease), self._station.keys.settlement)
        request = AskStatement(statement=envelope)
        self._station.ask(lease.terms.requester, request, partial(self._on_statement, lease))

    def _on_statement(self, lease: HeldLease, reply: Reply | Unanswered) -> None:
        if not isinstance(reply, StatementSigned):
            code = reply.code if isinstance(reply, Refused | Unanswered) else "misplaced"
            self._station.note("statement.unsigned", lease=lease.lease_id, code=code)
            return
        requester = self._station.consortium.member(lease.terms.requester)
        keys = (self._station.me.settlement_key, requester.settlement_key)
        statement = verify_record(reply.statement, Statement, *keys)
        if lease.statement is None and statement == _statement(lease):
            envelope = signed_only_by(reply.statement, *keys)
            body = save_statement(self._station, lease, envelope)
            self._logbook.append("statement", body, STATEMENT, lease.lease_id)
            self._books.submit_for(lease, Settle(statement=envelope))
            self._station.note(
                "statement.signed", lease=lease.lease_id, total=statement.total_microcredits
            )

    def _claim(self, lease: HeldLease) -> None:
        """Send the ledger our account alone: vouchers post at once, batches beyond them pend."""
        accounts = lease.accounts.values()
        batches = tuple(
            account.batch
            for account in accounts
            if _is_provable(account) and account.batch is not None
        )
        vouchers = tuple(account.voucher for account in accounts)
        claim = Claim(lease=lease.lease_id, vouchers=vouchers, batches=batches)
        self._books.submit_for(lease, claim)
        if not lease.is_claimed:
            lease.is_claimed = True
            self._station.note("lease.claimed", lease=lease.lease_id)


def _claimable(account: MeterAccount) -> tuple[tuple[MeteredCall, ...], Envelope | None]:
    """Return the records to have signed next: up to the runner's batch, where there is one."""
    calls = account.unsigned()
    through_seq = _batch_seq(account.batch) if account.batch is not None else 0
    if calls and through_seq >= calls[0].usage.seq:
        return tuple(call for call in calls if call.usage.seq <= through_seq), account.batch
    return calls, None


def _prefix(account: MeterAccount, through_seq: int) -> ChainPosition:
    """Return where the chain stands after the open calls up to this number."""
    calls = (call for call in account.unsigned() if call.usage.seq <= through_seq)
    return walk_chain(account.signed, ((call.raw, call.usage) for call in calls))


def _is_provable(account: MeterAccount) -> bool:
    """Tell whether the runner signed for calls that no voucher covers."""
    return account.batch is not None and _batch_seq(account.batch) > account.signed.seq


def _is_hopeless(account: MeterAccount) -> bool:
    """Tell whether neither the runner nor the requester speaks for the calls without voucher."""
    return account.is_refused and not _is_provable(account)


def _is_covered(account: MeterAccount) -> bool:
    """Tell whether the runner or the requester signed for every call."""
    through_seq = _batch_seq(account.batch) if account.batch is not None else 0
    return all(seq <= through_seq for seq in account.calls)


def _batch_seq(batch: Envelope) -> int:
    return parse_canonical(batch.payload, RecordBatch).through_seq


def _late_reply(call: MeteredCall) -> LateReply:
    return LateReply(seq=call.usage.seq, session=call.session, record=call.reply)


def _statement(lease: HeldLease) -> Statement:
    vouchers = tuple(
        parse_canonical(account.voucher.payload, Voucher) for account in lease.accounts.values()
    )
    return statement_of(lease.lease_id, vouchers)
