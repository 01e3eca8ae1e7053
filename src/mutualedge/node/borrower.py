"""Acquiring what we borrow: offer, agreement, ledger; renewed before it ends."""

from collections.abc import Iterator
from functools import partial

from mutualedge.errors import MutualEdgeError, PeerError, RefusedByPolicy
from mutualedge.ledger import LeaseStatus, OpenLease
from mutualedge.market import (
    Agreement,
    Offer,
    commitment_of,
    verify_agreement,
    verify_commitment,
)
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
from mutualedge.node.lease_rows import restore_leases, save_lease
from mutualedge.node.leases import BORROWED, HeldLease
from mutualedge.node.links import Link
from mutualedge.node.payer import Payer
from mutualedge.node.sessions import Sessions, expect_reply
from mutualedge.node.station import Borrowing, OnReply, Station
from mutualedge.plan.admission import LeaseSlots
from mutualedge.protocol import (
    AskOffer,
    LeaseSigned,
    OfferMade,
    ProposeLease,
    Reply,
    StoreView,
    Unanswered,
)
from mutualedge.signing import sign_record, signed_only_by, verify_record

OFFER_DURATION_MAX_NS = 60_000 * NS_PER_MS
"""No budget, period or deadline of a job is longer than a minute."""

DOUBLINGS_MAX = 10
"""Of the wait for an offer: a thousandfold is beyond any timeout."""

OPENING_GRACES = 2
"""Settlement graces within which the ledger must open what was agreed; then it is void."""

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
        self.slots: dict[LeaseId, LeaseSlots] = {}
        self._opening: dict[LeaseId, InvocationId] = {}
        self._acquiring: dict[EnterpriseId, None] = {}
        self._unheard: dict[EnterpriseId, int] = {}
        self.sessions = Sessions(station, self.leases)
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
        for lease_id, link in self.sessions.links.items():
            lease = self.leases[lease_id]
            if lease.terms.starts_ns <= self._station.now_ns < lease.terms.ends_ns:
                yield lease, link

    def _tend(self, borrowing: Borrowing) -> None:
        for provider in borrowing.providers or self._station.partners:
            if self._can_agree(provider) and not (
                provider in self._acquiring
                or self._is_covered(provider, borrowing)
                or self._is_settling(provider)
            ):
                self._acquire(provider, borrowing)
        for lease in self.leases.values():
            if self._is_usable(lease):
                self.sessions.open(lease)
        delay_ns = self._station.settings.follow_every_ms * NS_PER_MS
        self._station.after(delay_ns, partial(self._tend, borrowing))

    def _can_agree(self, provider: EnterpriseId) -> bool:
        """Tell whether it is a member, and the hub there to open in time what is agreed."""
        return self._station.consortium.has(provider) and not self._books.is_hub_silent

    def _is_covered(self, provider: EnterpriseId, borrowing: Borrowing) -> bool:
        """Tell whether we hold a lease of this provider that lasts long enough."""
        until_ns = self._station.now_ns + borrowing.renew_before_ms * NS_PER_MS
        return any(
            lease.terms.provider == provider and lease.terms.ends_ns > until_ns
            for lease in self.leases.values()
        )

    def _is_settling(self, provider: EnterpriseId) -> bool:
        """Tell whether the ledger would refuse another lease: one of ours, either way, is unsigned.

        The provider would reserve its processor for nothing, and have no room for the next.
        """
        me, now_ns = self._station.me.enterprise, self._station.now_ns
        return self._books.ledger.has_older_unsigned(me, provider, now_ns)

    def _is_usable(self, lease: HeldLease) -> bool:
        on_ledger = self._books.lease(lease)
        return (
            on_ledger is not None
            and on_ledger.status is LeaseStatus.OPEN
            and lease.terms.starts_ns <= self._station.now_ns < lease.terms.ends_ns
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
        made = expect_reply(reply, OfferMade)
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
        ends_ns = starts_ns + borrowing.lease_ms * NS_PER_MS
        opening_ns = OPENING_GRACES * settings.settle_grace_ms * NS_PER_MS
        return Agreement(
            requester=self._station.me.enterprise,
            provider=offer.provider,
            node=offer.node,
            function=offer.function,
            budget_ns=offer.budget_ns,
            period_ns=offer.period_ns,
            deadline_ns=offer.deadline_ns,
            opens_by=format_instant(min(ends_ns, now_ns + opening_ns)),
            starts=format_instant(starts_ns),
            ends=format_instant(ends_ns),
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
        signed = expect_reply(reply, LeaseSigned)
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
                    self._pause(lease.terms.provider)
                    self._station.note("lease.not_opened", code=outcome.code)

    def _pause(self, provider: EnterpriseId) -> None:
        """Agree on nothing for a while: the provider waits for what the ledger refused."""
        self._acquiring[provider] = None
        grace_ns = self._station.settings.settle_grace_ms * NS_PER_MS
        self._station.after(grace_ns, partial(self._acquiring.pop, provider, None))

    def _drop(self, lease: HeldLease) -> None:
        lease.is_resolved = True
        save_lease(self._station, BORROWED, lease)
        del self.leases[lease.lease_id]
        del self.slots[lease.lease_id]
        del self._opening[lease.lease_id]
        self.sessions.forget(lease.lease_id)
        self._station.note("lease.resolved", lease=lease.lease_id, role="requester")
