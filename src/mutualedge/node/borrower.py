"""Acquiring what we borrow: offer, agreement, ledger, attested session; renewed before it ends."""

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import TypeVar

from mutualedge.attest import MeterAttestation, appraise
from mutualedge.errors import MutualEdgeError, PeerError, RefusedByPolicy
from mutualedge.ledger import LeaseStatus, OpenLease
from mutualedge.market import (
    Agreement,
    Offer,
    commitment_of,
    verify_agreement,
    verify_commitment,
)
from mutualedge.meter import CHAIN_START, METERS_MAX
from mutualedge.model import (
    NS_PER_MS,
    EnterpriseId,
    InvocationId,
    LeaseId,
    Milliseconds,
    format_instant,
    parse_instant,
)
from mutualedge.node.books import Books
from mutualedge.node.lease_rows import restore_leases, save_account, save_attestation, save_lease
from mutualedge.node.leases import BORROWED, HeldLease, MeterAccount
from mutualedge.node.links import Link
from mutualedge.node.payer import Payer
from mutualedge.node.station import Borrowing, OnReply, Station
from mutualedge.plan.admission import LeaseSlots
from mutualedge.protocol import (
    AskOffer,
    FinishSession,
    LeaseSigned,
    OfferMade,
    OpenSession,
    ProposeLease,
    Refused,
    Reply,
    RunnerHello,
    SessionGrant,
    SessionOffered,
    SessionOpening,
    SessionReady,
    StoreView,
    Unanswered,
    encode_sealed,
    parse_sealed,
)
from mutualedge.session import Initiator, handshake_prologue
from mutualedge.signing import key_id_of, sign_record, signed_only_by, verify_record

T = TypeVar("T")

REFUSAL_BACKOFF_NS = 600_000 * NS_PER_MS
"""A partner whose evidence was refused, or that forgot the lease, is asked again in ten minutes."""


OFFER_DURATION_MAX_NS = 60_000 * NS_PER_MS
"""No budget, period or deadline of a job is longer than a minute."""

ENDED_LINKS_MAX = 8
"""Ended sessions of a lease whose keys we keep: as many as a provider keeps open."""

WORDS_MAX = 1_000
"""Characters noted of a refusal, which may be the partner's own words; ours are shorter."""

DOUBLINGS_MAX = 10
"""Of the wait for an offer: a thousandfold is beyond any timeout."""

PROPOSALS_MAX = 5
"""Times the same proposal is sent before another lease is asked for."""


class Borrower:
    """Keeps one open lease and one warm session per partner, and the next one in time."""

    def __init__(self, station: Station, books: Books, payer: Payer, store: StoreView) -> None:
        """Restore the leases that are not resolved; sessions are opened anew."""
        self._station = station
        self._books = books
        self._payer = payer
        self.leases = payer.leases
        self.links: dict[LeaseId, Link] = {}
        self._ended: dict[LeaseId, deque[Link]] = {}
        self.slots: dict[LeaseId, LeaseSlots] = {}
        self._opening: dict[LeaseId, InvocationId] = {}
        self._acquiring: dict[EnterpriseId, None] = {}
        self._unheard: dict[EnterpriseId, int] = {}
        self._connecting: dict[LeaseId, None] = {}
        self._static_key = station.entropy.draw()
        self.leases.update(restore_leases(store, BORROWED))
        for lease in self.leases.values():
            self._adopt(lease)
        if station.settings.borrowing is not None:
            station.after(0, partial(self._tend, station.settings.borrowing))

    def _adopt(self, lease: HeldLease) -> None:
        terms = lease.terms
        self.leases[lease.lease_id] = lease
        self.slots[lease.lease_id] = LeaseSlots(
            budget_ns=terms.budget_ns,
            period_ns=terms.period_ns,
            deadline_ns=terms.deadline_ns,
            starts_ns=terms.starts_ns,
            ends_ns=terms.ends_ns,
            network_ns=max(1, terms.network_ms * NS_PER_MS),
        )
        self._opening[lease.lease_id] = self._books.submit(OpenLease(commitment=lease.commitment))
        self._payer.watch(lease)

    def ready(self) -> Iterator[tuple[HeldLease, Link]]:
        """Yield the leases that can take a call now, with their sessions, oldest first."""
        for lease_id, link in self.links.items():
            lease = self.leases[lease_id]
            if lease.terms.starts_ns <= self._station.now_ns < lease.terms.ends_ns:
                yield lease, link

    def _tend(self, borrowing: Borrowing) -> None:
        for provider in borrowing.providers or self._station.partners:
            if self._station.consortium.has(provider) and not (
                provider in self._acquiring
                or self._is_covered(provider, borrowing)
                or self._is_settling(provider)
            ):
                self._acquire(provider, borrowing)
        for lease in self.leases.values():
            if self._is_connectable(lease):
                self._connect(lease)
        delay_ns = self._station.settings.follow_every_ms * NS_PER_MS
        self._station.after(delay_ns, partial(self._tend, borrowing))

    def _is_covered(self, provider: EnterpriseId, borrowing: Borrowing) -> bool:
        """Tell whether we hold a lease of this provider that lasts long enough."""
        until_ns = self._station.now_ns + borrowing.renew_before_ms * NS_PER_MS
        return any(
            lease.terms.provider == provider and lease.terms.ends_ns > until_ns
            for lease in self.leases.values()
        )

    def _is_settling(self, provider: EnterpriseId) -> bool:
        """Tell whether the ledger would refuse another lease: one of ours is over and unsigned.

        The provider would reserve its processor for nothing, and have no room for the next.
        """
        over = (
            self._books.lease(lease)
            for lease in self.leases.values()
            if lease.terms.provider == provider and lease.terms.ends_ns <= self._station.now_ns
        )
        return any(on_ledger is not None and not on_ledger.is_resolved for on_ledger in over)

    def _is_connectable(self, lease: HeldLease) -> bool:
        on_ledger = self._books.lease(lease)
        return (
            on_ledger is not None
            and on_ledger.status is LeaseStatus.OPEN
            and lease.terms.starts_ns <= self._station.now_ns < lease.terms.ends_ns
            and lease.lease_id not in self.links
            and lease.lease_id not in self._connecting
        )

    def _acquire(self, provider: EnterpriseId, borrowing: Borrowing) -> None:
        self._acquiring[provider] = None
        request = AskOffer(function=self._station.settings.function)
        on_reply = partial(self._on_offer, provider, borrowing)
        guarded = partial(self._guarded, provider, on_reply)
        self._station.ask(provider, request, guarded, self._patience_ns(provider))

    def _patience_ns(self, provider: EnterpriseId) -> int:
        """Return how long an offer is waited for: twice as long after each that did not come.

        The first of a life is often lost, as those start again together that see one trust file
        change. Nothing is reserved by asking, so that it may be asked again soon.
        """
        settings, unheard = self._station.settings, self._unheard.get(provider, 0)
        patience_ms = settings.follow_every_ms << min(unheard, DOUBLINGS_MAX)
        return min(patience_ms, settings.request_timeout_ms) * NS_PER_MS

    def _guarded(
        self, provider: EnterpriseId, on_reply: OnReply, reply: Reply | Unanswered
    ) -> None:
        """Run a step of acquiring; whatever goes wrong, the provider may be asked again."""
        try:
            on_reply(reply)
        except MutualEdgeError as error:
            self._acquiring.pop(provider, None)
            self._station.note("lease.not_acquired", provider=provider, code=error.code)

    def _on_offer(
        self, provider: EnterpriseId, borrowing: Borrowing, reply: Reply | Unanswered
    ) -> None:
        if isinstance(reply, Unanswered):
            self._unheard[provider] = self._unheard.get(provider, 0) + 1
        else:
            self._unheard.pop(provider, None)
        made = _expect(reply, OfferMade)
        member = self._station.consortium.member(provider)
        offer = verify_record(made.offer, Offer, member.node_key)
        if (offer.provider, offer.node) != (provider, member.node):
            sentence = f"'{provider}' signed an offer in another's name."
            raise PeerError("market.offer.misplaced", sentence)
        self._verify_offer(offer, borrowing)
        try:
            terms = self._terms(offer, borrowing)
        except ValueError as error:
            sentence = f"No lease can be made of the offer of '{provider}': {error}."
            raise PeerError("market.offer.malformed", sentence) from error
        self._propose(provider, terms, PROPOSALS_MAX)

    def _propose(self, provider: EnterpriseId, terms: Agreement, tries: int) -> None:
        """Send a proposal; the same one again while it is not answered, so that it is one lease."""
        settlement = self._station.keys.settlement
        agreement = sign_record(terms, settlement)
        commitment = commitment_of(LeaseId(agreement.payload_digest), terms)
        request = ProposeLease(agreement=agreement, commitment=sign_record(commitment, settlement))
        on_reply = partial(self._on_signed, provider, terms, tries - 1)
        self._station.ask(provider, request, partial(self._guarded, provider, on_reply))

    def _verify_offer(self, offer: Offer, borrowing: Borrowing) -> None:
        """Refuse offers that are over, of another function, too dear, or larger than our jobs."""
        settings, now_ns = self._station.settings, self._station.now_ns
        if offer.function != settings.function or parse_instant(offer.expires) <= now_ns:
            sentence = f"'{offer.provider}' offers another function, or its offer is over."
            raise PeerError("market.offer.stale", sentence)
        if offer.price_microcredits > borrowing.price_max_microcredits:
            sentence = f"'{offer.provider}' asks more than our owner pays for a millisecond."
            raise RefusedByPolicy("market.offer.price", sentence)
        largest_ns = max(offer.budget_ns, offer.period_ns, offer.deadline_ns)
        if offer.budget_ns > settings.job_budget_ns or largest_ns > OFFER_DURATION_MAX_NS:
            sentence = f"'{offer.provider}' offers jobs of another size than ours."
            raise RefusedByPolicy("market.offer.size", sentence)
        if offer.period_ns < offer.budget_ns:
            sentence = f"'{offer.provider}' offers more than a whole processor."
            raise PeerError("market.offer.malformed", sentence)

    def _terms(self, offer: Offer, borrowing: Borrowing) -> Agreement:
        settings, now_ns = self._station.settings, self._station.now_ns
        ends = [
            lease.terms.ends_ns
            for lease in self.leases.values()
            if lease.terms.provider == offer.provider
        ]
        starts_ns = max([now_ns, *ends])
        return Agreement(
            requester=self._station.me.enterprise,
            provider=offer.provider,
            node=offer.node,
            function=offer.function,
            budget_ns=offer.budget_ns,
            period_ns=offer.period_ns,
            deadline_ns=offer.deadline_ns,
            starts=format_instant(starts_ns),
            ends=format_instant(starts_ns + borrowing.lease_ms * NS_PER_MS),
            price_microcredits=offer.price_microcredits,
            window_calls=settings.window_calls,
            window_ms=Milliseconds(settings.window_ms),
            dispute_window_ms=Milliseconds(settings.dispute_window_ms),
            network_ms=Milliseconds(settings.network_ms),
            assurance=self._station.consortium.trust.assurance,
            nonce=InvocationId(self._station.entropy.draw().hex()[:32]),
        )

    def _on_signed(
        self, provider: EnterpriseId, terms: Agreement, tries: int, reply: Reply | Unanswered
    ) -> None:
        if isinstance(reply, Unanswered) and tries > 0:
            self._propose(provider, terms, tries)
            return
        signed = _expect(reply, LeaseSigned)
        lease_id, agreed = verify_agreement(signed.agreement, self._station.consortium)
        committed = verify_commitment(signed.commitment, self._station.consortium)
        if agreed != terms or committed != commitment_of(lease_id, terms):
            sentence = f"'{provider}' signed other terms than were proposed."
            raise PeerError("market.agreement.differs", sentence)
        member = self._station.consortium.member(provider)
        keys = (self._station.me.settlement_key, member.settlement_key)
        lease = HeldLease(
            lease_id=lease_id,
            terms=agreed,
            agreement=signed_only_by(signed.agreement, *keys),
            commitment=signed_only_by(signed.commitment, *keys),
        )
        save_lease(self._station, BORROWED, lease)
        self._adopt(lease)
        self._acquiring.pop(provider, None)
        self._station.note("lease.agreed", lease=lease_id, provider=provider)

    def _connect(self, lease: HeldLease) -> None:
        nonce = self._station.entropy.draw()
        initiator = Initiator(
            prologue=handshake_prologue(
                assurance=lease.terms.assurance,
                lease=lease.lease_id,
                function=lease.terms.function,
                trust_digest=self._station.consortium.digest,
                nonce=nonce,
            ),
            static_private=self._static_key,
            ephemeral_private=self._station.entropy.draw(),
        )
        self._connecting[lease.lease_id] = None
        request = OpenSession(
            lease=lease.lease_id,
            trust_version=self._station.consortium.trust.version,
            nonce=nonce,
            message=initiator.write_message_1(b""),
        )
        on_reply = partial(self._on_offered, lease, initiator)
        self._station.ask(
            lease.terms.provider, request, partial(self._connection_step, lease, on_reply)
        )

    def _connection_step(
        self, lease: HeldLease, on_reply: OnReply, reply: Reply | Unanswered
    ) -> None:
        """Run a step of opening a session; a refusal is noted and tried again later."""
        try:
            on_reply(reply)
        except MutualEdgeError as error:
            self._station.note(
                "session.not_opened",
                lease=lease.lease_id,
                provider=lease.terms.provider,
                code=error.code,
                sentence=error.sentence[:WORDS_MAX],
            )
            release = partial(self._connecting.pop, lease.lease_id, None)
            self._station.after(self._backoff_ns(error), release)

    def _backoff_ns(self, error: MutualEdgeError) -> int:
        if error.code.startswith("attest.") or error.code == "market.lease.unknown":
            return REFUSAL_BACKOFF_NS
        return 0

    def _on_offered(
        self, lease: HeldLease, initiator: Initiator, reply: Reply | Unanswered
    ) -> None:
        """Appraise the evidence inside message 2; only then say anything secret."""
        offered = _expect(reply, SessionOffered)
        hello = parse_sealed(initiator.read_message_2(offered.message), RunnerHello)
        attestation = MeterAttestation(
            lease=lease.lease_id,
            meter_key=hello.meter_key,
            function=lease.terms.function,
            backend="sgx",
            handshake=initiator.evidence_hash,
            evidence=hello.evidence,
            collateral=offered.collateral,
            placement=offered.placement,
        )
        appraisal = appraise(
            attestation,
            self._station.consortium,
            lease.terms,
            lease.lease_id,
            self._station.now_ns,
        )
        self._station.note(
            "evidence.appraised", provider=lease.terms.provider, assurance=appraisal.assurance
        )
        account = self._open_account(lease, attestation)
        opening = self._opening_of(lease, account, initiator.evidence_hash)
        message = initiator.write_message_3(encode_sealed(opening))
        request = FinishSession(lease=lease.lease_id, session=offered.session, message=message)
        on_reply = partial(self._on_ready, lease, initiator, attestation)
        self._station.ask(
            lease.terms.provider, request, partial(self._connection_step, lease, on_reply)
        )

    def _opening_of(
        self, lease: HeldLease, account: MeterAccount, handshake: bytes
    ) -> SessionOpening:
        """Say that this handshake is ours, and that what its meter signs is owed, up to W."""
        settlement = self._station.keys.settlement
        grant = SessionGrant(lease=lease.lease_id, handshake=handshake)
        return SessionOpening(
            grant=sign_record(grant, settlement),
            voucher=CHAIN_START.voucher(lease.lease_id, account.meter_key, settlement),
        )

    def _open_account(self, lease: HeldLease, attestation: MeterAttestation) -> MeterAccount:
        """Accept a meter key whose evidence was appraised; known ones keep their account."""
        meter_key = attestation.meter_key
        meter = key_id_of(meter_key)
        account = lease.accounts.get(meter)
        if account is None and len(lease.accounts) >= METERS_MAX:
            sentence = f"The provider's runner started {METERS_MAX} times under this lease."
            raise PeerError("meter.accounts.full", sentence)
        if account is None:
            account = lease.accounts[meter] = MeterAccount(
                meter_key=meter_key,
                voucher=CHAIN_START.voucher(
                    lease.lease_id, meter_key, self._station.keys.settlement
                ),
            )
            save_attestation(self._station, attestation)
            save_account(self._station, lease, account)
        return account

    def _on_ready(
        self,
        lease: HeldLease,
        initiator: Initiator,
        attestation: MeterAttestation,
        reply: Reply | Unanswered,
    ) -> None:
        """Use the session; its evidence is kept now that records may name it."""
        ready = _expect(reply, SessionReady)
        keys = initiator.split()
        self._connecting.pop(lease.lease_id, None)
        if lease.lease_id not in self.leases:
            return
        save_attestation(self._station, attestation)
        meter = key_id_of(attestation.meter_key)
        self.links[lease.lease_id] = Link(session=ready.session, meter=meter, keys=keys)
        self._station.note("session.opened", lease=lease.lease_id, provider=lease.terms.provider)

    def awaits(self, lease_id: LeaseId, invocation: InvocationId) -> bool:
        """Tell whether we sent this invocation and could still open the reply we have not got."""
        return any(link.awaits(invocation) for link in self._openable(lease_id))

    def awaits_other(self, lease_id: LeaseId, invocation: InvocationId, request: bytes) -> bool:
        """Tell whether this invocation awaits a reply to another request than this."""
        links = self._openable(lease_id)
        return any(link.awaits_other(invocation, request) for link in links)

    def link_of(self, lease_id: LeaseId, session: int) -> Link | None:
        """Return a session of this lease, also one that ended, if we still have its keys."""
        links = self._openable(lease_id)
        return next((link for link in links if link.session == session), None)

    def _openable(self, lease_id: LeaseId) -> Iterator[Link]:
        if lease_id in self.links:
            yield self.links[lease_id]
        yield from self._ended.get(lease_id, ())

    def drop_link(self, lease_id: LeaseId, link: Link) -> None:
        """Stop using a session its runner forgot; a new one is opened at the next tending.

        Replies that its runner sealed before may still come with a request for a voucher.
        """
        if self.links.get(lease_id) is link:
            del self.links[lease_id]
            ended = self._ended.setdefault(lease_id, deque(maxlen=ENDED_LINKS_MAX))
            ended.append(link)

    def ledger_moved(self) -> None:
        """Let go of what the ledger resolved or refused; check what is claimed from us."""
        for lease in tuple(self.leases.values()):
            on_ledger = self._books.lease(lease)
            if on_ledger is not None:
                self._payer.check_claim(lease)
            outcome = self._books.outcome(self._opening[lease.lease_id])
            refused = on_ledger is None and outcome is not None and not outcome.is_done
            if refused or self._books.is_over(lease):
                self._drop(lease)
                if refused and outcome is not None:
                    self._station.note("lease.not_opened", code=outcome.code)

    def _drop(self, lease: HeldLease) -> None:
        lease.is_resolved = True
        save_lease(self._station, BORROWED, lease)
        del self.leases[lease.lease_id]
        del self.slots[lease.lease_id]
        del self._opening[lease.lease_id]
        self.links.pop(lease.lease_id, None)
        self._ended.pop(lease.lease_id, None)
        self._connecting.pop(lease.lease_id, None)
        self._station.note("lease.resolved", lease=lease.lease_id, role="requester")


def _expect(reply: Reply | Unanswered, kind: type[T]) -> T:
    """Return the reply if it is of the kind that this step needs.

    Raises:
        PeerError: The peer refused, did not answer, or answered something else.
    """
    if isinstance(reply, kind):
        return reply
    if isinstance(reply, Refused | Unanswered):
        raise PeerError(reply.code, reply.sentence)
    sentence = f"Expected {kind.__name__}, got {type(reply).__name__}."
    raise PeerError("protocol.reply.misplaced", sentence)
