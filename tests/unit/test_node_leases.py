"""Leases from offer to resolution, as the borrowing node acquires, renews and lets go of them."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from mutualedge.ledger import LeaseStatus, SetLimit
from mutualedge.market import Agreement, Offer
from mutualedge.model import NS_PER_MS, Digest, Instant, Microcredits, NodeId, format_instant
from mutualedge.node.leases import LeaseRow
from mutualedge.protocol import (
    Accepted,
    AskOffer,
    AskStatement,
    LeaseSigned,
    OfferMade,
    OpenSession,
    ProposeLease,
    Reply,
    SubmitCommands,
)
from mutualedge.signing import SigningKey, parse_canonical, sign_record
from tests.simulation.founding import keys_of
from tests.unit.node_world import (
    CANDY,
    DISPUTE_MS,
    FORGE,
    GRACE_MS,
    LEASE_MS,
    World,
    joined_world,
    node_settings,
    open_world,
)


def offered_world(change: Callable[[Offer], Offer], key: SigningKey) -> World:
    """Return a world in which forge's offers are these, after candy saw them."""
    world = joined_world()

    def bend(reply: Reply) -> Reply:
        if not isinstance(reply, OfferMade):
            return reply
        offer = change(parse_canonical(reply.offer.payload, Offer))
        return OfferMade(offer=sign_record(offer, key))

    world.bend = bend
    world.run(500)
    return world


def refused_codes(world: World) -> set[object]:
    assert world.candy.asked(ProposeLease) == []
    assert world.candy.node.snapshot().leases_borrowed == 0
    return {note["code"] for note in world.candy.noted("lease.not_acquired")}


def test_a_lost_question_for_an_offer_is_soon_asked_again() -> None:
    """A partner that starts again with us hears the first one not; one that is gone costs less."""
    world = joined_world(replace(node_settings(CANDY), request_timeout_ms=5_000))
    del world.sides[FORGE]
    world.run(4_500)
    assert patiences_ms(world) == [1_000, 2_000, 4_000, 5_000, 5_000]
    world.sides[FORGE] = world.forge
    world.run(1_000)
    assert world.candy.node.snapshot().leases_borrowed == 1
    world.run(LEASE_MS)
    assert patiences_ms(world)[-1] == 1_000, "it answered the one before"


def test_a_restarted_node_is_patient_no_longer_than_it_must_be() -> None:
    """Where everything is quick, no request waits for longer than its timeout."""
    world = joined_world(replace(node_settings(CANDY), request_timeout_ms=500))
    del world.sides[FORGE]
    world.run(1_500)
    assert patiences_ms(world) == [500, 500]


def patiences_ms(world: World) -> list[int]:
    """Return how long candy waits for each offer it asked for, in turn."""
    asked = [each for each in world.candy.sent if isinstance(each.request, AskOffer)]
    return [each.timeout_ns // NS_PER_MS for each in asked]


def test_an_honest_offer_becomes_a_lease() -> None:
    """Offer, agreement, ledger and session follow one another without help."""
    world = open_world()
    lease = world.candy.lease
    assert (lease.terms.requester, lease.terms.provider) == (CANDY, FORGE)
    on_ledger = world.hub.hub.ledger.lease(lease.lease_id)
    assert on_ledger is not None
    assert on_ledger.status is LeaseStatus.OPEN
    assert lease.agreement == world.forge.lease.agreement


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"provider": CANDY}, "market.offer.misplaced"),
        ({"node": NodeId("forge-2")}, "market.offer.misplaced"),
        ({"price_microcredits": Microcredits(101)}, "market.offer.price"),
        ({"function": Digest("ab" * 32)}, "market.offer.stale"),
        ({"expires": Instant("2020-01-01T00:00:00.000Z")}, "market.offer.stale"),
        ({"budget_ns": 6 * NS_PER_MS}, "market.offer.size"),
        ({"period_ns": 61_000 * NS_PER_MS}, "market.offer.size"),
        ({"period_ns": 4 * NS_PER_MS}, "market.offer.malformed"),
        ({"period_ns": 1, "budget_ns": 1}, "market.offer.malformed"),
    ],
    ids=str,
)
def test_an_offer_we_cannot_use_is_not_taken(changes: dict[str, object], code: str) -> None:
    """Another's name, a price over our limit, another size or time: nothing is proposed."""
    world = offered_world(
        lambda offer: msgspec.structs.replace(offer, **changes), keys_of(FORGE).node
    )
    assert refused_codes(world) == {code}


def test_an_offer_of_another_signer_is_not_taken() -> None:
    """Only the partner's node key makes offers in its name."""
    world = offered_world(lambda offer: offer, keys_of(CANDY).node)
    assert refused_codes(world) == {"signing.envelope.unsigned"}


def test_an_answer_of_the_wrong_kind_is_not_an_offer() -> None:
    """The partner is asked again later; nothing is proposed."""
    world = joined_world()
    world.bend = lambda reply: Accepted() if isinstance(reply, OfferMade) else reply
    world.run(500)
    assert refused_codes(world) == {"protocol.reply.misplaced"}


def test_a_lost_proposal_is_sent_again_as_the_same_lease() -> None:
    """However often the answer is lost, provider and requester agree on one lease."""
    world = joined_world()
    world.holding = (ProposeLease,)
    world.run(100)
    for _ in range(3):
        world.time_out(*world.held.pop())
        world.settle()
    world.holding = ()
    world.deliver(*world.held.pop())
    world.run(3_000)
    proposals = world.candy.asked(ProposeLease)
    assert len(proposals) == 4
    assert len({request.agreement.payload_digest for request in proposals}) == 1
    assert world.candy.lease.lease_id == world.forge.lease.lease_id


def test_other_terms_than_proposed_are_not_accepted() -> None:
    """A provider that signs a dearer agreement holds nothing but its own signature."""
    world = joined_world()

    def bend(reply: Reply) -> Reply:
        if not isinstance(reply, LeaseSigned):
            return reply
        terms = parse_canonical(reply.agreement.payload, Agreement)
        dear = msgspec.structs.replace(terms, price_microcredits=Microcredits(101))
        dearer = sign_record(dear, keys_of(FORGE).settlement)
        return LeaseSigned(agreement=dearer, commitment=reply.commitment)

    world.bend = bend
    world.run(500)
    codes = {note["code"] for note in world.candy.noted("lease.not_acquired")}
    assert codes == {"signing.envelope.unsigned"}
    assert dict(world.candy.store.scan("borrowed")) == {}


def test_an_older_agreement_is_not_taken_for_a_new_one() -> None:
    """A provider that answers a proposal with a lease signed before gets no second one."""
    world = open_world()
    first = world.candy.lease
    old = LeaseSigned(agreement=first.agreement, commitment=first.commitment)
    world.bend = lambda reply: old if isinstance(reply, LeaseSigned) else reply
    world.run((first.terms.ends_ns - world.now_ns) / NS_PER_MS)
    codes = {note["code"] for note in world.candy.noted("lease.not_acquired")}
    assert codes == {"market.agreement.differs"}
    assert list(world.candy.node._borrower.leases) == [first.lease_id]


def test_an_agreement_is_a_row_before_it_goes_to_the_ledger() -> None:
    """After a crash right there the lease is found again and opened."""
    world = joined_world()
    world.holding = (OpenSession,)
    while not world.candy.node._borrower.leases:
        world.run(1)
    lease_id = world.lease_id
    world.candy.restart()
    world.holding = ()
    world.run(3_000)
    assert world.lease_id == lease_id
    on_ledger = world.hub.hub.ledger.lease(lease_id)
    assert on_ledger is not None
    assert on_ledger.status is LeaseStatus.OPEN


def overdrawn_world() -> World:
    """Return a world where forge lowers candy's limit between its signature and the opening."""
    world = joined_world()
    world.holding = (SubmitCommands,)
    world.run(100)
    action = SetLimit(debtor=CANDY, limit_microcredits=Microcredits(1_000))

    def submit() -> None:
        world.forge.node._books.submit(action)

    world.forge.later(submit)
    world.run(100)
    opening, lowering = world.held
    world.holding = (AskOffer,)
    world.deliver(*lowering)
    world.deliver(*opening)
    world.run(1_100)
    return world


def test_the_credit_limit_ends_an_overdrawn_lease_at_both_ends() -> None:
    """When the ledger refuses the reservation the lease is dropped and no session is opened."""
    world = overdrawn_world()
    codes = {note["code"] for note in world.candy.noted("lease.not_opened")}
    assert codes == {"ledger.credit.overdrawn"}
    assert world.candy.asked(OpenSession) == []
    rows = [
        msgspec.msgpack.decode(value, type=LeaseRow)
        for _, value in world.candy.store.scan("borrowed")
    ]
    assert [row.resolved for row in rows] == [True] * len(rows)
    assert rows


def test_a_refused_lease_is_followed_by_another_after_a_while_only() -> None:
    """Its provider waits for what the ledger refused; asking it each second is of no use."""
    world = overdrawn_world()
    asked = len(world.candy.asked(AskOffer))
    world.run(GRACE_MS / 2)
    assert len(world.candy.asked(AskOffer)) == asked
    world.run(GRACE_MS)
    assert len(world.candy.asked(AskOffer)) > asked


def test_a_lease_is_renewed_before_it_ends() -> None:
    """The next lease starts where the last one ends, so that calls find one at any time."""
    world = open_world()
    first = world.candy.lease
    world.run(LEASE_MS - 3_000)
    last = list(world.candy.node._borrower.leases.values())[-1]
    assert last.lease_id != first.lease_id
    assert last.terms.starts == first.terms.ends
    world.run(4_000)
    assert world.candy.node.snapshot().sessions >= 1


def test_no_lease_is_asked_for_while_the_ledger_would_refuse_it() -> None:
    """One that is over and unsigned blocks the next: the provider is not made to reserve for it."""
    world = open_world()
    world.holding = (AskOffer, AskStatement)
    world.run(LEASE_MS)
    world.held.clear()
    world.candy.restart()
    world.holding = (AskStatement,)
    before = len(world.candy.asked(ProposeLease))
    world.run(GRACE_MS + 2_000)
    assert len(world.candy.asked(ProposeLease)) == before
    assert world.candy.noted("lease.not_opened") == []
    for sender, ask in world.held:
        world.time_out(sender, ask)
    world.holding = ()
    world.run(GRACE_MS)
    assert len(world.candy.asked(ProposeLease)) == before + 1
    assert world.candy.node.snapshot().sessions == 1


def test_a_settled_lease_is_let_go_by_both() -> None:
    """Once the ledger posted the statement neither side holds rows it acts on."""
    world = open_world()
    lease_id = world.lease_id
    world.read(1)
    world.holding = (AskOffer,)
    world.run(LEASE_MS + GRACE_MS)
    on_ledger = world.hub.hub.ledger.lease(lease_id)
    assert on_ledger is not None
    assert on_ledger.status is LeaseStatus.SETTLED
    for side in (world.candy, world.forge):
        snapshot = side.node.snapshot()
        assert (snapshot.leases_lent, snapshot.leases_borrowed, snapshot.sessions) == (0, 0, 0)
        side.restart()
        assert side.node.snapshot().leases_lent + side.node.snapshot().leases_borrowed == 0


def test_a_settled_lease_moved_exactly_its_calls() -> None:
    """Mileage is zero-sum and equals the calls that were charged."""
    world = open_world()
    for number in range(5):
        world.read(number)
    world.holding = (AskOffer,)
    world.run(LEASE_MS + GRACE_MS)
    balances = [side.node.snapshot().balance_microcredits for side in (world.candy, world.forge)]
    assert balances == [-2500, 2500]


def test_a_requester_that_vanishes_is_claimed_from() -> None:
    """After the grace the provider claims alone; it posts when the dispute window is over."""
    world = open_world()
    lease_id = world.lease_id
    for number in range(3):
        world.read(number)
    world.sides.pop(CANDY)
    world.queue.clear()
    world.run(LEASE_MS + GRACE_MS + DISPUTE_MS + 3_000)
    on_ledger = world.hub.hub.ledger.lease(lease_id)
    assert on_ledger is not None
    assert on_ledger.status is LeaseStatus.CLOSED
    assert on_ledger.posted_microcredits == 1500
    assert world.forge.node.snapshot().leases_lent == 0


def test_instants_of_terms_are_the_nodes_own_clock() -> None:
    """A lease begins when it was proposed, to the millisecond."""
    world = joined_world()
    world.holding = (ProposeLease,)
    world.run(0)
    (request,) = world.candy.asked(ProposeLease)
    terms = parse_canonical(request.agreement.payload, Agreement)
    assert terms.starts == format_instant(world.now_ns)
    assert terms.ends_ns - terms.starts_ns == LEASE_MS * NS_PER_MS
