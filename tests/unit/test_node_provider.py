"""The lending side: what it signs, what it refuses, and what is durable before it answers."""

from itertools import pairwise

import msgspec
import pytest

from mutualedge.ledger import DISPUTE_WINDOW_MS_MAX, LeaseStatus, OpenLease
from mutualedge.market import Agreement, Commitment, Offer, commitment_of
from mutualedge.meter import UsageRecord
from mutualedge.model import (
    JSON_INTEGER_MAX,
    NS_PER_MS,
    NS_PER_S,
    AssuranceLevel,
    Digest,
    InvocationId,
    LeaseId,
    Microcredits,
    Milliseconds,
    Nanoseconds,
    NodeId,
    format_instant,
    parse_instant,
)
from mutualedge.node.borrower import OPENING_GRACES
from mutualedge.node.leases import RecordRow
from mutualedge.node.offering import LENT_MAX
from mutualedge.protocol import (
    Answer,
    AskBlocks,
    AskOffer,
    AskStatement,
    AskVoucher,
    Breach,
    Call,
    CallDone,
    Execute,
    FinishSession,
    LeaseSigned,
    OfferMade,
    OpenSession,
    ProposeLease,
    Refused,
    Reply,
    SubmitCommands,
)
from mutualedge.signing import SigningKey, parse_canonical, sign_record, verify_record
from tests.simulation.founding import keys_of
from tests.simulation.schedule import START_NS
from tests.unit.node_world import (
    BUNDLE,
    CANDY,
    FORGE,
    GRACE_MS,
    HUB,
    PERIOD_MS,
    WINDOW_CALLS,
    WINDOW_MS,
    World,
    code_of,
    founded,
    invocation_of,
    joined_world,
    open_world,
    sealed_call,
)


def terms_of(world: World, **changes: object) -> Agreement:
    """Return terms that forge's offer covers, with these changes."""
    terms = Agreement(
        requester=CANDY,
        provider=FORGE,
        node=founded().consortium.member(FORGE).node,
        function=BUNDLE.digest,
        budget_ns=5 * NS_PER_MS,
        period_ns=20 * NS_PER_MS,
        deadline_ns=20 * NS_PER_MS,
        opens_by=format_instant(world.now_ns + 2 * GRACE_MS * NS_PER_MS),
        starts=format_instant(world.now_ns),
        ends=format_instant(world.now_ns + 60_000 * NS_PER_MS),
        price_microcredits=Microcredits(100),
        window_calls=4,
        window_ms=Milliseconds(WINDOW_MS),
        dispute_window_ms=Milliseconds(20_000),
        network_ms=Milliseconds(5),
        assurance=AssuranceLevel.SIMULATED,
        nonce=InvocationId("7" * 32),
    )
    return msgspec.structs.replace(terms, **changes)


def proposed(world: World, **changes: object) -> ProposeLease:
    return proposal_of(terms_of(world, **changes), keys_of(CANDY).settlement)


def proposal_of(terms: Agreement, settlement: SigningKey) -> ProposeLease:
    agreement = sign_record(terms, settlement)
    commitment = commitment_of(LeaseId(agreement.payload_digest), terms)
    return ProposeLease(agreement=agreement, commitment=sign_record(commitment, settlement))


def opened(world: World, **changes: object) -> Reply:
    """Return what forge answers a proposal, after candy had the ledger open what it signed."""
    world.holding = (AskOffer,)
    reply = world.forge.answer_to(proposed(world, **changes), CANDY)
    if isinstance(reply, LeaseSigned):
        action = OpenLease(commitment=reply.commitment)

        def submit() -> None:
            world.candy.node._books.submit(action)

        world.candy.later(submit)
        world.run(1_100)
    return reply


def lent(world: World) -> int:
    return world.forge.node.snapshot().leases_lent


def test_an_offer_says_what_the_owner_lends() -> None:
    """Signed by the node, for this function, at the posted price, good for a minute."""
    world = joined_world()
    reply = world.forge.answer_to(AskOffer(function=BUNDLE.digest), CANDY)
    assert isinstance(reply, OfferMade)
    offer = verify_record(reply.offer, Offer, keys_of(FORGE).node.public_bytes)
    assert (offer.budget_ns, offer.period_ns) == (5 * NS_PER_MS, 20 * NS_PER_MS)
    assert offer.price_microcredits == 100
    assert parse_instant(offer.expires) == world.now_ns + 60_000 * NS_PER_MS


def test_an_offer_is_refused_with_its_reason() -> None:
    """A function nobody loaded, or a node that lends nothing, is said in those words."""
    world = joined_world()
    other = AskOffer(function=Digest("ab" * 32))
    assert code_of(world.forge.answer_to(other, CANDY)) == "market.offer.function"
    own = AskOffer(function=BUNDLE.digest)
    assert code_of(world.candy.answer_to(own, FORGE)) == "market.offer.none"


def test_a_proposal_at_the_offers_terms_is_countersigned() -> None:
    """Both signatures, the row written and the capacity kept, before the reply leaves."""
    world = joined_world()
    request = proposed(world)
    reply = world.forge.answer_to(request, CANDY)
    assert isinstance(reply, LeaseSigned)
    keys = (keys_of(CANDY).settlement.public_bytes, keys_of(FORGE).settlement.public_bytes)
    verify_record(reply.agreement, Agreement, *keys)
    assert world.forge.store.get("lent", request.agreement.payload_digest)
    assert lent(world) == 1


def test_a_proposal_twice_is_one_lease() -> None:
    """A repeated proposal gets the same signed agreement and no second reservation."""
    world = joined_world()
    request = proposed(world)
    first, again = (world.forge.answer_to(request, CANDY) for _ in range(2))
    assert isinstance(first, LeaseSigned)
    assert first == again
    assert lent(world) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"budget_ns": 5 * NS_PER_MS + 1},
        {"period_ns": 20 * NS_PER_MS - 1},
        {"deadline_ns": 20 * NS_PER_MS - 1},
        {"price_microcredits": 99},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_proposal_worse_than_the_offer_is_refused(changes: dict[str, object]) -> None:
    """More time, more often, sooner or cheaper than offered is not signed."""
    world = joined_world()
    assert code_of(world.forge.answer_to(proposed(world, **changes), CANDY)) == (
        "market.proposal.terms"
    )
    assert lent(world) == 0


@pytest.mark.parametrize("dispute_ms", [DISPUTE_WINDOW_MS_MAX + 1, JSON_INTEGER_MAX])
def test_a_dispute_window_the_ledger_refuses_is_not_signed(dispute_ms: int) -> None:
    """A lease that no ledger opens would hold a place until its grace is over."""
    world = joined_world()
    request = proposed(world, dispute_window_ms=dispute_ms)
    assert code_of(world.forge.answer_to(request, CANDY)) == "market.proposal.settlement"
    assert lent(world) == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"function": Digest("ab" * 32)}, "market.proposal.misplaced"),
        ({"node": NodeId("forge-2")}, "market.proposal.misplaced"),
        ({"assurance": AssuranceLevel.ENCLAVE}, "market.proposal.assurance"),
    ],
    ids=str,
)
def test_a_proposal_for_something_else_is_refused(changes: dict[str, object], code: str) -> None:
    """Another function, node or assurance than this node has is not signed."""
    world = joined_world()
    assert code_of(world.forge.answer_to(proposed(world, **changes), CANDY)) == code


def test_a_proposal_for_a_window_that_is_over_is_refused() -> None:
    """Nobody can use it, and nobody would pay for it."""
    world = joined_world()
    request = proposed(world)
    world.run(60_000)
    assert code_of(world.forge.answer_to(request, CANDY)) == "market.proposal.window"


def test_an_unsigned_proposal_is_refused() -> None:
    """The requester's settlement key must have signed; another's does not do."""
    world = joined_world()
    forged = proposal_of(terms_of(world), keys_of(FORGE).settlement)
    assert code_of(world.forge.answer_to(forged, CANDY)) == "signing.envelope.unsigned"
    half = msgspec.structs.replace(proposed(world), commitment=forged.commitment)
    assert code_of(world.forge.answer_to(half, CANDY)) == "signing.envelope.unsigned"


def test_the_ledger_is_told_what_was_agreed() -> None:
    """A commitment to less than the agreement comes to is not countersigned."""
    world = joined_world()
    request = proposed(world)
    told = parse_canonical(request.commitment.payload, Commitment)
    for change in ({"cost_max_microcredits": 1}, {"opens_by": format_instant(world.now_ns + 1)}):
        less = sign_record(msgspec.structs.replace(told, **change), keys_of(CANDY).settlement)
        bent = msgspec.structs.replace(request, commitment=less)
        assert code_of(world.forge.answer_to(bent, CANDY)) == "market.proposal.commitment"
    assert lent(world) == 0


def test_capacity_is_sold_once() -> None:
    """Leases beyond the processor are refused; one after the others' end is not."""
    world = joined_world()
    replies = [opened(world, nonce=f"{nonce:032x}") for nonce in range(4)]
    assert [code_of(reply).startswith("admission.reservation.") for reply in replies] == [
        *[False] * lent(world),
        *[True] * (4 - lent(world)),
    ]
    assert 1 <= lent(world) < 4
    later = opened(
        world,
        starts=format_instant(world.now_ns + 60_000 * NS_PER_MS),
        ends=format_instant(world.now_ns + 90_000 * NS_PER_MS),
    )
    assert isinstance(later, LeaseSigned)


def test_the_number_of_leases_is_bounded() -> None:
    """One partner cannot fill the node with leases for the far future."""
    world = joined_world()
    for index in range(LENT_MAX + 1):
        start_ns = START_NS + index * 60_000 * NS_PER_MS
        ends = format_instant(start_ns + 60_000 * NS_PER_MS)
        reply = opened(world, starts=format_instant(start_ns), ends=ends)
    assert code_of(reply) == "market.proposal.window"
    assert lent(world) == LENT_MAX


def test_a_lease_nobody_opens_is_dropped() -> None:
    """What the ledger did not open in time, and cannot any more, frees its capacity."""
    world = joined_world()
    world.sides.pop(CANDY)
    world.forge.answer_to(proposed(world), CANDY)
    world.run(2 * GRACE_MS - 500)
    assert lent(world) == 1
    world.run(GRACE_MS + 1_000)  # a block told the time
    assert lent(world) == 0


def test_a_lease_is_kept_while_the_ledger_runs_behind() -> None:
    """After the hub was away the ledger's time is not ours; it may open later than we think."""
    world = joined_world()
    world.hub.hub._lag_ns = 600 * NS_PER_S
    world.holding = (SubmitCommands,)
    world.run(2 * GRACE_MS + 40_000)
    (sender, ask) = world.held[0]
    assert sender is world.candy
    world.holding = ()
    world.deliver(sender, ask)
    world.run(3_000)
    assert lent(world) == 1
    assert world.candy.node.snapshot().sessions == 1


def test_an_unopened_lease_is_remembered_over_a_restart() -> None:
    """One place is held for a requester, however often its provider starts again."""
    world = joined_world()
    world.sides.pop(CANDY)
    assert isinstance(world.forge.answer_to(proposed(world), CANDY), LeaseSigned)
    world.forge.restart()
    world.forge.start_runner()
    another = proposed(world, nonce=InvocationId("8" * 32))
    assert code_of(world.forge.answer_to(another, CANDY)) == "market.proposal.unopened"


def test_a_lease_beside_an_unsettled_one_is_not_signed() -> None:
    """The ledger would refuse it, and the place would be held for nothing."""
    world = open_world()
    world.read(1)
    world.holding = (AskOffer, AskStatement, AskVoucher, SubmitCommands)
    world.run((world.candy.lease.terms.ends_ns - world.now_ns) / NS_PER_MS + 100)
    assert code_of(world.forge.answer_to(proposed(world), CANDY)) == "market.proposal.unsettled"
    assert world.candy.node._borrower._is_settling(FORGE)


def test_a_lease_that_is_opened_in_the_last_moment_is_kept() -> None:
    """However late the command came through: what the ledger opened is lent and settled."""
    world = joined_world()
    world.holding = (SubmitCommands,)
    world.run(OPENING_GRACES * GRACE_MS - 1_500)
    world.holding = ()
    world.time_out(*world.held[0])
    world.run(3_000)
    assert world.candy.node.snapshot().sessions == 1
    lease_id, ends_ns = world.lease_id, world.candy.lease.terms.ends_ns
    world.run((ends_ns - world.now_ns) / NS_PER_MS + 2_000)
    on_ledger = world.hub.hub.ledger.lease(lease_id)
    assert on_ledger is not None
    assert on_ledger.status is LeaseStatus.SETTLED


def test_a_requester_that_opens_nothing_holds_one_place_less_and_less_often() -> None:
    """One lease at a time may wait to be opened; after each that was not, the wait doubles."""
    world = joined_world()
    world.sides.pop(CANDY)
    signed = []
    for index in range(600):
        nonce = InvocationId(f"{index:032x}")
        reply = world.forge.answer_to(proposed(world, nonce=nonce), CANDY)
        if isinstance(reply, LeaseSigned):
            signed.append(index)
        else:
            assert code_of(reply) == "market.proposal.unopened"
        assert lent(world) <= 1
        world.run(1_000)
    gaps = [later - earlier for earlier, later in pairwise(signed)]
    assert len(gaps) >= 3
    assert gaps == sorted(gaps)
    assert gaps[-1] > 2 * gaps[0]


def test_a_lease_the_ledger_would_not_open_is_not_signed() -> None:
    """Its requester may not owe us so much, or the hub is away, which alone can open it."""
    world = joined_world()
    world.sides.pop(CANDY)
    dear = proposed(world, price_microcredits=Microcredits(10**5))
    assert code_of(world.forge.answer_to(dear, CANDY)) == "market.proposal.credit"
    del world.sides[HUB]
    world.run(3_000)
    assert code_of(world.forge.answer_to(proposed(world), CANDY)) == "market.proposal.hub-away"
    assert lent(world) == 0


def test_a_call_under_an_unknown_lease_is_refused() -> None:
    """Nothing runs for a lease this node did not sign."""
    world = open_world()
    call = msgspec.structs.replace(sealed_call(world, 1), lease=LeaseId("ab" * 32))
    assert code_of(world.forge.answer_to(call, CANDY)) == "market.lease.unknown"
    assert not world.forge.asked(Execute)


def test_a_lease_that_is_not_open_on_the_ledger_runs_nothing() -> None:
    """Without the reservation on the ledger nobody promised to pay."""
    world = joined_world()
    request = proposed(world)
    world.forge.answer_to(request, CANDY)
    lease = LeaseId(request.agreement.payload_digest)
    opening = OpenSession(lease=lease, trust_version=1, nonce=bytes(32), message=bytes(32))
    assert code_of(world.forge.answer_to(opening, CANDY)) == "market.lease.not-open"
    assert not world.forge.orders


def test_a_call_after_the_lease_is_refused() -> None:
    """The first instant after the window is too late."""
    world = open_world()
    call = sealed_call(world, 1)
    lease = world.forge.lease
    world.sides.pop(CANDY)
    world.run((lease.terms.ends_ns - world.now_ns) / NS_PER_MS)
    assert code_of(world.forge.answer_to(call, CANDY)) == "market.lease.expired"


def test_a_call_in_an_unknown_session_is_refused() -> None:
    """The requester is told to open a new session, in a code that starts with session."""
    world = open_world()
    call = msgspec.structs.replace(sealed_call(world, 1), session=7)
    assert code_of(world.forge.answer_to(call, CANDY)) == "session.unknown"


def test_a_call_before_message_three_is_refused() -> None:
    """Until the account is open nobody owes for a call."""
    world = joined_world()
    world.holding = (FinishSession,)
    world.run(3_000)
    (_, ask) = world.held[-1]
    assert isinstance(ask.request, FinishSession)
    call = Call(
        lease=ask.request.lease,
        session=ask.request.session,
        invocation=invocation_of(1),
        record=bytes(64),
        remaining_ns=Nanoseconds(40 * NS_PER_MS),
    )
    ask_id = world.forge.ask(call, CANDY)
    assert code_of(world.forge.replies[ask_id]) == "session.unfinished"
    assert not world.forge.orders


def test_calls_stop_at_w() -> None:
    """When W calls are unsigned the next is refused, and goes on once they are signed."""
    world = open_world()
    world.holding = (AskVoucher,)
    replies = [world.read(number) for number in range(WINDOW_CALLS + 1)]
    assert [code_of(reply) for reply in replies] == [
        *[""] * WINDOW_CALLS,
        "meter.window.exceeded",
    ]
    world.holding = ()
    world.deliver(*world.held.pop(0))
    world.run(100)
    assert code_of(world.read(99)) == ""


def test_calls_stop_when_the_oldest_is_too_old() -> None:
    """W is also a time: one unsigned call older than the window stops the rest."""
    world = open_world()
    world.holding = (AskVoucher,)
    world.read(1)
    world.run(WINDOW_MS - 2 * PERIOD_MS)
    assert code_of(world.read(2)) == ""
    world.run(PERIOD_MS)
    assert code_of(world.read(3)) == "meter.window.exceeded"


def test_calls_in_flight_count_towards_w() -> None:
    """What was ordered and not answered yet is at risk as well."""
    world = open_world()
    runner, world.forge.runner = world.forge.runner, None
    calls = []
    for number in range(WINDOW_CALLS + 1):
        calls.append(sealed_call(world, number, f"d{number}"))
        world.run(PERIOD_MS)
    ask_ids = [world.forge.ask(call, CANDY) for call in calls]
    assert code_of(world.forge.replies[ask_ids[-1]]) == "meter.window.exceeded"
    world.forge.runner = runner
    world.run(100)
    assert all(isinstance(world.forge.replies[each], CallDone) for each in ask_ids[:-1])


def test_an_absent_runner_inside_a_lease_is_a_signed_breach() -> None:
    """The provider admits under its node key that it broke its promise for this call."""
    world = open_world()
    call = sealed_call(world, 1)
    session = world.forge.node._provider.admittance._sessions.copy()
    world.forge.lose_runner()
    world.forge.node._provider.admittance._sessions.update(session)
    reply = world.forge.answer_to(call, CANDY)
    assert isinstance(reply, Refused)
    assert reply.code == "node.runner.absent"
    assert reply.breach is not None
    breach = verify_record(reply.breach, Breach, keys_of(FORGE).node.public_bytes)
    assert (breach.lease, breach.invocation) == (call.lease, call.invocation)


def test_a_lost_runner_costs_the_requester_its_session_only() -> None:
    """Calls are told that the session is gone; a new one opens and the lease goes on."""
    world = open_world()
    call = sealed_call(world, 1)
    world.forge.lose_runner()
    assert code_of(world.forge.answer_to(call, CANDY)) == "session.unknown"
    world.forge.start_runner()
    world.run(PERIOD_MS)
    assert code_of(world.read(2, "lathe")) == "session.unknown"
    world.run(3_000)
    assert code_of(world.read(3, "lathe")) == ""
    assert len(world.forge.lease.accounts) == 2


def executions(world: World) -> int:
    """Return how many calls the provider has metered, signed or not."""
    accounts = world.forge.lease.accounts.values()
    return sum(account.signed.seq + len(account.calls) for account in accounts)


def test_a_duplicate_call_is_answered_from_the_stored_reply() -> None:
    """The same question executed once, charged once, and answered with the same bytes."""
    world = open_world()
    call = sealed_call(world, 1)
    first, again = (world.forge.answer_to(call, CANDY) for _ in range(2))
    assert isinstance(first, CallDone)
    assert first == again
    assert executions(world) == 1


def test_a_duplicate_call_in_flight_waits_for_the_first() -> None:
    """Both askers get the one result; the runner is ordered once."""
    world = open_world()
    call = sealed_call(world, 1)
    ask_ids = [world.forge.ask(call, CANDY) for _ in range(3)]
    orders = [order for order in world.forge.orders if isinstance(order, Execute)]
    assert len(orders) == 1
    world.settle()
    replies = {msgspec.msgpack.encode(world.forge.replies[ask_id]) for ask_id in ask_ids}
    assert len(replies) == 1
    assert executions(world) == 1


def test_a_duplicate_call_after_a_restart_is_answered_from_its_row() -> None:
    """The reply survives the crash of the node that made it."""
    world = open_world()
    world.holding = (AskVoucher,)
    call = sealed_call(world, 1)
    first = world.forge.answer_to(call, CANDY)
    world.forge.restart()
    assert isinstance(first, CallDone)
    assert world.forge.answer_to(call, CANDY) == first
    assert executions(world) == 1


def test_record_log_entry_and_reply_are_durable_before_the_answer() -> None:
    """The very effects that carry the answer carry the record's row, its entry and the reply."""
    world = open_world()
    call = sealed_call(world, 1)
    ask_id = world.forge.ask(call, CANDY)
    world.settle()
    effects = world.forge.effects
    (answer,) = [each for each in effects.outputs if isinstance(each, Answer)]
    assert answer == Answer(ask_id=ask_id, reply=world.forge.replies[ask_id])
    written = {write.bucket: write.value for write in effects.writes}
    assert set(written) == {"record", "entry"}
    assert written["record"] is not None
    row = msgspec.msgpack.decode(written["record"], type=RecordRow)
    assert answer.reply == CallDone(record=row.reply)
    assert parse_canonical(row.usage, UsageRecord).invocation == call.invocation


def test_a_refused_call_writes_nothing() -> None:
    """A refusal has no record, no entry and no charge."""
    world = open_world()
    call = msgspec.structs.replace(sealed_call(world, 1), invocation=invocation_of(2))
    assert code_of(world.forge.answer_to(call, CANDY)) == "session.request.swapped"
    assert world.forge.effects.writes == []
    assert executions(world) == 0


def test_the_lease_goes_on_after_a_restart() -> None:
    """Lease, accounts, unsigned records and their charge are all there again from the rows."""
    world = open_world()
    world.holding = (AskVoucher,)
    for number in range(2):
        world.read(number)
    before = world.forge.lease
    world.forge.restart()
    after = world.forge.lease
    assert (after.lease_id, after.terms, after.paid) == (
        before.lease_id,
        before.terms,
        before.paid,
    )
    assert [list(account.calls) for account in after.accounts.values()] == [[1, 2]]
    assert [account.voucher for account in after.accounts.values()] == [
        account.voucher for account in before.accounts.values()
    ]


def test_a_charged_call_repeated_in_a_new_session_is_free() -> None:
    """After the provider's runner died, the same invocation runs again and costs nothing."""
    world = open_world()
    first = sealed_call(world, 1)
    assert isinstance(world.forge.answer_to(first, CANDY), CallDone)
    world.forge.lose_runner()
    world.forge.start_runner()
    world.candy.node._borrower.sessions.links.clear()
    world.run(3_000)
    link = world.candy.node._borrower.sessions.links[world.lease_id]
    record = link.seal(first.invocation, b"again")
    repeated = msgspec.structs.replace(first, session=link.session, record=record)
    assert isinstance(world.forge.answer_to(repeated, CANDY), CallDone)
    amounts = [
        parse_canonical(msgspec.msgpack.decode(value, type=RecordRow).usage, UsageRecord)
        for _, value in world.forge.store.scan("record")
    ]
    assert sorted(usage.amount_microcredits for usage in amounts) == [0, 500]
    assert {usage.invocation for usage in amounts} == {first.invocation}


@pytest.mark.parametrize("kind", [OpenSession, FinishSession])
def test_a_flood_of_handshakes_does_not_stop_the_node(
    kind: type[OpenSession] | type[FinishSession],
) -> None:
    """A lease's holder that repeats a step of the handshake without pause is refused."""
    world = open_world()
    runner, world.forge.runner = world.forge.runner, None
    request = world.candy.asked(kind)[-1]
    ask_ids = [world.forge.ask(request, CANDY) for _ in range(300)]
    world.forge.runner = runner
    world.run(100)
    codes = [code_of(world.forge.replies[ask_id]) for ask_id in ask_ids]
    assert sum(code.startswith("session.") for code in codes) >= 290
    assert world.forge.node.snapshot().is_runner_ready


def test_a_handshake_while_the_runner_restarts_does_not_confuse_it() -> None:
    """A session asked for between two runners is refused; the next runner gets ready."""
    world = open_world()
    opening = world.candy.asked(OpenSession)[-1]
    world.forge.lose_runner()
    ask_id = world.forge.ask(opening, CANDY)
    world.forge.orders.clear()
    world.forge.start_runner()
    world.settle()
    assert world.forge.node.snapshot().is_runner_ready
    assert code_of(world.forge.replies[ask_id]).startswith("node.runner.")


def test_hub_requests_are_refused_by_a_node() -> None:
    """A node answers no request that is the hub's."""
    world = joined_world()
    reply = world.forge.answer_to(AskBlocks(from_height=1), CANDY)
    assert code_of(reply) == "node.request.misplaced"
