"""What we lend, and which proposals we sign: those whose every promise we can keep."""

from typing import NamedTuple

from mutualedge.errors import PeerError, RefusedByPolicy
from mutualedge.ledger import DISPUTE_WINDOW_MS_MAX
from mutualedge.market import Agreement, Commitment, Offer, commitment_of
from mutualedge.model import (
    NS_PER_MS,
    NS_PER_S,
    EnterpriseId,
    LeaseId,
    Microcredits,
    format_instant,
)
from mutualedge.node.books import Books
from mutualedge.node.leases import HeldLease
from mutualedge.node.station import Lending, Station
from mutualedge.plan.admission import NotAdmitted, Reservation, check_reservation
from mutualedge.protocol import AskOffer, OfferMade, ProposeLease
from mutualedge.signing import parse_canonical, sign_record, verify_record

OFFER_LIFE_NS = 60 * NS_PER_S
"""An offer binds nobody; after a minute it says nothing about capacity any more."""

STARTS_AHEAD_MAX_NS = 24 * 3600 * NS_PER_S
"""A lease may be agreed a day ahead; longer would hoard places that nobody pays for."""

GRACES_PER_DISPUTE = 4
"""A claim is sent one grace after the end; it needs several to reach a ledger that was away."""

OPENING_GRACES_MAX = 3
"""A requester asks for two settlement graces to open a lease in; its clock may differ by one."""

LAPSE_DOUBLINGS_MAX = 8
"""Of the grace that who opened nothing waits for the next lease: four hours at the most."""

LENT_MAX = 32
"""Leases lent at once; each is a reservation of the processor."""


class _Signed(NamedTuple):
    """The last lease we signed for a requester, and until when that is the last one, unopened."""

    lease_id: LeaseId
    until_ns: int
    lapses: int


class Offering:
    """Judges proposals by what our owner lends and by what is promised already."""

    def __init__(self, station: Station, books: Books, leases: dict[LeaseId, HeldLease]) -> None:
        """Look at the leases that the provider holds."""
        self._station = station
        self._books = books
        self._leases = leases
        self._signed: dict[EnterpriseId, _Signed] = {}
        for lease in leases.values():
            self.has_signed(lease)

    def make_offer(self, ask_id: int, request: AskOffer) -> None:
        """Say what we would lend for this function."""
        lending = self._lending()
        if request.function != self._station.settings.function:
            sentence = "This node has not loaded that function; ask for one it offers."
            raise RefusedByPolicy("market.offer.function", sentence)
        me, now_ns = self._station.me, self._station.now_ns
        offer = Offer(
            provider=me.enterprise,
            node=me.node,
            function=request.function,
            budget_ns=lending.budget_ns,
            period_ns=lending.period_ns,
            deadline_ns=lending.deadline_ns,
            price_microcredits=Microcredits(lending.price_microcredits),
            assurance=self._station.consortium.trust.assurance,
            expires=format_instant(now_ns + OFFER_LIFE_NS),
        )
        envelope = sign_record(offer, self._station.keys.node)
        self._station.answer(ask_id, OfferMade(offer=envelope))

    def _lending(self) -> Lending:
        if self._station.settings.lending is None:
            sentence = "This node lends nothing; its owner can change that in its file."
            raise RefusedByPolicy("market.offer.none", sentence)
        return self._station.settings.lending

    def parse(self, request: ProposeLease) -> tuple[LeaseId, Agreement]:
        """Return what the requester signed, if the ledger would be told the same.

        Raises:
            PeerError: It is not.
        """
        claimed = parse_canonical(request.agreement.payload, Agreement)
        key = self._station.consortium.member(claimed.requester).settlement_key
        terms = verify_record(request.agreement, Agreement, key)
        lease_id = LeaseId(request.agreement.payload_digest)
        if verify_record(request.commitment, Commitment, key) != commitment_of(lease_id, terms):
            sentence = "The proposal's commitment is not the one its agreement comes to."
            raise PeerError("market.proposal.commitment", sentence)
        return lease_id, terms

    def verify(self, lease_id: LeaseId, terms: Agreement) -> None:
        """Return if the terms are ours, and a lease under them breaks no promise.

        Raises:
            PeerError: They name another node or function.
            RefusedByPolicy: They ask for more than we lend, or the ledger would not open it.
        """
        self._verify_terms(terms)
        self._verify_window(terms)
        self._verify_settlement(terms)
        self._verify_openable(terms)
        self._verify_reliable(terms.requester)
        self._verify_capacity(lease_id, terms)

    def _verify_terms(self, terms: Agreement) -> None:
        lending, me, settings = self._lending(), self._station.me, self._station.settings
        offered = (me.enterprise, me.node, settings.function)
        if (terms.provider, terms.node, terms.function) != offered:
            sentence = "The proposal names another provider, node or function than this one."
            raise PeerError("market.proposal.misplaced", sentence)
        too_much = (
            terms.budget_ns > lending.budget_ns
            or terms.period_ns < lending.period_ns
            or terms.deadline_ns < lending.deadline_ns
        )
        if too_much or terms.price_microcredits < lending.price_microcredits:
            sentence = "The proposal asks for more, or pays less, than our offer says."
            raise RefusedByPolicy("market.proposal.terms", sentence)
        if terms.assurance != self._station.consortium.trust.assurance:
            sentence = "The proposal asks for an assurance level this consortium does not have."
            raise RefusedByPolicy("market.proposal.assurance", sentence)

    def _verify_window(self, terms: Agreement) -> None:
        now_ns = self._station.now_ns
        opening_ns = OPENING_GRACES_MAX * self._station.settings.settle_grace_ms * NS_PER_MS
        is_timely = now_ns < terms.opens_by_ns <= now_ns + opening_ns
        is_ahead = terms.starts_ns > now_ns + STARTS_AHEAD_MAX_NS
        if not is_timely or is_ahead or len(self._leases) >= LENT_MAX:
            sentence = (
                "The proposed lease is over, to be opened too late or to start more than a day "
                f"ahead, or {LENT_MAX} leases are lent already."
            )
            raise RefusedByPolicy("market.proposal.window", sentence)

    def _verify_settlement(self, terms: Agreement) -> None:
        """Refuse windows under which we could not collect or claim what we are owed."""
        settings = self._station.settings
        least_dispute_ms = max(
            settings.dispute_window_ms, GRACES_PER_DISPUTE * settings.settle_grace_ms
        )
        is_bad = not least_dispute_ms <= terms.dispute_window_ms <= DISPUTE_WINDOW_MS_MAX
        is_wide = terms.window_calls > settings.window_calls or terms.window_ms > settings.window_ms
        if is_bad or is_wide or 2 * terms.window_ms < settings.window_ms:
            sentence = "The proposal's voucher or dispute windows are not ones we can settle under."
            raise RefusedByPolicy("market.proposal.settlement", sentence)

    def _verify_openable(self, terms: Agreement) -> None:
        """Refuse to hold a place for a lease that the ledger would not open."""
        if self._books.is_hub_silent:
            sentence = "The hub is away, so that no lease can be opened; ask again once it is back."
            raise RefusedByPolicy("market.proposal.hub-away", sentence)
        line = self._books.ledger.position(self._station.me.enterprise, terms.requester)
        if line.available_microcredits < terms.cost_max_microcredits:
            sentence = (
                f"The lease may cost {terms.cost_max_microcredits} microcredits; the ledger lets "
                f"{line.available_microcredits} more be reserved with us."
            )
            raise RefusedByPolicy("market.proposal.credit", sentence)
        me, now_ns = self._station.me.enterprise, self._station.now_ns
        if self._books.ledger.has_older_unsigned(me, terms.requester, now_ns):
            sentence = "A lease between us is over and not settled; settle it before the next one."
            raise RefusedByPolicy("market.proposal.unsettled", sentence)

    def _verify_reliable(self, requester: EnterpriseId) -> None:
        """Hold one place at a time for a lease that is not open yet."""
        last = self._unopened(requester)
        is_held = last is not None and last.lease_id in self._leases
        if last is not None and (is_held or self._station.now_ns < last.until_ns):
            sentence = "The last lease we signed for you was not opened; open it, or wait."
            raise RefusedByPolicy("market.proposal.unopened", sentence)

    def _unopened(self, requester: EnterpriseId) -> _Signed | None:
        """Return what we last signed for a requester, unless it was opened."""
        last = self._signed.get(requester)
        if last is None or self._books.ledger.lease(last.lease_id) is not None:
            return None
        return last

    def has_signed(self, lease: HeldLease) -> None:
        """Have the requester wait until this is opened; longer each time if it opens nothing."""
        requester, terms = lease.terms.requester, lease.terms
        last = self._unopened(requester)
        lapses = 0 if last is None else last.lapses + 1
        grace_ns = self._station.settings.settle_grace_ms * NS_PER_MS
        more_ns = grace_ns * ((1 << min(lapses, LAPSE_DOUBLINGS_MAX)) - 1)
        self._signed[requester] = _Signed(lease.lease_id, terms.opens_by_ns + more_ns, lapses)

    def _verify_capacity(self, lease_id: LeaseId, terms: Agreement) -> None:
        """Refuse what would break a promise at any moment of the proposed window."""
        beside = [
            reservation_of(lease.lease_id, lease.terms)
            for lease in self._leases.values()
            if lease.terms.starts_ns < terms.ends_ns and terms.starts_ns < lease.terms.ends_ns
        ]
        verdict = check_reservation(
            beside,
            reservation_of(lease_id, terms),
            best_effort_blocking_ns=self._station.settings.job_budget_ns - 1,
        )
        if isinstance(verdict, NotAdmitted):
            raise RefusedByPolicy(verdict.code, verdict.sentence)


def reservation_of(lease_id: LeaseId, terms: Agreement) -> Reservation:
    """Return what a lease reserves of the processor."""
    return Reservation(
        key=lease_id,
        budget_ns=terms.budget_ns,
        period_ns=terms.period_ns,
        deadline_ns=terms.deadline_ns,
    )
