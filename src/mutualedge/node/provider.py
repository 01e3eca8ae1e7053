"""The lending side: leases, sessions of our runner, and calls executed under them."""

from functools import partial

import msgspec

from mutualedge.errors import PeerError, RefusedByPolicy
from mutualedge.ledger import LeaseStatus, SetLimit
from mutualedge.meter import UsageRecord
from mutualedge.model import (
    NS_PER_MS,
    InvocationId,
    LeaseId,
    Microcredits,
)
from mutualedge.node.admittance import Admittance, Session, refuse
from mutualedge.node.books import Books
from mutualedge.node.collector import Collector
from mutualedge.node.dispatcher import Dispatcher
from mutualedge.node.lease_rows import restore_leases, save_lease
from mutualedge.node.leases import (
    RECORD,
    HeldLease,
    MeteredCall,
    RecordRow,
    record_row_key,
)
from mutualedge.node.logbook import Logbook
from mutualedge.node.offering import Offering, reservation_of
from mutualedge.node.station import Lending, Station
from mutualedge.plan.admission import NotAdmitted, NotReleased
from mutualedge.protocol import (
    Breach,
    Call,
    CallDone,
    Execute,
    Executed,
    LeaseSigned,
    ProposeLease,
    Refused,
    RunnerAnswer,
    StoreView,
)
from mutualedge.signing import (
    countersign,
    parse_canonical,
    sign_record,
    signed_only_by,
)

REPEATS_MAX = 4
"""Requests that may wait for one call; a requester sends it at most three times."""


class _CallState(msgspec.Struct, kw_only=True):
    """One invocation of a lease: who waits for it, and its sealed reply once there is one.

    Attributes:
        is_repeat: Run again for nothing, because an earlier session was lost with its reply.
    """

    session: int
    ask_ids: list[int] = msgspec.field(default_factory=list)
    reply: bytes = b""
    is_repeat: bool = False


class Provider:
    """Lends the node: signs leases, runs calls under them, and has them signed for."""

    def __init__(
        self,
        station: Station,
        dispatcher: Dispatcher,
        logbook: Logbook,
        books: Books,
        store: StoreView,
    ) -> None:
        """Restore the leases that are not resolved, with their reservations and records."""
        self._station = station
        self._dispatcher = dispatcher
        self._logbook = logbook
        self._books = books
        self.admittance = Admittance(station, dispatcher, self._active)
        self._reserved: dict[LeaseId, None] = {}
        self._calls: dict[LeaseId, dict[InvocationId, _CallState]] = {}
        self.leases = restore_leases(store, "lent")
        self.offering = Offering(station, books, self.leases)
        self.served_count = 0
        """Calls executed for partners in this life."""
        self._collector = Collector(
            station, dispatcher, logbook, books, on_signed=self._drop_replies
        )
        for lease in self.leases.values():
            self._calls[lease.lease_id] = {
                call.usage.invocation: _CallState(
                    session=call.session,
                    reply=call.reply,
                    is_repeat=not call.usage.amount_microcredits,
                )
                for account in lease.accounts.values()
                for call in account.calls.values()
            }
            self._hold(lease)
        if station.settings.lending is not None:
            station.after(0, partial(self._give_credit, station.settings.lending))

    def _give_credit(self, lending: Lending) -> None:
        """Let each partner owe us what our owner decided, where the ledger says otherwise."""
        me, ledger = self._station.me.enterprise, self._books.ledger
        limit = Microcredits(lending.credit_microcredits)
        for member in self._station.consortium.members:
            debtor = member.enterprise
            if debtor == me or ledger.position(me, debtor).limit_microcredits == limit:
                continue
            self._books.submit(
                SetLimit(debtor=debtor, limit_microcredits=limit), occasion=str(ledger.height)
            )

    def sign_lease(self, ask_id: int, peer: str, request: ProposeLease) -> None:
        """Countersign a proposed lease if its terms are ours and every promise still holds."""
        lease_id, terms = self.offering.parse(request)
        requester = self._station.consortium.member(terms.requester).settlement_key
        settlement = self._station.keys.settlement
        signed = LeaseSigned(
            agreement=countersign(signed_only_by(request.agreement, requester), settlement),
            commitment=countersign(signed_only_by(request.commitment, requester), settlement),
        )
        if lease_id not in self.leases:
            self.offering.verify(lease_id, terms)
            lease = HeldLease(
                lease_id=lease_id,
                terms=terms,
                agreement=signed.agreement,
                commitment=signed.commitment,
            )
            self.leases[lease_id] = lease
            self._calls[lease_id] = {}
            save_lease(self._station, "lent", lease)
            self._hold(lease)
            self.offering.has_signed(lease)
            self._station.note("lease.signed", lease=lease_id, requester=peer)
        self._station.answer(ask_id, signed)

    def _hold(self, lease: HeldLease) -> None:
        """Keep the promise from the lease's start to its end, and settle it afterwards."""
        now_ns = self._station.now_ns
        starts_in_ns = lease.terms.starts_ns - now_ns
        if starts_in_ns > 0:
            self._station.after(starts_in_ns, partial(self._reserve, lease))
        else:
            self._reserve(lease)
        ends_in_ns = max(0, lease.terms.ends_ns - now_ns)
        self._station.after(ends_in_ns, partial(self._unreserve, lease.lease_id))
        self._collector.watch(lease, self._drop)

    def _reserve(self, lease: HeldLease) -> None:
        """Reserve now; jobs of our own that wait may delay it by one of their lengths."""
        if lease.is_resolved or self._station.now_ns >= lease.terms.ends_ns:
            return
        verdict = self._dispatcher.reserve(reservation_of(lease.lease_id, lease.terms))
        if isinstance(verdict, NotAdmitted):
            self._dispatcher.make_room(lease.lease_id)
            retry_ns = self._station.settings.job_budget_ns
            self._station.after(retry_ns, partial(self._reserve, lease))
        else:
            self._dispatcher.stop_making_room(lease.lease_id)
            self._reserved[lease.lease_id] = None

    def _unreserve(self, lease_id: LeaseId) -> None:
        self._dispatcher.stop_making_room(lease_id)
        if lease_id in self._reserved:
            del self._reserved[lease_id]
            self._dispatcher.release_reservation(lease_id)

    def _active(self, lease_id: LeaseId, peer: str) -> HeldLease:
        lease = self.leases.get(lease_id)
        if lease is None:
            sentence = "No such lease is lent here; propose one."
            raise PeerError("market.lease.unknown", sentence)
        if peer != lease.terms.requester:
            sentence = f"The lease is lent to '{lease.terms.requester}', not to '{peer}'."
            raise PeerError("market.lease.not-yours", sentence)
        on_ledger = self._books.lease(lease)
        if on_ledger is None or on_ledger.status is not LeaseStatus.OPEN:
            sentence = "Our copy of the ledger does not show the lease as open; ask again."
            raise RefusedByPolicy("market.lease.not-open", sentence)
        if not lease.terms.starts_ns <= self._station.now_ns < lease.terms.ends_ns:
            sentence = f"The lease runs from {lease.terms.starts} to {lease.terms.ends}."
            raise RefusedByPolicy("market.lease.expired", sentence)
        return lease

    def call(self, ask_id: int, peer: str, request: Call) -> None:
        """Run a sealed call, or hand out the reply it already has."""
        lease = self._active(request.lease, peer)
        known = self._calls[lease.lease_id].get(request.invocation)
        if known is not None and known.session == request.session:
            self._repeat(ask_id, known)
            return
        self._check_repeat(lease, request.invocation, known)
        self._check_end(lease)
        session = self.admittance.find(request.lease, request.session)
        if not session.is_ready:
            raise PeerError("session.unfinished", "The handshake is not finished; send message 3.")
        if request.remaining_ns < lease.terms.budget_ns:
            sentence = "Less time remains than one job of the lease may take; nothing was run."
            raise RefusedByPolicy("market.call.too-late", sentence)
        self._check_window(lease)
        self._execute(ask_id, lease, session, request)

    def _check_repeat(
        self, lease: HeldLease, invocation: InvocationId, known: _CallState | None
    ) -> None:
        """Run an invocation again once, for a session that was lost; never one that is paid."""
        if known is not None and not known.reply:
            sentence = "The invocation is being run in another session; wait for its end."
            raise RefusedByPolicy("market.call.in-flight", sentence)
        if known is not None and known.is_repeat:
            sentence = "The invocation was run twice already; ask under a new one."
            raise RefusedByPolicy("market.call.repeated", sentence)
        if known is None and invocation in lease.paid:
            sentence = (
                "You signed for this invocation: you have its result, or lost the keys it is sealed"
                " for. It is not run again; ask under a new one."
            )
            raise RefusedByPolicy("market.call.paid", sentence)

    def _check_end(self, lease: HeldLease) -> None:
        """Refuse what would end after the lease, or cost more than the ledger reserved."""
        release_ns = self._dispatcher.earliest_release_ns(lease.lease_id)
        if release_ns + lease.terms.deadline_ns > lease.terms.ends_ns:
            sentence = "A job released next could end after the lease."
            raise RefusedByPolicy("market.lease.ending", sentence)
        signed = sum(each.signed.total_microcredits for each in lease.accounts.values())
        calls = lease.open_calls + self._in_flight(lease) + 1
        if signed + calls * lease.terms.call_microcredits > lease.told.cost_max_microcredits:
            sentence = "The lease holds no more calls; the ledger reserved no more."
            raise RefusedByPolicy("market.lease.spent", sentence)

    def _in_flight(self, lease: HeldLease) -> int:
        return sum(not state.reply for state in self._calls[lease.lease_id].values())

    def _repeat(self, ask_id: int, known: _CallState) -> None:
        if known.reply:
            self._station.answer(ask_id, CallDone(record=known.reply))
        elif len(known.ask_ids) < REPEATS_MAX:
            known.ask_ids.append(ask_id)
        else:
            raise RefusedByPolicy("market.call.in-flight", "The call is being run; wait for it.")

    def _check_window(self, lease: HeldLease) -> None:
        """Stop at W: what is unsigned is what we may lose."""
        oldest_ns = lease.oldest_open_ns
        full = lease.open_calls + self._in_flight(lease) >= lease.terms.window_calls
        window_ns = lease.terms.window_ms * NS_PER_MS
        old = oldest_ns is not None and self._station.now_ns - oldest_ns >= window_ns
        if full or old:
            self._collector.collect(lease)
            sentence = "Too much of this lease is unsigned; answer our request for a voucher."
            raise RefusedByPolicy("meter.window.exceeded", sentence)

    def _execute(self, ask_id: int, lease: HeldLease, session: Session, request: Call) -> None:
        calls = self._calls[lease.lease_id]
        order = Execute(
            job=self._dispatcher.next_job_id(),
            session=request.session,
            invocation=request.invocation,
            record=request.record,
            billable=request.invocation not in lease.paid,
        )
        state = _CallState(
            session=request.session, ask_ids=[ask_id], is_repeat=request.invocation in lease.paid
        )
        on_answer = partial(self._on_executed, lease, request.invocation, session, state)
        not_released = None
        can_run = self._dispatcher.is_ready and lease.lease_id in self._reserved
        if can_run:
            not_released = self._dispatcher.accept_promised(
                order,
                reservation_key=lease.lease_id,
                budget_ns=lease.terms.budget_ns,
                on_answer=on_answer,
            )
        if not can_run or isinstance(not_released, NotReleased):
            self._refuse_inside_lease(ask_id, lease, request.invocation, not_released)
            return
        calls[request.invocation] = state

    def _refuse_inside_lease(
        self,
        ask_id: int,
        lease: HeldLease,
        invocation: InvocationId,
        reason: NotReleased | None,
    ) -> None:
        """Refuse what a lease promised; too fast is the requester's fault, the rest is ours."""
        absent = "market.lease.not-reserved" if self._dispatcher.is_ready else "node.runner.absent"
        code = reason.code if reason else absent
        sentence = reason.sentence if reason else "What we promised is not there yet; ask again."
        breach = None
        if reason is None:
            record = Breach(lease=lease.lease_id, invocation=invocation, code=code)
            breach = sign_record(record, self._station.keys.node)
        self._station.answer(ask_id, Refused(code=code, sentence=sentence, breach=breach))

    def _on_executed(
        self,
        lease: HeldLease,
        invocation: InvocationId,
        session: Session,
        state: _CallState,
        answer: RunnerAnswer,
    ) -> None:
        if not isinstance(answer, Executed):
            calls = self._calls.get(lease.lease_id, {})
            if calls.get(invocation) is state:
                del calls[invocation]
            for ask_id in state.ask_ids:
                refuse(self._station, ask_id, answer)
            return
        usage = parse_canonical(answer.usage, UsageRecord)
        self.served_count += 1
        state.reply = answer.reply
        self.admittance.archive(session)
        self._keep(lease, usage, answer, state.session)
        for ask_id in state.ask_ids:
            self._station.answer(ask_id, CallDone(record=answer.reply))
        state.ask_ids = []
        if lease.open_calls >= lease.terms.window_calls // 2:
            self._collector.collect(lease)

    def _keep(self, lease: HeldLease, usage: UsageRecord, answer: Executed, session: int) -> None:
        """Record, log entry and (in the row) the reply to deliver: one transaction."""
        account = lease.accounts[usage.meter]
        account.calls[usage.seq] = MeteredCall(
            raw=answer.usage,
            usage=usage,
            session=session,
            reply=answer.reply,
            at_ns=self._station.now_ns,
        )
        lease.charge(usage)
        key = record_row_key(lease.lease_id, usage.meter, usage.seq)
        row = RecordRow(usage=answer.usage, session=session, reply=answer.reply)
        self._station.write(RECORD, key, msgspec.msgpack.encode(row))
        self._logbook.append("record", answer.usage, RECORD, key)
        self._collector.expect(lease)

    def _drop_replies(self, lease: HeldLease, covered: tuple[MeteredCall, ...]) -> None:
        """Let go of replies the requester signed for: it has them."""
        calls = self._calls.get(lease.lease_id, {})
        for call in covered:
            calls.pop(call.usage.invocation, None)

    def wind_up(self) -> bool:
        """Prepare to lose the runner on purpose; tell whether it has nothing left to sign."""
        signed = [self._collector.wind_up(lease) for lease in self.leases.values()]
        return all(signed) and not any(map(self._in_flight, self.leases.values()))

    def runner_lost(self) -> None:
        """Forget every session; their requesters open new ones when told."""
        self.admittance.forget_all()

    def ledger_moved(self) -> None:
        """Let go of leases that the ledger resolved."""
        for lease in tuple(self.leases.values()):
            on_ledger = self._books.lease(lease)
            if on_ledger is not None and self._books.is_over(lease):
                self._drop(lease)
                unpaid = lease.metered_microcredits - on_ledger.posted_microcredits
                if unpaid > 0:
                    self._station.note("lease.underpaid", lease=lease.lease_id, unpaid=unpaid)

    def _drop(self, lease: HeldLease) -> None:
        lease.is_resolved = True
        save_lease(self._station, "lent", lease)
        self._unreserve(lease.lease_id)
        del self.leases[lease.lease_id]
        del self._calls[lease.lease_id]
        self._station.note("lease.resolved", lease=lease.lease_id, role="provider")
