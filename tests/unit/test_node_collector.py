"""Getting paid: vouchers in time, nothing beyond what was signed, a statement, or a claim."""

import msgspec
import pytest

from mutualedge.ledger import Claim, Command, LeaseStatus, SetLimit
from mutualedge.meter import ChainPosition, Voucher
from mutualedge.model import NS_PER_MS, Digest, Microcredits
from mutualedge.protocol import (
    Answered,
    AskOffer,
    AskStatement,
    AskVoucher,
    FinishSession,
    Refused,
    RepliesMissing,
    Reply,
    SubmitCommands,
    VoucherSigned,
)
from mutualedge.signing import parse_canonical, sign_record
from tests.simulation.founding import keys_of
from tests.unit.node_world import (
    CALL_MICROCREDITS,
    CANDY,
    DISPUTE_MS,
    FORGE,
    GRACE_MS,
    HUB,
    WINDOW_CALLS,
    WINDOW_MS,
    World,
    open_world,
)

HALF_WINDOW = WINDOW_CALLS // 2


def signed_seq(world: World) -> int:
    (account,) = world.forge.lease.accounts.values()
    return account.signed.seq


def test_a_voucher_is_asked_for_at_half_the_calls_of_w() -> None:
    """Long before calls would have to stop."""
    world = open_world()
    for number in range(HALF_WINDOW - 1):
        world.read(number)
    assert world.forge.asked(AskVoucher) == []
    world.read(HALF_WINDOW)
    assert signed_seq(world) == HALF_WINDOW
    assert world.forge.lease.open_calls == 0


def test_a_voucher_is_asked_for_at_half_the_time_of_w() -> None:
    """A single call is signed for too, within half the window."""
    world = open_world()
    world.read(1)
    world.run(WINDOW_MS / 2 - 1_000)
    assert signed_seq(world) == 0
    world.run(1_000)
    assert signed_seq(world) == 1


def test_a_received_voucher_is_a_row() -> None:
    """What we are owed survives a crash, and the replies it covers are let go of."""
    world = open_world()
    for number in range(HALF_WINDOW):
        world.read(number)
    world.forge.restart()
    assert signed_seq(world) == HALF_WINDOW
    assert world.forge.lease.open_calls == 0


def bent_voucher(world: World, **changes: object) -> None:
    """Have candy's vouchers arrive with these changes, signed by its own key."""

    def bend(reply: Reply) -> Reply:
        if not isinstance(reply, VoucherSigned):
            return reply
        voucher = msgspec.structs.replace(
            parse_canonical(reply.voucher.payload, Voucher), **changes
        )
        return VoucherSigned(voucher=sign_record(voucher, keys_of(CANDY).settlement))

    world.bend = bend


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"total_microcredits": 1}, "meter.voucher.other-sum"),
        ({"head": Digest("ab" * 32)}, "meter.voucher.other-sum"),
        ({"meter_key": bytes(32)}, "meter.voucher.other-sum"),
        ({"through_seq": 9}, "meter.voucher.other-sum"),
        ({"lease": "ab" * 32}, "meter.voucher.misplaced"),
    ],
    ids=str,
)
def test_another_voucher_than_owed_is_not_taken(changes: dict[str, object], code: str) -> None:
    """Less money, another chain, meter or lease: the calls stay unsigned and count towards W."""
    world = open_world()
    bent_voucher(world, **changes)
    for number in range(HALF_WINDOW):
        world.read(number)
    assert {note["code"] for note in world.forge.noted("peer.faulted")} == {code}
    assert signed_seq(world) == 0
    assert world.forge.lease.open_calls == HALF_WINDOW


def test_an_old_voucher_does_not_take_back_a_newer_one() -> None:
    """A requester that repeats an earlier signature changes nothing of what it owes."""
    world = open_world()
    for number in range(HALF_WINDOW):
        world.read(number)
    (account,) = world.forge.lease.accounts.values()
    old = VoucherSigned(voucher=account.voucher)
    world.bend = lambda reply: old if isinstance(reply, VoucherSigned) else reply
    for number in range(HALF_WINDOW, 2 * HALF_WINDOW):
        world.read(number)
    assert signed_seq(world) == HALF_WINDOW
    world.bend = lambda reply: reply
    world.run(WINDOW_MS)
    assert signed_seq(world) == 2 * HALF_WINDOW


def test_a_lost_voucher_is_fetched_and_the_rest_asked_for() -> None:
    """The requester signed two, the answer was lost, a third call came: all get signed."""
    world = open_world()
    world.holding = (AskVoucher,)
    for number in range(HALF_WINDOW):
        world.read(number)
    sender, ask = world.held.pop()
    world.candy.answer_to(ask.request, FORGE)
    world.read(HALF_WINDOW)
    world.time_out(sender, ask)
    world.holding = ()
    world.run(WINDOW_MS)
    assert signed_seq(world) == HALF_WINDOW + 1


def test_a_requester_that_wants_replies_for_ever_gets_them_once() -> None:
    """Missing results are sent once with the request; then it is a refusal like any other."""
    world = open_world()
    world.bend = lambda reply: (
        RepliesMissing(seqs=(1,)) if isinstance(reply, VoucherSigned) else reply
    )
    world.read(1)
    world.run(WINDOW_MS / 2)
    requests = world.forge.asked(AskVoucher)
    assert [len(request.replies) for request in requests] == [0, 1]
    assert world.forge.lease.refusals == 1


def test_a_refusal_makes_the_provider_patient() -> None:
    """A requester that will not sign is asked at doubling distances, not in a loop."""
    world = open_world()
    world.bend = lambda reply: (
        Refused(code="no.money", sentence="No.") if isinstance(reply, VoucherSigned) else reply
    )
    world.read(1)
    world.run(5 * WINDOW_MS)
    asked = len(world.forge.asked(AskVoucher))
    assert 2 <= asked <= 4
    assert {note["code"] for note in world.forge.noted("voucher.refused")} == {"no.money"}


def test_a_voucher_that_is_none_makes_the_provider_patient_too() -> None:
    """Signing the wrong thing is refusing: it costs neither side a request every half window."""
    world = open_world()
    lease = world.forge.lease
    bent_voucher(world, total_microcredits=1)
    world.read(1)
    world.run(5 * WINDOW_MS)
    assert 2 <= len(world.forge.asked(AskVoucher)) <= 4
    world.bend = lambda reply: reply
    world.run((lease.terms.ends_ns - world.now_ns) / NS_PER_MS + 500)
    assert lease.open_calls == 0
    assert lease.refusals == 0


def test_the_voucher_we_hold_already_is_no_answer() -> None:
    """It signs for nothing new, so the requester is asked at doubling distances as well."""
    world = open_world()
    (account,) = world.forge.lease.accounts.values()
    same = VoucherSigned(voucher=account.voucher)
    world.bend = lambda reply: same if isinstance(reply, VoucherSigned) else reply
    world.read(1)
    world.run(5 * WINDOW_MS)
    assert 2 <= len(world.forge.asked(AskVoucher)) <= 4


def claims(world: World) -> list[Claim]:
    commands = [
        parse_canonical(envelope.payload, Command)
        for request in world.forge.asked(SubmitCommands)
        for envelope in request.commands
    ]
    return [each.action for each in commands if isinstance(each.action, Claim)]


def ended_unsigned_world() -> World:
    """Return a world where one call was signed for, and then candy signs nothing any more."""
    world = open_world()
    for number in range(HALF_WINDOW):
        world.read(number)
    world.holding = (AskVoucher, AskStatement, AskOffer)
    world.read(99)
    for _ in range(3):
        for sender, ask in world.held:
            world.time_out(sender, ask)
        world.held.clear()
        world.run(WINDOW_MS)
    world.run((world.forge.lease.terms.ends_ns - world.now_ns) / NS_PER_MS)
    return world


def test_a_claim_waits_for_the_grace() -> None:
    """Nobody is claimed from before it had time to sign."""
    world = ended_unsigned_world()
    world.run(GRACE_MS - 500)
    assert claims(world) == []
    world.run(2_000)
    assert claims(world)


def test_a_claim_that_came_too_early_is_made_again_in_time() -> None:
    """A clock that ran ahead cost the provider one refusal, not what the requester vouched."""
    world = open_world()
    for number in range(HALF_WINDOW):
        world.read(number)
    world.holding = (AskVoucher, AskStatement, AskOffer)
    forge, lease = world.forge, world.forge.lease
    forge.later(lambda: forge.node._provider._collector._claim(lease))
    world.run(2_000)
    assert {"code": "ledger.claim.early"}.items() <= forge.noted("command.answered")[-1].items()
    world.run((lease.terms.ends_ns - world.now_ns) / NS_PER_MS + GRACE_MS + 3_000)
    on_ledger = world.hub.hub.ledger.lease(lease.lease_id)
    assert on_ledger is not None
    assert on_ledger.posted_microcredits == HALF_WINDOW * CALL_MICROCREDITS


def test_a_claim_holds_vouchers_and_the_runners_batch_beyond_them() -> None:
    """What was signed posts at once; what the runner proves beyond it pends."""
    world = ended_unsigned_world()
    world.run(GRACE_MS + 3_000)
    claim = claims(world)[-1]
    (voucher,) = [parse_canonical(each.payload, Voucher) for each in claim.vouchers]
    assert voucher.total_microcredits == HALF_WINDOW * CALL_MICROCREDITS
    assert len(claim.batches) == 1
    on_ledger = world.hub.hub.ledger.lease(world.forge.lease.lease_id)
    assert on_ledger is not None
    assert on_ledger.posted_microcredits == HALF_WINDOW * CALL_MICROCREDITS
    assert on_ledger.claimed_microcredits == (HALF_WINDOW + 1) * CALL_MICROCREDITS


def test_calls_nobody_can_prove_do_not_hold_back_the_statement() -> None:
    """Their runner died unsigned and their requester restarted: both sign what is left.

    What that costs the provider is said in its own words.
    """
    world = open_world()
    for number in range(HALF_WINDOW):
        world.read(number)
    world.holding = (AskVoucher, AskOffer)
    world.read(99)
    world.forge.lose_runner()
    world.candy.restart()
    world.holding = (AskOffer,)
    lease_id, terms = world.forge.lease.lease_id, world.forge.lease.terms
    world.run((terms.ends_ns - world.now_ns) / NS_PER_MS + GRACE_MS)
    assert world.forge.noted("voucher.refused")[-1]["code"] == "meter.voucher.unproved"
    on_ledger = world.hub.hub.ledger.lease(lease_id)
    assert on_ledger is not None
    assert on_ledger.status is LeaseStatus.SETTLED
    assert on_ledger.posted_microcredits == HALF_WINDOW * CALL_MICROCREDITS
    unpaid = {"lease": lease_id, "unpaid": CALL_MICROCREDITS}
    assert world.forge.noted("lease.underpaid") == [unpaid]


def test_results_the_requester_has_are_paid_however_late_it_is_asked() -> None:
    """Cut off beyond the grace it still signs for what it received; only a no ends the asking."""
    world = open_world()
    for number in range(HALF_WINDOW):
        world.read(number)
    world.holding = (AskVoucher, AskStatement, AskOffer)
    world.read(99)
    world.forge.lose_runner()
    lease_id, terms = world.forge.lease.lease_id, world.forge.lease.terms
    end_ns = terms.ends_ns + 2 * GRACE_MS * NS_PER_MS
    while world.now_ns < end_ns:
        world.run(1_000)
        for sender, ask in world.held:
            world.time_out(sender, ask)
        world.held.clear()
    world.holding = (AskOffer,)
    world.run(GRACE_MS)
    on_ledger = world.hub.hub.ledger.lease(lease_id)
    assert on_ledger is not None
    assert on_ledger.status is LeaseStatus.SETTLED
    assert on_ledger.posted_microcredits == (HALF_WINDOW + 1) * CALL_MICROCREDITS
    assert world.forge.noted("lease.underpaid") == []


def expired_world() -> World:
    """Return a world whose hub was gone until nobody could claim any more, and is back."""
    world = open_world()
    for number in range(HALF_WINDOW + 1):
        world.read(number)
    terms = world.forge.lease.terms
    hub = world.sides.pop(HUB)
    world.holding = (AskVoucher, AskStatement, AskOffer)
    end_ns = terms.ends_ns + (terms.dispute_window_ms + GRACE_MS) * NS_PER_MS
    while world.now_ns < end_ns:
        world.run(1_000)
        for sender, ask in world.held:
            world.time_out(sender, ask)
        world.held.clear()
    world.sides = {HUB: hub, **world.sides}
    world.holding = (AskOffer,)
    return world


def test_a_lease_that_expired_while_the_hub_was_gone_is_paid_in_full() -> None:
    """Two signatures need no timely witness: both sides keep what they hold, and sign it then."""
    world = expired_world()
    lease_id = world.forge.lease.lease_id
    world.run(2 * GRACE_MS)
    on_ledger = world.hub.hub.ledger.lease(lease_id)
    assert on_ledger is not None
    assert on_ledger.status is LeaseStatus.SETTLED
    assert on_ledger.posted_microcredits == (HALF_WINDOW + 1) * CALL_MICROCREDITS
    assert world.forge.noted("lease.underpaid") == []
    assert not world.forge.node.snapshot().leases


def allow(world: World, amount: int) -> None:
    """Have forge change how much candy may owe it."""
    action = SetLimit(debtor=CANDY, limit_microcredits=Microcredits(amount))

    def submit() -> None:
        world.forge.node._books.submit(action, occasion=str(amount))

    world.forge.later(submit)
    world.run(1_100)


def test_a_statement_that_met_a_full_credit_line_is_sent_again() -> None:
    """The line has room again within the dispute window that both sides still wait."""
    world = expired_world()
    lease_id = world.forge.lease.lease_id
    allow(world, 0)
    world.run(GRACE_MS / 2)
    answered = [note["code"] for note in world.forge.noted("command.answered")]
    assert "ledger.credit.overdrawn" in answered
    allow(world, 10**9)
    world.run(DISPUTE_MS / 2)
    on_ledger = world.hub.hub.ledger.lease(lease_id)
    assert on_ledger is not None
    assert on_ledger.status is LeaseStatus.SETTLED
    assert on_ledger.posted_microcredits == (HALF_WINDOW + 1) * CALL_MICROCREDITS


def test_an_expired_lease_is_let_go_when_nobody_signs_for_it() -> None:
    """Its provider asks for one dispute window more, then says what it lost."""
    world = expired_world()
    lease = world.forge.lease
    del world.sides[CANDY]
    world.run(lease.terms.dispute_window_ms / 2)
    assert [each.lease for each in world.forge.node.snapshot().leases] == [lease.lease_id]
    world.run(lease.terms.dispute_window_ms)
    assert not world.forge.node.snapshot().leases
    unpaid = {"lease": lease.lease_id, "unpaid": (HALF_WINDOW + 1) * CALL_MICROCREDITS}
    assert world.forge.noted("lease.underpaid") == [unpaid]


@pytest.mark.parametrize("crashes", [False, True])
def test_a_statement_reaches_the_ledger_although_the_hub_refused_it(*, crashes: bool) -> None:
    """Both signed it, so it is brought again until the ledger shows its outcome, and no longer."""
    world = open_world()
    for number in range(HALF_WINDOW):
        world.read(number)
    lease_id, terms = world.forge.lease.lease_id, world.forge.lease.terms
    world.holding = (AskOffer, SubmitCommands)
    while not world.forge.noted("command.set_aside"):
        assert world.now_ns < terms.ends_ns + 4 * GRACE_MS * NS_PER_MS
        world.run(100)
        refuse_settlement(world)
    if crashes:
        world.forge.restart()
    world.holding = (AskOffer,)
    for held in world.held:
        world.deliver(*held)
    world.run(2 * GRACE_MS)
    on_ledger = world.hub.hub.ledger.lease(lease_id)
    assert on_ledger is not None
    assert on_ledger.status is LeaseStatus.SETTLED
    assert world.forge.node.snapshot().outbox_size == 0


def refuse_settlement(world: World) -> None:
    """Have the hub say that forge's statement is badly signed; other commands go through."""
    held, world.held = world.held, []
    for sender, ask in held:
        if sender is world.forge and isinstance(ask.request, SubmitCommands):
            refused = Refused(code="signing.envelope.unsigned", sentence="No.")
            sender.handle(Answered(request_id=ask.request_id, reply=refused))
        else:
            world.deliver(sender, ask)


def test_a_session_that_was_never_finished_does_not_hold_back_the_statement() -> None:
    """Candy accepted a meter key that died before forge had its opening voucher: nothing owed."""
    world = open_world()
    for number in range(HALF_WINDOW):
        world.read(number)
    world.holding = (FinishSession, AskOffer)
    world.forge.lose_runner()
    world.forge.start_runner()
    world.read(98)
    world.run(2_000)
    world.forge.lose_runner()
    world.time_out(*world.held[-1])
    assert [len(side.lease.accounts) for side in (world.candy, world.forge)] == [2, 1]
    lease_id, terms = world.forge.lease.lease_id, world.forge.lease.terms
    world.run((terms.ends_ns - world.now_ns) / NS_PER_MS + GRACE_MS)
    on_ledger = world.hub.hub.ledger.lease(lease_id)
    assert on_ledger is not None
    assert on_ledger.status is LeaseStatus.SETTLED


def test_a_position_never_goes_back() -> None:
    """A voucher behind the one we hold is our own mistake to accept, so it is asserted."""
    world = open_world()
    for number in range(HALF_WINDOW):
        world.read(number)
    (account,) = world.forge.lease.accounts.values()
    old = ChainPosition(seq=1, head=Digest("ab" * 32), total_microcredits=Microcredits(1))
    with pytest.raises(AssertionError, match="never goes back"):
        account.sign_through(old, account.voucher)
