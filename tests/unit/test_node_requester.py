"""The borrowing side's calls: booked, sealed, one question when repeated, believed if proved."""

from dataclasses import replace

import msgspec
import pytest

from mutualedge.model import NS_PER_MS, EnterpriseId, Microcredits
from mutualedge.node.requester import SENDS_MAX
from mutualedge.protocol import (
    AskOffer,
    AskStatement,
    AskVoucher,
    Call,
    CallDone,
    ReadingScored,
    Refused,
    Reply,
)
from tests.unit.node_world import (
    CANDY,
    FORGE,
    LEASE_MS,
    PERIOD_MS,
    REMAINING_MS,
    WINDOW_MS,
    World,
    code_of,
    joined_world,
    node_settings,
    open_world,
    reading_of,
    sealed_call,
)

HARBOUR = EnterpriseId("harbour")

JOB_MS = 5
"""Candy's own job budget."""


def test_a_call_comes_back_with_its_result_and_its_record() -> None:
    """The device gets its scores; the record waits to be signed for."""
    world = open_world()
    reply = world.read(1)
    assert isinstance(reply, ReadingScored)
    assert (reply.placed, reply.assurance) == (FORGE, "simulated")
    (account,) = world.candy.lease.accounts.values()
    assert [call.usage.invocation for call in account.calls.values()] == [reply.invocation]


def test_no_lease_is_said_so() -> None:
    """Before any lease is open a call fails at once with the reason."""
    world = joined_world()
    world.holding = (AskOffer,)
    assert code_of(world.read(1)) == "market.lease.none"


def test_a_deadline_no_slot_keeps_is_refused_before_sending() -> None:
    """The booking is local: a call that cannot be back in time never leaves."""
    world = open_world()
    assert code_of(world.read(1, remaining_ms=25)) == "booking.job.deadline"
    assert world.candy.asked(Call) == []


def test_a_second_call_takes_the_next_slot() -> None:
    """Two calls at once: the second is booked a period later, or refused if that is too late."""
    world = open_world()
    first = world.candy.ask(reading_of(1, "a", remaining_ms=REMAINING_MS))
    late = world.candy.ask(reading_of(2, "b", remaining_ms=REMAINING_MS))
    patient = world.candy.ask(reading_of(3, "c", remaining_ms=REMAINING_MS + PERIOD_MS))
    world.run(100)
    codes = [code_of(world.candy.replies[ask_id]) for ask_id in (first, late, patient)]
    assert codes == ["", "booking.job.deadline", ""]


def test_a_lease_that_ends_before_the_result_is_not_booked() -> None:
    """The last slots of a lease are left alone when their job would end after it."""
    world = open_world()
    world.holding = (AskOffer,)
    world.run((world.candy.lease.terms.ends_ns - world.now_ns) / NS_PER_MS - PERIOD_MS)
    assert code_of(world.read(1)) == "booking.lease.ended"


def test_an_expired_lease_is_not_booked() -> None:
    """After its end a lease takes no call, although it is not settled and its session stands."""
    world = open_world()
    world.holding = (AskOffer, AskStatement)
    world.run((world.candy.lease.terms.ends_ns - world.now_ns) / NS_PER_MS)
    assert world.candy.node.snapshot().sessions == 1
    assert code_of(world.read(1)) == "market.lease.none"
    assert world.candy.asked(Call) == []


def test_a_result_at_another_price_is_not_taken() -> None:
    """A genuine session whose record charges more than the lease says: no result, no debt."""
    world = open_world()
    assert world.forge.runner is not None
    for session in world.forge.runner._sessions.values():
        dear = Microcredits(2 * session.terms.price_microcredits)
        session.terms = msgspec.structs.replace(session.terms, price_microcredits=dear)
    assert code_of(world.read(1)) == "meter.record.terms"
    (account,) = world.candy.lease.accounts.values()
    assert account.calls == {}


def test_a_lost_call_is_repeated_as_the_same_question() -> None:
    """Each repeat carries the same sealed bytes, so that it is executed and charged once."""
    world = open_world()
    world.holding = (Call,)
    ask_id = world.candy.ask(reading_of(1))
    world.settle()
    world.time_out(*world.held.pop())
    world.settle()
    world.deliver(*world.held.pop())
    world.settle()
    first, second = world.candy.asked(Call)
    assert (first.invocation, first.record) == (second.invocation, second.record)
    assert isinstance(world.candy.replies[ask_id], ReadingScored)


def test_a_call_is_repeated_a_few_times_only() -> None:
    """A partner that never answers is given up, with the reason of the last attempt."""
    world = open_world()
    world.holding = (Call,)
    ask_id = world.candy.ask(reading_of(1))
    world.settle()
    while world.held:
        world.time_out(*world.held.pop())
        world.settle()
    assert len(world.candy.asked(Call)) == SENDS_MAX
    assert code_of(world.candy.replies[ask_id]) == "test.timeout"


def silenced_world() -> World:
    """Return a world in which forge said nothing to a call, and still holds its tongue."""
    world = open_world()
    world.holding = (Call,)
    world.candy.ask(reading_of(1))
    world.settle()
    while world.held:
        world.time_out(*world.held.pop())
        world.settle()
    return world


def test_a_silent_partner_gets_one_call_at_a_time() -> None:
    """Until it is heard again nobody else waits for it; then all is as before."""
    world = silenced_world()
    patient_ms = REMAINING_MS + 10 * PERIOD_MS
    probe, other = (
        world.candy.ask(reading_of(number, device, remaining_ms=patient_ms))
        for number, device in ((2, "b"), (3, "c"))
    )
    world.settle()
    assert code_of(world.candy.replies[other]) == "market.partner.silent"
    world.holding = ()
    world.deliver(*world.held.pop())
    world.run(PERIOD_MS)
    assert code_of(world.candy.replies[probe]) == ""
    again = [
        world.candy.ask(reading_of(number, device, remaining_ms=patient_ms))
        for number, device in ((4, "d"), (5, "e"))
    ]
    world.run(patient_ms)
    assert [code_of(world.candy.replies[each]) for each in again] == ["", ""]


def test_a_silent_partner_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has another partner asks that one first."""
    world = silenced_world()
    borrower, requester = world.candy.node._borrower, world.candy.node._requester
    ((lease, link),) = borrower.ready()
    terms = msgspec.structs.replace(lease.terms, provider=HARBOUR)
    pairs = [(lease, link), (replace(lease, terms=terms), link)]
    monkeypatch.setattr(borrower, "ready", lambda: iter(pairs))
    assert [each.terms.provider for each, _ in requester._hopeful()] == [HARBOUR, FORGE]


def test_a_call_is_not_repeated_after_its_deadline() -> None:
    """Nobody waits for the result any more."""
    world = open_world()
    world.holding = (Call,)
    world.candy.ask(reading_of(1))
    world.run(REMAINING_MS + 1)
    world.time_out(*world.held.pop())
    assert len(world.candy.asked(Call)) == 1


def test_each_try_leaves_time_for_the_next() -> None:
    """All tries together leave time to run it here, in case the partner stays silent."""
    world = open_world()
    world.holding = (Call,)
    world.candy.ask(reading_of(1))
    world.settle()
    while world.held:
        _, ask = world.held[-1]
        world.run(ask.timeout_ns / NS_PER_MS)
        world.time_out(*world.held.pop())
        world.settle()
    timeouts_ns = [ask.timeout_ns for ask in world.candy.sent if isinstance(ask.request, Call)]
    assert len(timeouts_ns) == SENDS_MAX
    assert sum(timeouts_ns) <= (REMAINING_MS - JOB_MS) * NS_PER_MS


def test_a_call_too_short_to_run_here_gets_all_its_time() -> None:
    """Where no home run could follow, the partner has the whole deadline."""
    requester = open_world().candy.node._requester
    assert requester._patience_ns(2 * JOB_MS * NS_PER_MS) == JOB_MS * NS_PER_MS
    assert requester._patience_ns(2 * JOB_MS * NS_PER_MS - 1) == 2 * JOB_MS * NS_PER_MS - 1


def test_a_late_reply_answers_the_device_that_still_waits() -> None:
    """The result that comes with the request for a voucher is the one it asked for."""
    world = open_world()
    ask_id = lost_reply(world, remaining_ms=3 * WINDOW_MS)
    assert ask_id not in world.candy.replies
    world.run(WINDOW_MS)
    scored = world.candy.replies[ask_id]
    assert isinstance(scored, ReadingScored)
    assert scored.placed == FORGE
    world.holding = ()
    world.run(3 * WINDOW_MS)
    assert len(world.candy.asked(Call)) == 1
    assert world.candy.node.snapshot().readings.offloaded == 1


def test_a_reply_that_comes_after_the_late_one_is_dropped() -> None:
    """The call has its result; the same reply again is neither opened nor delivered."""
    world = open_world()
    ask_id = lost_reply(world, remaining_ms=3 * WINDOW_MS)
    world.run(WINDOW_MS)
    assert isinstance(world.candy.replies.pop(ask_id), ReadingScored)
    late = [entry for entry in world.held if isinstance(entry[1].request, Call)]
    world.deliver(*late[0])
    world.settle()
    assert ask_id not in world.candy.replies
    assert world.candy.noted("reply.refused") == []


def test_a_result_after_the_failure_answers_the_repeat() -> None:
    """Told of the failure the device asks the same again: no second execution, one charge."""
    world = open_world()
    ask_id = lost_reply(world, remaining_ms=REMAINING_MS)
    world.run(REMAINING_MS)
    world.time_out(*world.held.pop(0))
    assert isinstance(world.candy.replies[ask_id], Refused)
    world.holding = ()
    world.run(WINDOW_MS)
    assert isinstance(world.candy.answer_to(reading_of(1)), ReadingScored)
    assert len(world.candy.asked(Call)) == 1


def test_a_result_after_the_failure_answers_nothing_else() -> None:
    """Other readings are scored anew, whatever came late."""
    world = open_world()
    lost_reply(world, remaining_ms=REMAINING_MS)
    world.run(REMAINING_MS)
    world.time_out(*world.held.pop(0))
    world.holding = ()
    world.run(WINDOW_MS)
    assert isinstance(world.read(2), ReadingScored)
    assert len(world.candy.asked(Call)) == 2


def test_a_late_result_is_first_while_the_reading_is_scored_here() -> None:
    """The partner failed us and our own runner works on it: the device gets one answer."""
    world = open_world()
    ask_id = lost_reply(world, remaining_ms=WINDOW_MS)
    world.candy.start_runner()
    world.settle()
    runner, world.candy.runner = world.candy.runner, None
    world.run(WINDOW_MS * 0.45)
    while world.held:
        world.time_out(*world.held.pop(0))
        world.settle()
    assert world.candy.orders, "the reading waits for our own runner"
    world.run(WINDOW_MS * 0.1)
    assert isinstance(world.candy.replies.pop(ask_id), ReadingScored)
    world.candy.runner = runner
    world.settle()
    assert ask_id not in world.candy.replies
    counts = world.candy.node.snapshot().readings
    assert (counts.offloaded, counts.local) == (1, 0)


def test_two_devices_cannot_share_an_invocation() -> None:
    """The second is told at once, and the first still gets its result."""
    world = open_world()
    first = world.candy.ask(reading_of(1, "a"))
    second = world.candy.ask(reading_of(1, "b", remaining_ms=REMAINING_MS + PERIOD_MS))
    assert code_of(world.candy.replies[second]) == "node.device.invocation"
    world.run(100)
    assert isinstance(world.candy.replies[first], ReadingScored)


def lost_reply(world: World, remaining_ms: int) -> int:
    """Have forge execute a call whose reply gets lost; return who asked for it."""
    world.holding = (Call,)
    ask_id = world.candy.ask(reading_of(1, remaining_ms=remaining_ms))
    world.settle()
    (_, ask) = world.held[-1]
    assert isinstance(world.forge.answer_to(ask.request, CANDY), CallDone)
    return ask_id


def bend_record(world: World, flip: int) -> None:
    """Have every sealed reply arrive with one byte changed."""

    def bend(reply: Reply) -> Reply:
        if not isinstance(reply, CallDone):
            return reply
        raw = bytearray(reply.record)
        raw[flip] ^= 1
        return CallDone(record=bytes(raw))

    world.bend = bend


@pytest.mark.parametrize(
    ("flip", "code"),
    [
        (-1, "session.record.forged"),
        (30, "session.record.forged"),
        (0, "session.record.malformed"),
        (5, "session.record.foreign"),
    ],
)
def test_an_altered_reply_is_not_believed(flip: int, code: str) -> None:
    """One changed byte: no result, no record, nothing to pay."""
    world = open_world()
    bend_record(world, flip)
    assert code_of(world.read(1)) == code
    assert {note["code"] for note in world.candy.noted("reply.refused")} == {code}
    (account,) = world.candy.lease.accounts.values()
    assert account.calls == {}


def test_a_reply_to_another_call_is_not_believed() -> None:
    """A partner cannot answer a new question with an old answer."""
    world = open_world()
    old = world.forge.answer_to(sealed_call(world, 1, "a"), CANDY)
    assert isinstance(old, CallDone)
    world.run(PERIOD_MS)
    assert isinstance(world.read(2, "b"), ReadingScored)
    world.bend = lambda reply: old if isinstance(reply, CallDone) else reply
    world.read(3, "c")
    world.read(4, "d")
    codes = [note["code"] for note in world.candy.noted("reply.refused")]
    assert codes[-1] == "session.record.replayed"


def test_a_session_the_partner_forgot_is_replaced() -> None:
    """A refusal that starts with session drops the link; the next tending opens another."""
    world = open_world()
    world.bend = lambda reply: (
        Refused(code="session.unknown", sentence="Gone.") if isinstance(reply, CallDone) else reply
    )
    assert code_of(world.read(1)) == "session.unknown"
    assert world.candy.node.snapshot().sessions == 0
    world.bend = lambda reply: reply
    world.run(2_000)
    assert isinstance(world.read(2), ReadingScored)


def test_another_refusal_keeps_the_session() -> None:
    """A partner that is full for the moment is asked again in the same session."""
    world = open_world()
    world.holding = (AskVoucher,)
    for number in range(5):
        reply = world.read(number)
    assert code_of(reply) == "meter.window.exceeded"
    assert world.candy.node.snapshot().sessions == 1


def test_a_breach_is_noted() -> None:
    """A signed refusal inside a lease is told to the operator, with its lease."""
    world = open_world()
    sessions = dict(world.forge.node._provider.admittance._sessions)
    world.forge.lose_runner()
    world.forge.node._provider.admittance._sessions.update(sessions)
    assert code_of(world.read(1)) == "node.runner.absent"
    (noted,) = world.candy.noted("lease.breached")
    assert noted == {"lease": world.lease_id, "code": "node.runner.absent"}


def test_an_answer_of_the_wrong_kind_fails_the_call() -> None:
    """Whatever the partner says instead of a result, the device is told."""
    world = open_world()
    scored = ReadingScored(
        invocation=reading_of(1).invocation,
        scores=(),
        flags=(),
        placed="forge",
        assurance="own",
        timing="enforced",
    )
    world.bend = lambda reply: scored if isinstance(reply, CallDone) else reply
    assert code_of(world.read(1)) == "protocol.reply.misplaced"


def test_the_next_lease_waits_for_its_start() -> None:
    """While one lease runs, the one agreed for afterwards takes no call."""
    borrowing = node_settings(CANDY).borrowing
    assert borrowing is not None
    settings = replace(
        node_settings(CANDY), borrowing=replace(borrowing, renew_before_ms=LEASE_MS // 2)
    )
    world = open_world(settings)
    first = world.lease_id
    world.run(LEASE_MS / 2 + 3_000)
    assert len(world.candy.node._borrower.leases) == 2
    world.read(1)
    assert world.candy.asked(Call)[-1].lease == first


def test_a_call_tells_how_much_time_remains() -> None:
    """Deadlines travel as remaining time, because the partner's clock is its own."""
    world = open_world()
    assert sealed_call(world, 1).remaining_ns == REMAINING_MS * NS_PER_MS
    world.run(PERIOD_MS)
    assert sealed_call(world, 2, "b").remaining_ns == REMAINING_MS * NS_PER_MS
