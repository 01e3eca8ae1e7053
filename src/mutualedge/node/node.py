"""The node: every event of one enterprise comes in here, every effect goes out from here."""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from mutualedge.consortium.rows import LEDGER_BUCKET
from mutualedge.errors import MutualEdgeError, PeerError
from mutualedge.identity import Consortium
from mutualedge.ledger import Ledger
from mutualedge.model import NS_PER_MS, EnterpriseId, LeaseId, format_instant
from mutualedge.node.books import Books
from mutualedge.node.borrower import Borrower
from mutualedge.node.dispatcher import Dispatcher
from mutualedge.node.intake import Intake
from mutualedge.node.logbook import Logbook
from mutualedge.node.payer import LateReplies, Payer
from mutualedge.node.provider import Provider
from mutualedge.node.requester import Requester
from mutualedge.node.station import NodeKeys, NodeSettings, Station
from mutualedge.node.views import (
    CreditView,
    LeaseView,
    NodeSnapshot,
    QueueDepths,
    borrowed_view,
    credit_view,
    lent_view,
)
from mutualedge.plan.admission import Running
from mutualedge.protocol import (
    Accepted,
    AddCheckpoint,
    Answered,
    Asked,
    AskOffer,
    AskStatement,
    AskVoucher,
    Call,
    Effects,
    Event,
    FinishSession,
    LateReply,
    OpenSession,
    ProposeLease,
    ProposeTrust,
    Reading,
    Refused,
    Restart,
    RunnerAnswered,
    RunnerLost,
    RunnerStarted,
    StoreView,
    TimerFired,
    ToldToEnd,
    Unanswered,
)
from mutualedge.signing import Entropy

ENDING = Refused(code="node.ending", sentence="The node is about to end; ask again in a minute.")
"""To work that would only keep its runner from signing what it did before."""


class Node:
    """Pure state machine of a node process: ``handle`` is the only way in."""

    def __init__(
        self,
        *,
        enterprise: EnterpriseId,
        consortium: Consortium,
        settings: NodeSettings,
        keys: NodeKeys,
        entropy: Entropy,
        store: StoreView,
        now_ns: int,
    ) -> None:
        """Restore the node from its rows; what it must do first it does at the first event.

        Args:
            enterprise: Whose node this is.
            consortium: The founding trust file; the ledger's rows know every later version.
            settings: What its owner decided.
            keys: The private halves of its card.
            entropy: Seeded anew at each start.
            store: Its rows.
            now_ns: Nanoseconds since 1970.

        Raises:
            PeerError: No version of the trust file that the rows know has this enterprise.
            CorruptState: Rows contradict each other.
        """
        ledger = Ledger(consortium, store.scan(LEDGER_BUCKET))
        current = ledger.consortium
        if not current.has(enterprise):
            settings = replace(settings, lending=None, borrowing=None)
        station = Station(
            me=current.card(enterprise),
            consortium=current,
            settings=settings,
            keys=keys,
            entropy=entropy,
        )
        station.begin(now_ns)
        self._station = station
        self._restart_by_ns: int | None = None
        self._is_ending = False
        self._dispatcher = Dispatcher(station)
        self._logbook = Logbook(station, store)
        self._books = Books(station, store, ledger, self._ledger_moved)
        self._provider = Provider(station, self._dispatcher, self._logbook, self._books, store)
        self._payer = Payer(station, self._logbook, self._books)
        self._borrower = Borrower(station, self._books, self._payer, store)
        self._requester = Requester(station, self._borrower)
        self._intake = Intake(station, self._dispatcher, self._requester, store)
        if not station.is_member:
            station.after(0, self._note_ended)
        sessions = self._borrower.sessions
        self._late_replies = LateReplies(
            is_awaited=sessions.awaits, can_open=sessions.can_open, take=self._take_late
        )

    def _note_ended(self) -> None:
        self._station.note("membership.ended", version=_version(self._station.consortium))

    @property
    def wake_ns(self) -> int:
        """When ``TimerFired`` is due next."""
        return self._station.wake_ns

    @property
    def consortium(self) -> Consortium:
        """The version of the trust file that this life works with."""
        return self._station.consortium

    def handle(self, event: Event, now_ns: int) -> Effects:
        """Return what to do about an event; writes are durable before outputs leave."""
        self._station.begin(now_ns)
        self._take(event)
        if self._is_ending:
            self._wind_up("told to end")
        elif (adopted := self._books.ledger.consortium) is not self._station.consortium:
            self._wind_up(f"trust file version {_version(adopted)}")
        return self._station.effects

    def _wind_up(self, reason: str) -> None:
        """Start again or end, once our runner signed what it metered.

        Its meter key ends with it, and a partner that starts again too has forgotten what it
        received; so both wait for that, but no longer than for any answer.
        """
        station = self._station
        if self._restart_by_ns is None:
            timeout_ns = station.settings.request_timeout_ms * NS_PER_MS
            self._restart_by_ns = station.now_ns + timeout_ns
            station.after(timeout_ns, lambda: None)
        if self._provider.wind_up() or station.now_ns >= self._restart_by_ns:
            station.effects.outputs.append(Restart(reason=reason))

    def _take(self, event: Event) -> None:
        station = self._station
        match event:
            case Asked():
                self._asked(event)
            case Answered() | Unanswered():
                self._guarded(lambda: station.settle(event))
            case RunnerStarted(timing=timing, life=life):
                self._dispatcher.runner_started(timing, life)
            case RunnerAnswered(answer=answer):
                self._guarded(lambda: self._dispatcher.runner_answered(answer))
            case RunnerLost():
                self._provider.runner_lost()
                self._dispatcher.runner_lost()
            case ToldToEnd():
                self._is_ending = True
            case TimerFired():
                for action in station.due_timers():
                    self._guarded(action)
            case _:
                assert_never(event)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run a step that deals with what a peer said; its fault is noted, not ours."""
        try:
            step()
        except MutualEdgeError as error:
            self._station.note("peer.faulted", code=error.code, sentence=error.sentence)

    def _asked(self, asked: Asked) -> None:
        try:
            self._answer_asked(asked)
        except MutualEdgeError as error:
            refused = Refused(code=error.code, sentence=error.sentence)
            self._station.answer(asked.ask_id, refused)

    def _answer_asked(self, asked: Asked) -> None:
        ask_id = asked.ask_id
        match asked.request:
            case Call() | Reading() if self._is_ending:
                self._station.answer(ask_id, ENDING)
            case Call() as request:
                self._provider.call(ask_id, asked.peer, request)
            case Reading() as request:
                self._intake.take(ask_id, request)
            case AskVoucher() as request:
                self._payer.sign_voucher(ask_id, request, self._late_replies)
            case AddCheckpoint() as request:
                self._logbook.cosign(ask_id, request)
            case OpenSession() as request:
                self._provider.admittance.open_session(ask_id, asked.peer, request)
            case FinishSession() as request:
                self._provider.admittance.finish_session(ask_id, asked.peer, request)
            case AskOffer() as request:
                self._provider.offering.make_offer(ask_id, request)
            case ProposeLease() as request:
                self._provider.sign_lease(ask_id, asked.peer, request)
            case AskStatement() as request:
                self._payer.sign_statement(ask_id, request)
            case ProposeTrust(trust=trust):
                self._books.propose_trust(trust)
                self._station.answer(ask_id, Accepted())
            case other:
                sentence = f"A node does not answer '{type(other).__name__}'; ask the hub."
                raise PeerError("node.request.misplaced", sentence)

    def _take_late(self, lease_id: LeaseId, late: LateReply) -> None:
        result = self._requester.take_late(lease_id, late)
        if result is not None:
            self._intake.take_late(*result)

    def _ledger_moved(self) -> None:
        self._provider.ledger_moved()
        self._borrower.ledger_moved()

    def snapshot(self, now_ns: int | None = None) -> NodeSnapshot:
        """Return what an operator may see; nothing else of a node is shown anywhere.

        Args:
            now_ns: Against which leases have begun or ended; the last event's time if left out.
        """
        me, consortium = self._station.me.enterprise, self._station.consortium
        hub_since_ns = self._books.hub_since_ns
        return NodeSnapshot(
            enterprise=me,
            consortium=consortium.trust.consortium,
            trust_version=consortium.trust.version,
            assurance=consortium.trust.assurance,
            timing=self._dispatcher.timing,
            is_runner_ready=self._dispatcher.is_ready,
            readings=self._intake.snapshot(),
            served=self._provider.served_count,
            queues=self._queues(),
            leases=self._lease_views(self._station.now_ns if now_ns is None else now_ns),
            sessions=len(self._borrower.sessions.links),
            balance_microcredits=self._books.ledger.balance(me).balance_microcredits,
            credit=self._credit_views(),
            ledger_height=self._books.ledger.height,
            final_height=self._books.final_height,
            log_size=self._logbook.size,
            checkpoint=self._logbook.view(),
            hub_since=None if hub_since_ns is None else format_instant(hub_since_ns),
            is_member=self._station.is_member,
        )

    def _queues(self) -> QueueDepths:
        jobs, errands = self._dispatcher.waiting_counts
        return QueueDepths(
            jobs=jobs,
            errands=errands,
            outbox=self._books.outbox_size,
            asks=self._station.waiting_count,
        )

    def _lease_views(self, now_ns: int) -> tuple[LeaseView, ...]:
        borrower, books = self._borrower, self._books
        links = borrower.sessions.links
        lent = (
            lent_view(each, books.lease(each), now_ns) for each in self._provider.leases.values()
        )
        borrowed = (
            borrowed_view(each, books.lease(each), now_ns, is_connected=each.lease_id in links)
            for each in borrower.leases.values()
        )
        return (*lent, *borrowed)

    def _credit_views(self) -> tuple[CreditView, ...]:
        """Return both directions of credit with each partner: what we give, then what we get."""
        me, position = self._station.me.enterprise, self._books.ledger.position
        partners = [
            member.enterprise
            for member in self._station.consortium.members
            if member.enterprise != me
        ]
        pairs = [pair for partner in partners for pair in ((me, partner), (partner, me))]
        return tuple(credit_view(*pair, position(*pair)) for pair in pairs)

    @property
    def running(self) -> Running | None:
        """The job the runner works on, with the deadline it was admitted for."""
        return self._dispatcher.running

    def validate(self) -> None:
        """Assert every invariant of every part."""
        self._dispatcher.validate()
        self._logbook.validate()
        self._books.validate()


def _version(consortium: Consortium) -> int:
    return consortium.trust.version
