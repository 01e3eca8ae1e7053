"""Paying: only what is ours, priced right, received or proved, and once."""

from collections.abc import Callable

import msgspec
import pytest

from mutualedge.ledger import Claim, LeaseStatus
from mutualedge.meter import (
    ChainPosition,
    RecordBatch,
    Statement,
    UsageRecord,
    Voucher,
    position_of,
)
from mutualedge.model import NS_PER_MS, Digest, LeaseId, Microcredits, parse_instant
from mutualedge.node.leases import HeldLease
from mutualedge.node.sessions import ENDED_LINKS_MAX
from mutualedge.protocol import (
    AskOffer,
    AskStatement,
    AskVoucher,
    Call,
    CallDone,
    FinishSession,
    LateReply,
    ReadingScored,
    Refused,
    RepliesMissing,
    StatementSigned,
    VoucherSigned,
)
from mutualedge.signing import (
    canonical_bytes,
    digest_of,
    parse_canonical,
    sign_record,
    verify_record,
)
from tests.simulation.founding import keys_of
from tests.unit.node_world import (
    CALL_MICROCREDITS,
    CANDY,
    DISPUTE_MS,
    FORGE,
    GRACE_MS,
    PERIOD_MS,
    WINDOW_CALLS,
    WINDOW_MS,
    World,
    code_of,
    founded,
    invocation_of,
    open_world,
    reading_of,
    sealed_call,
)

HALF_WINDOW = WINDOW_CALLS // 2

GONE = Refused(code="session.unknown", sentence="The runner that held this session is gone.")


def metered_world() -> tuple[World, AskVoucher]:
    """Return a world with two unsigned calls and forge's request to sign for them."""
    world = open_world()
    world.holding = (AskVoucher,)
    for number in range(HALF_WINDOW):
        world.read(number)
    (_, ask) = world.held[-1]
    assert isinstance(ask.request, AskVoucher)
    assert len(ask.request.records) == HALF_WINDOW
    return world, ask.request


def refusal_of(world: World, request: AskVoucher) -> str:
    """Return the code candy refuses with; it must not have signed or written anything."""
    (account,) = world.candy.lease.accounts.values()
    before = (account.voucher, account.signed, dict(world.candy.store.scan("meter")))
    code = code_of(world.candy.answer_to(request, FORGE))
    assert (account.voucher, account.signed, dict(world.candy.store.scan("meter"))) == before
    return code


def rewritten(request: AskVoucher, **changes: object) -> AskVoucher:
    """Return the request with its last record changed and the sums to match, without batch."""
    usage = parse_canonical(request.records[-1], UsageRecord)
    changed = msgspec.structs.replace(usage, **changes)
    extra = changed.amount_microcredits - usage.amount_microcredits
    return msgspec.structs.replace(
        request,
        records=(*request.records[:-1], canonical_bytes(changed)),
        total_microcredits=Microcredits(request.total_microcredits + extra),
        batch=None,
    )


def test_received_calls_are_signed_for() -> None:
    """The voucher stands where the runner's batch stands: sequence, head and sum."""
    world, request = metered_world()
    reply = world.candy.answer_to(request, FORGE)
    assert isinstance(reply, VoucherSigned)
    voucher = verify_record(reply.voucher, Voucher, keys_of(CANDY).settlement.public_bytes)
    assert request.batch is not None
    assert position_of(voucher) == position_of(parse_canonical(request.batch.payload, RecordBatch))
    assert voucher.total_microcredits == HALF_WINDOW * CALL_MICROCREDITS


def test_voucher_and_records_are_durable_before_the_voucher_leaves() -> None:
    """After a crash we never sign less than we signed, and know which calls were charged."""
    world, request = metered_world()
    world.candy.answer_to(request, FORGE)
    written = [write.bucket for write in world.candy.effects.writes]
    assert sorted(written) == ["meter", "record", "record"]
    (account,) = world.candy.lease.accounts.values()
    world.candy.restart()
    (again,) = world.candy.lease.accounts.values()
    assert (again.voucher, again.signed) == (account.voucher, account.signed)
    assert list(world.candy.lease.paid) == [invocation_of(0), invocation_of(1)]


def test_asking_again_gets_the_same_voucher() -> None:
    """A repeated request is answered with the same bytes and writes nothing."""
    world, request = metered_world()
    first = world.candy.answer_to(request, FORGE)
    again = world.candy.answer_to(request, FORGE)
    assert isinstance(first, VoucherSigned)
    assert again == first
    assert world.candy.effects.writes == []


def test_asking_again_after_a_restart_gets_the_same_voucher() -> None:
    """The voucher is a row, so it outlives the process that signed it."""
    world, request = metered_world()
    first = world.candy.answer_to(request, FORGE)
    world.candy.restart()
    assert world.candy.answer_to(request, FORGE) == first


def test_an_unknown_meter_is_owed_nothing() -> None:
    """A meter key whose evidence we did not appraise is refused, whatever it signed."""
    world, request = metered_world()
    foreign = msgspec.structs.replace(request, meter_key=bytes(32))
    assert refusal_of(world, foreign) == "meter.voucher.unknown-meter"


def test_an_unknown_lease_is_owed_nothing() -> None:
    """A request under a lease we do not hold is refused."""
    world, request = metered_world()
    other = msgspec.structs.replace(request, lease=LeaseId("ab" * 32))
    assert code_of(world.candy.answer_to(other, FORGE)) == "market.lease.unknown"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"fuel": 1}, "meter.record.altered"),
        ({"status": "trap.fuel"}, "meter.record.altered"),
        ({"amount_microcredits": 0, "rs_ms": 0}, "meter.record.altered"),
        ({"amount_microcredits": 2 * CALL_MICROCREDITS, "rs_ms": 10}, "meter.record.terms"),
        ({"function": Digest("ab" * 32)}, "meter.record.terms"),
        ({"seq": 3}, "meter.record.chain"),
        ({"prev": Digest("ab" * 32)}, "meter.record.chain"),
        ({"invocation": invocation_of(0)}, "meter.record.charged-twice"),
    ],
    ids=str,
)
def test_an_altered_record_is_not_signed_for(changes: dict[str, object], code: str) -> None:
    """It differs from the one that came with its result, or from what the lease allows."""
    world, request = metered_world()
    assert refusal_of(world, rewritten(request, **changes)) == code


def test_a_sum_that_does_not_add_up_is_not_signed() -> None:
    """The total asked for is the sum of the records, to the microcredit."""
    world, request = metered_world()
    for dear in (
        msgspec.structs.replace(request, total_microcredits=request.total_microcredits + 1),
        msgspec.structs.replace(request, through_seq=request.through_seq + 1),
        msgspec.structs.replace(request, records=request.records[:1]),
    ):
        assert refusal_of(world, dear) == "meter.voucher.sum"


def test_a_batch_elsewhere_is_not_signed() -> None:
    """The runner's batch must stand exactly where the records end."""
    world, request = metered_world()
    runner = world.forge.runner
    assert runner is not None
    lease, key = LeaseId(request.lease), runner._meter_key
    ahead = ChainPosition(
        seq=3, head=digest_of(request.records[-1]), total_microcredits=Microcredits(1500)
    )
    moved = msgspec.structs.replace(request, batch=ahead.batch(lease, key))
    assert refusal_of(world, moved) == "meter.batch.differs"
    stranger = msgspec.structs.replace(request, batch=ahead.batch(lease, keys_of(FORGE).settlement))
    assert refusal_of(world, stranger) == "signing.envelope.unsigned"


def test_more_than_w_is_not_signed_at_once() -> None:
    """A provider that let more than W calls run unsigned broke the lease itself."""
    world, request = metered_world()
    many = msgspec.structs.replace(request, records=request.records * WINDOW_CALLS)
    assert refusal_of(world, many) == "meter.voucher.window"


def charged_again(world: World, request: AskVoucher) -> tuple[AskVoucher, ChainPosition]:
    """Return a request for the last call a second time, and where its records end."""
    world.candy.answer_to(request, FORGE)
    last = parse_canonical(request.records[-1], UsageRecord)
    third = msgspec.structs.replace(last, seq=3, prev=digest_of(request.records[-1]))
    again = msgspec.structs.replace(
        request,
        through_seq=3,
        total_microcredits=Microcredits(request.total_microcredits + CALL_MICROCREDITS),
        records=(canonical_bytes(third),),
        batch=None,
    )
    position = ChainPosition(
        seq=3, head=digest_of(again.records[-1]), total_microcredits=again.total_microcredits
    )
    return again, position


def test_a_charged_invocation_is_refused_after_its_voucher_too() -> None:
    """The same call charged again under the next number is owed once."""
    world, request = metered_world()
    again, _ = charged_again(world, request)
    assert refusal_of(world, again) == "meter.record.charged-twice"
    assert not world.candy.lease.is_overcharged


def test_a_runner_that_signed_for_a_call_twice_is_paid_by_voucher_only() -> None:
    """Its batch convicts the provider: nothing it claims beyond our vouchers is let pass."""
    world, request = metered_world()
    again, position = charged_again(world, request)
    runner = world.forge.runner
    assert runner is not None
    batch = position.batch(LeaseId(request.lease), runner._meter_key)
    proved = msgspec.structs.replace(again, batch=batch)
    assert refusal_of(world, proved) == "meter.record.charged-twice"
    assert world.candy.lease.is_overcharged


def test_a_claim_of_an_overcharged_lease_is_contradicted() -> None:
    """Even what looks like a lost call: it may be the one that was charged twice."""

    def overcharge(lease: HeldLease) -> None:
        lease.is_overcharged = True

    assert len(claimed_world(1, bend=overcharge).candy.noted("claim.contradicted")) == 1


def withheld_world() -> tuple[World, AskVoucher]:
    """Return a world whose provider executed one call, kept its result and wants to be paid."""
    world = open_world()
    call = sealed_call(world, 1)
    assert isinstance(world.forge.answer_to(call, CANDY), CallDone)
    world.holding = (AskVoucher, Call)
    world.run(6_000)
    (_, ask) = world.held[-1]
    assert isinstance(ask.request, AskVoucher)
    return world, ask.request


def test_a_withheld_reply_is_asked_for_before_signing() -> None:
    """We sent this call and have no result: the provider is told which, and gets nothing."""
    world, request = withheld_world()
    assert world.candy.answer_to(request, FORGE) == RepliesMissing(seqs=(1,))
    (account,) = world.candy.lease.accounts.values()
    assert account.signed.seq == 0


def test_a_late_reply_is_opened_and_then_paid() -> None:
    """With the sealed result in hand the voucher is signed."""
    world, request = withheld_world()
    (account,) = world.forge.lease.accounts.values()
    call = account.calls[1]
    late = LateReply(seq=1, session=call.session, record=call.reply)
    reply = world.candy.answer_to(msgspec.structs.replace(request, replies=(late,)), FORGE)
    assert isinstance(reply, VoucherSigned)
    assert parse_canonical(reply.voucher.payload, Voucher).through_seq == 1


def test_a_result_outlives_its_session() -> None:
    """Forge's runner dies before candy has a reply: candy keeps the keys, forge the sealed reply.

    Nothing is signed without the result, and the device's repeat needs no partner any more.
    """
    world = open_world()
    world.bend = lambda reply: GONE if isinstance(reply, CallDone) else reply
    assert world.read(1) == GONE
    world.forge.lose_runner()
    world.forge.start_runner()
    world.bend = lambda reply: reply
    world.run(6_000)
    lease = world.candy.lease
    assert sum(each.signed.seq for each in lease.accounts.values()) == 1
    assert lease.unseen_calls == 0
    calls = len(world.candy.asked(Call))
    scored = world.read(1)
    assert isinstance(scored, ReadingScored)
    assert scored.placed == FORGE
    assert len(world.candy.asked(Call)) == calls


def test_keys_of_few_ended_sessions_are_kept() -> None:
    """The oldest go first; what was sent in them can only be paid on the runner's word."""
    world = open_world()
    borrower = world.candy.node._borrower
    first = borrower.sessions.links[world.lease_id]
    for _ in range(ENDED_LINKS_MAX + 1):
        assert borrower.sessions.link_of(world.lease_id, first.session) is first
        borrower.sessions.drop_link(world.lease_id, borrower.sessions.links[world.lease_id])
        world.run(3_000)
    assert borrower.sessions.link_of(world.lease_id, first.session) is None


def test_a_session_that_never_was_is_no_excuse_for_a_result() -> None:
    """Its provider says in which session it was sealed; who never restarted knows them all."""
    world, request = withheld_world()
    late = LateReply(seq=1, session=999_999, record=bytes(64))
    lie = msgspec.structs.replace(request, replies=(late,))
    assert isinstance(world.candy.answer_to(lie, FORGE), RepliesMissing)
    (account,) = world.candy.lease.accounts.values()
    assert account.signed.total_microcredits == 0


def test_a_late_reply_that_came_after_all_is_no_reason_to_refuse() -> None:
    """Its first copy may arrive between our asking for it and the provider's sending it again."""
    world, request = metered_world()
    (account,) = world.forge.lease.accounts.values()
    call = account.calls[1]
    late = LateReply(seq=1, session=call.session, record=call.reply)
    reply = world.candy.answer_to(msgspec.structs.replace(request, replies=(late,)), FORGE)
    assert isinstance(reply, VoucherSigned)
    assert parse_canonical(reply.voucher.payload, Voucher).through_seq == HALF_WINDOW


def test_a_forged_late_reply_is_not_paid() -> None:
    """Noise in the result's place is refused like noise in its time."""
    world, request = withheld_world()
    (account,) = world.forge.lease.accounts.values()
    call = account.calls[1]
    late = LateReply(seq=1, session=call.session, record=call.reply[:-1] + b"\0")
    forged = msgspec.structs.replace(request, replies=(late,))
    assert refusal_of(world, forged) == "session.record.forged"


def test_a_provider_delivers_withheld_replies_by_itself() -> None:
    """Asked for what is missing, an honest provider sends it and is paid."""
    world, _ = withheld_world()
    world.holding = ()
    world.deliver(*world.held[-1])
    world.settle()
    (account,) = world.forge.lease.accounts.values()
    assert account.signed.seq == 1
    assert account.calls == {}


def test_lost_results_are_paid_on_the_runners_word_only() -> None:
    """After our restart we cannot open them: then the attested runner's batch decides."""
    world, request = withheld_world()
    world.candy.restart()
    bare = msgspec.structs.replace(request, batch=None)
    assert refusal_of(world, bare) == "meter.voucher.unproved"
    assert isinstance(world.candy.answer_to(request, FORGE), VoucherSigned)


def test_what_an_earlier_life_asked_is_paid_although_this_one_asks_again() -> None:
    """The keys of the first answer are gone; that the repeat waits for another holds up nothing."""
    world = open_world()
    world.forge.ask(sealed_call(world, 1), CANDY)
    world.settle()
    world.candy.restart()
    world.run(3_000)
    world.holding = (Call,)
    world.candy.ask(reading_of(1))
    world.settle()
    while world.held:
        world.time_out(*world.held.pop())
        world.settle()
    world.holding = ()
    world.run(WINDOW_MS)
    assert [each.signed.seq for each in world.forge.lease.accounts.values()] == [1]
    assert world.candy.lease.unseen_calls == 1
    assert isinstance(world.read(2), ReadingScored)


def test_an_empty_request_is_not_signed() -> None:
    """Without records there is nothing to sign for."""
    world, request = metered_world()
    empty = msgspec.structs.replace(request, records=(), batch=None)
    assert refusal_of(world, empty) in {"meter.voucher.empty", "meter.voucher.sum"}


def ended_world() -> World:
    """Return a world just after a lease with two signed calls ended; no other lease follows."""
    world = open_world()
    for number in range(HALF_WINDOW):
        world.read(number)
    world.holding = (AskOffer, AskStatement)
    world.run((world.candy.lease.terms.ends_ns - world.now_ns) / NS_PER_MS + 100)
    return world


def test_a_statement_of_our_vouchers_is_countersigned_and_logged() -> None:
    """Both signatures, its row and its log entry, before it leaves."""
    world = ended_world()
    (_, ask) = world.held[-1]
    assert isinstance(ask.request, AskStatement)
    reply = world.candy.answer_to(ask.request, FORGE)
    assert isinstance(reply, StatementSigned)
    keys = (keys_of(CANDY).settlement.public_bytes, keys_of(FORGE).settlement.public_bytes)
    statement = verify_record(reply.statement, Statement, *keys)
    assert statement.total_microcredits == HALF_WINDOW * CALL_MICROCREDITS
    assert sorted(write.bucket for write in world.candy.effects.writes) == ["entry", "statement"]
    assert world.candy.answer_to(ask.request, FORGE) == reply
    assert world.candy.effects.writes == []


def test_a_statement_over_another_sum_is_refused() -> None:
    """A statement must be the sum of our vouchers, not of the provider's wishes."""
    world = ended_world()
    (_, ask) = world.held[-1]
    assert isinstance(ask.request, AskStatement)
    honest = parse_canonical(ask.request.statement.payload, Statement)
    (line,) = honest.lines
    dear = msgspec.structs.replace(line, total_microcredits=line.total_microcredits + 1)
    statement = Statement(
        lease=honest.lease, lines=(dear,), total_microcredits=dear.total_microcredits
    )
    forged = AskStatement(statement=sign_record(statement, keys_of(FORGE).settlement))
    assert code_of(world.candy.answer_to(forged, FORGE)) == "meter.statement.differs"


def test_a_statement_before_the_end_is_refused() -> None:
    """More calls may follow while the lease runs."""
    world = open_world()
    statement = Statement(lease=world.lease_id, lines=(), total_microcredits=Microcredits(0))
    world.candy.lease.accounts.clear()
    early = AskStatement(statement=sign_record(statement, keys_of(FORGE).settlement))
    assert code_of(world.candy.answer_to(early, FORGE)) == "meter.statement.early"


def test_a_statement_the_provider_did_not_sign_is_refused() -> None:
    """Nobody else settles in the provider's name."""
    world = ended_world()
    (_, ask) = world.held[-1]
    assert isinstance(ask.request, AskStatement)
    statement = parse_canonical(ask.request.statement.payload, Statement)
    forged = AskStatement(statement=sign_record(statement, keys_of(CANDY).settlement))
    assert code_of(world.candy.answer_to(forged, FORGE)) == "signing.envelope.unsigned"


def test_a_vanished_provider_is_paid_what_was_signed() -> None:
    """Two graces after the end the requester closes alone with its own vouchers."""
    world = ended_world()
    lease_id = world.lease_id
    world.sides.pop(FORGE)
    world.holding = (AskOffer, AskStatement, AskVoucher)
    world.queue.clear()
    world.run(2 * GRACE_MS + 3_000)
    lease = world.hub.hub.ledger.lease(lease_id)
    assert lease is not None
    assert lease.status is LeaseStatus.CLOSING
    assert lease.posted_microcredits == HALF_WINDOW * CALL_MICROCREDITS


def signed_world(*, crashes: bool) -> World:
    """Return a world whose provider died before candy's signature under the statement came."""
    world = ended_world()
    (_, ask) = world.held[-1]
    assert isinstance(ask.request, AskStatement)
    world.sides.pop(FORGE)
    world.held.clear()
    world.candy.ask(ask.request, FORGE)
    if crashes:
        world.candy.restart()
    return world


@pytest.mark.parametrize("crashes", [False, True])
def test_a_statement_that_reached_nobody_else_is_settled(*, crashes: bool) -> None:
    """Both signed it, so its provider is paid although it never heard of it."""
    world = signed_world(crashes=crashes)
    lease_id = world.lease_id
    world.run(2 * GRACE_MS + 3_000)
    lease = world.hub.hub.ledger.lease(lease_id)
    assert lease is not None
    assert lease.status is LeaseStatus.SETTLED
    assert lease.posted_microcredits == HALF_WINDOW * CALL_MICROCREDITS


def test_a_closing_that_came_too_early_is_made_again_in_time() -> None:
    """A clock that ran ahead cost the requester one refusal, not its provider what is owed."""
    world = open_world()
    for number in range(HALF_WINDOW):
        world.read(number)
    candy, lease = world.candy, world.candy.lease
    world.holding = (AskVoucher, AskStatement, AskOffer)
    candy.later(lambda: candy.node._payer._end(lease))
    world.run(2_000)
    assert {"code": "ledger.close.early"}.items() <= candy.noted("command.answered")[-1].items()
    del world.sides[FORGE]
    world.run((lease.terms.ends_ns - world.now_ns) / NS_PER_MS + 2 * GRACE_MS + 3_000)
    on_ledger = world.hub.hub.ledger.lease(lease.lease_id)
    assert on_ledger is not None
    assert on_ledger.posted_microcredits == HALF_WINDOW * CALL_MICROCREDITS
    world.run(DISPUTE_MS)
    answered = [note["code"] for note in candy.noted("command.answered")]
    assert answered[-2:] == ["ledger.close.early", "done"]  # and then no more


def claimed_world(
    extra_calls: int,
    *,
    prepare: Callable[[World], None] = lambda _world: None,
    bend: Callable[[HeldLease], None] = lambda _lease: None,
    restart: bool = False,
) -> World:
    """Return a world whose provider claims this many calls beyond the voucher, batch in hand.

    Args:
        extra_calls: Claimed beyond the voucher; one of them was answered.
        prepare: What happens before that one.
        bend: Changes what candy holds of the lease after it.
        restart: Whether candy restarts then.
    """
    world = open_world()
    for number in range(HALF_WINDOW):
        world.read(number)
    world.holding = (AskOffer, AskStatement, AskVoucher)
    prepare(world)
    assert isinstance(world.read(99), ReadingScored)
    bend(world.candy.lease)
    if restart:
        world.candy.restart()
    lease = world.forge.lease
    (account,) = lease.accounts.values()
    runner = world.forge.runner
    assert runner is not None
    claimed = ChainPosition(
        seq=account.signed.seq + extra_calls,
        head=Digest("ab" * 32),
        total_microcredits=Microcredits(
            account.signed.total_microcredits + extra_calls * CALL_MICROCREDITS
        ),
    )
    batch = claimed.batch(lease.lease_id, runner._meter_key)
    world.run((lease.terms.ends_ns - world.now_ns) / NS_PER_MS + PERIOD_MS)
    claim = Claim(lease=lease.lease_id, vouchers=(account.voucher,), batches=(batch,))
    world.forge.later(lambda: world.forge.node._books.submit(claim))
    world.run(3_000)
    return world


def test_an_inflated_claim_is_contradicted() -> None:
    """A claim beyond our vouchers and received results is denied, and its excess never posts."""
    world = claimed_world(extra_calls=3)
    (noted,) = world.candy.noted("claim.contradicted")
    lease = world.hub.hub.ledger.lease(LeaseId(str(noted["lease"])))
    assert lease is not None
    assert lease.status is LeaseStatus.DISPUTED
    assert lease.posted_microcredits == HALF_WINDOW * CALL_MICROCREDITS


def test_a_claim_for_what_was_paid_before_is_contradicted() -> None:
    """Two runs of one invocation are owed once, whichever way the second is asked for."""
    world = claimed_world(1, bend=lambda lease: lease.paid.update({invocation_of(99): None}))
    assert len(world.candy.noted("claim.contradicted")) == 1
    (lease_id,) = world.candy.node._borrower.leases
    lease = world.hub.hub.ledger.lease(lease_id)
    assert lease is not None
    assert lease.posted_microcredits == HALF_WINDOW * CALL_MICROCREDITS


def test_a_free_repeat_does_not_hide_the_charge() -> None:
    """The record of a repeat costs nothing; the first run is owed all the same."""

    def repeat(lease: HeldLease) -> None:
        (account,) = lease.accounts.values()
        (call,) = account.calls.values()
        seq = call.usage.seq + 1
        free = msgspec.structs.replace(call.usage, seq=seq, amount_microcredits=Microcredits(0))
        account.calls[seq] = msgspec.structs.replace(call, usage=free)

    assert claimed_world(1, bend=repeat).candy.noted("claim.contradicted") == []


def test_a_true_claim_is_not_contradicted() -> None:
    """What we received and did not sign for yet is owed, also when claimed alone."""
    world = claimed_world(extra_calls=1)
    assert world.candy.noted("claim.contradicted") == []
    (lease_id,) = world.candy.node._borrower.leases
    lease = world.hub.hub.ledger.lease(lease_id)
    assert lease is not None
    assert lease.status is LeaseStatus.CLAIMED
    assert lease.pending_microcredits > 0


def test_a_claim_is_not_contradicted_after_our_restart() -> None:
    """What we received before is forgotten; what the attested runner signed is not."""
    world = claimed_world(extra_calls=1, restart=True)
    assert world.candy.noted("claim.contradicted") == []
    lease = world.hub.hub.ledger.lease(world.lease_id)
    assert lease is not None
    assert lease.status is LeaseStatus.CLAIMED
    assert lease.pending_microcredits == CALL_MICROCREDITS


def test_after_our_restart_a_claim_costs_at_most_w() -> None:
    """The ledger bounds what we can no longer check ourselves."""
    world = claimed_world(extra_calls=WINDOW_CALLS + 1, restart=True)
    assert world.candy.noted("claim.contradicted") == []
    lease = world.hub.hub.ledger.lease(world.lease_id)
    assert lease is not None
    assert lease.pending_microcredits == 0


def run_half_of_the_time_left(world: World) -> None:
    """Let half of the time pass in which a claim could be contradicted, and a little more."""
    lease = world.hub.hub.ledger.lease(world.lease_id)
    assert lease is not None
    left_ms = (parse_instant(lease.due) - world.now_ns) / NS_PER_MS
    world.run(left_ms / 2 + PERIOD_MS)


def test_a_claimed_call_whose_session_is_gone_may_still_be_shown() -> None:
    """Its runner died with the reply: nobody withholds it, and who is honest goes on asking."""
    world = claimed_world(extra_calls=2, prepare=lambda world: lose_session(world, 98))
    assert world.candy.noted("claim.contradicted") == []


def test_a_second_charge_hidden_among_lost_calls_is_contradicted() -> None:
    """A provider that claims what it never shows us may have charged another call once more."""
    world = claimed_world(extra_calls=2, prepare=lambda world: lose_session(world, 98))
    run_half_of_the_time_left(world)
    assert len(world.candy.noted("claim.contradicted")) == 1
    lease = world.hub.hub.ledger.lease(world.lease_id)
    assert lease is not None
    assert lease.posted_microcredits == HALF_WINDOW * CALL_MICROCREDITS


def test_a_lost_call_that_was_shown_is_not_contradicted() -> None:
    """Its record came in a proved request that we did not sign: it is owed all the same."""
    world = claimed_world(
        extra_calls=2,
        prepare=lambda world: lose_session(world, 98),
        bend=lambda lease: lease.show(invocation_of(98)),
    )
    run_half_of_the_time_left(world)
    assert world.candy.noted("claim.contradicted") == []


def test_a_provider_that_is_asked_to_claim_has_shown_its_records() -> None:
    """What we refuse to sign because too many results were lost counts as shown, if we sent it."""
    world, request = withheld_world()
    lease, invocation = world.candy.lease, invocation_of(1)
    lease.expect(invocation)
    world.candy.node._borrower.sessions.links.clear()
    lease.unseen_calls = WINDOW_CALLS
    assert refusal_of(world, request) == "meter.voucher.unseen"
    assert list(lease.shown) == [invocation]


def test_a_claimed_call_whose_result_is_withheld_is_contradicted() -> None:
    """The session lives, so the provider could hand us the result it wants to be paid for."""
    world = claimed_world(extra_calls=2, prepare=lambda world: send_in_vain(world, 98))
    run_half_of_the_time_left(world)
    assert len(world.candy.noted("claim.contradicted")) == 1


def send_in_vain(world: World, number: int) -> None:
    """Have candy send a call that gets no reply."""
    before, world.holding = world.holding, (*world.holding, Call)
    world.candy.ask(reading_of(number))
    world.settle()
    while world.held and isinstance(world.held[-1][1].request, Call):
        world.time_out(*world.held.pop())
        world.settle()
    world.holding = before
    world.run(PERIOD_MS)


def lose_session(world: World, number: int) -> None:
    """Have candy send a call that gets no reply, and its session end with the runner's word."""
    send_in_vain(world, number)
    link = world.candy.node._borrower.sessions.links[world.lease_id]
    world.candy.node._borrower.sessions.drop_link(world.lease_id, link)
    world.run(3_000)


def test_the_accounts_key_is_the_appraised_one() -> None:
    """The opening voucher inside message 3 names the meter key that the evidence bound."""
    world = open_world()
    assert len(world.candy.asked(FinishSession)) == 1
    assert world.forge.runner is not None
    (account,) = world.candy.lease.accounts.values()
    assert account.meter_key == world.forge.runner._meter_key.public_bytes
    requester = founded().consortium.member(CANDY).settlement_key
    opening = verify_record(account.voucher, Voucher, requester)
    assert (opening.through_seq, opening.total_microcredits) == (0, 0)
