"""The lending side's bounds: who may call, how soon, how often, and under which windows."""

import msgspec
import pytest

from mutualedge.meter import CHAIN_START, METERS_MAX, UsageRecord
from mutualedge.model import NS_PER_MS, Nanoseconds, format_instant
from mutualedge.node.leases import ATTESTATION, RECORD, MeterAccount, RecordRow
from mutualedge.node.offering import STARTS_AHEAD_MAX_NS
from mutualedge.node.provider import REPEATS_MAX
from mutualedge.protocol import (
    AskOffer,
    Breach,
    CallDone,
    ExecutedLocal,
    FinishSession,
    OpenSession,
    Refused,
    Reply,
    RunnerAnswered,
    RunnerHello,
    SessionOffered,
    encode_sealed,
    parse_sealed,
)
from mutualedge.session import Initiator
from mutualedge.signing import SigningKey, parse_canonical, verify_record
from tests.simulation.founding import keys_of, seed_of
from tests.unit.node_world import (
    CANDY,
    DISPUTE_MS,
    FORGE,
    GRACE_MS,
    WINDOW_CALLS,
    WINDOW_MS,
    World,
    code_of,
    joined_world,
    open_world,
    reading_of,
    sealed_call,
)
from tests.unit.test_node_provider import lent, proposed
from tests.unit.test_runner_orders import NONCE, new_initiator, opening_of


def test_a_lease_is_its_requesters_only() -> None:
    """Nobody else calls, opens a session or finishes one under it."""
    world = open_world()
    requests = (
        sealed_call(world, 1),
        world.candy.asked(OpenSession)[-1],
        world.candy.asked(FinishSession)[-1],
    )
    for request in requests:
        assert code_of(world.forge.answer_to(request, "mill")) == "market.lease.not-yours"
    assert not world.forge.lease.open_calls


def test_a_call_without_time_for_a_job_is_not_run() -> None:
    """Its result would be late at the worst case, and would be charged."""
    world = open_world()
    late = msgspec.structs.replace(
        sealed_call(world, 1), remaining_ns=Nanoseconds(5 * NS_PER_MS - 1)
    )
    assert code_of(world.forge.answer_to(late, CANDY)) == "market.call.too-late"
    assert not world.forge.lease.open_calls


def test_a_call_at_the_very_end_of_a_lease_is_not_run() -> None:
    """A job that could end after the lease is not started under it."""
    world = open_world()
    world.holding = (AskOffer,)
    call = sealed_call(world, 1)
    ends_in_ms = (world.forge.lease.terms.ends_ns - world.now_ns) / NS_PER_MS
    world.run(ends_in_ms - 19)
    assert code_of(world.forge.answer_to(call, CANDY)) == "market.lease.ending"


def test_repeats_that_wait_are_bounded() -> None:
    """One call cannot make the node remember any number of askers."""
    world = open_world()
    call = sealed_call(world, 1)
    ask_ids = [world.forge.ask(call, CANDY) for _ in range(REPEATS_MAX + 2)]
    world.settle()
    replies = [world.forge.replies[ask_id] for ask_id in ask_ids]
    assert [isinstance(reply, CallDone) for reply in replies].count(True) == REPEATS_MAX
    assert {code_of(reply) for reply in replies} == {"", "market.call.in-flight"}


def test_an_invocation_runs_in_one_session_at_a_time() -> None:
    """The same invocation through a second session waits for the first one's end."""
    world = open_world()
    call = sealed_call(world, 1)
    first = world.forge.ask(call, CANDY)
    other = msgspec.structs.replace(call, session=call.session + 1)
    assert code_of(world.forge.replies[world.forge.ask(other, CANDY)]) == "market.call.in-flight"
    world.settle()
    assert isinstance(world.forge.replies[first], CallDone)


def test_promised_time_that_is_not_there_is_a_signed_breach() -> None:
    """An unreserved lease inside its window is the provider's fault, and it says so."""
    world = open_world()
    call = sealed_call(world, 1)
    world.forge.node._provider._reserved.clear()
    reply = world.forge.answer_to(call, CANDY)
    assert isinstance(reply, Refused)
    assert reply.code == "market.lease.not-reserved"
    assert reply.breach is not None
    breach = verify_record(reply.breach, Breach, keys_of(FORGE).node.public_bytes)
    assert breach.invocation == call.invocation


@pytest.mark.parametrize(
    "changes",
    [
        {"dispute_window_ms": DISPUTE_MS - 1},
        {"dispute_window_ms": 4 * GRACE_MS - 1},
        {"window_calls": WINDOW_CALLS + 1},
        {"window_ms": WINDOW_MS + 1},
        {"window_ms": WINDOW_MS // 2 - 1},
        {"window_ms": 0},
    ],
    ids=str,
)
def test_windows_we_cannot_settle_under_are_refused(changes: dict[str, object]) -> None:
    """Too short to claim in, too wide to lose, or too narrow to be paid in."""
    world = joined_world()
    reply = world.forge.answer_to(proposed(world, **changes), CANDY)
    assert code_of(reply) == "market.proposal.settlement"
    assert lent(world) == 0


def test_a_lease_for_the_far_future_is_refused() -> None:
    """A place that nobody pays for cannot be held for longer than a day ahead."""
    world = joined_world()
    starts_ns = world.now_ns + STARTS_AHEAD_MAX_NS + NS_PER_MS
    request = proposed(
        world,
        starts=format_instant(starts_ns),
        ends=format_instant(starts_ns + 60_000 * NS_PER_MS),
    )
    assert code_of(world.forge.answer_to(request, CANDY)) == "market.proposal.window"


def test_a_lease_promised_first_comes_before_own_jobs() -> None:
    """While a promise waits for room, jobs of our own are sent elsewhere."""
    world = joined_world()
    dispatcher = world.forge.node._dispatcher
    dispatcher.make_room("lease")
    reply = world.forge.answer_to(reading_of(1))
    assert code_of(reply) == "market.lease.none"
    assert isinstance(reply, Refused)
    assert "promise to a partner" in reply.sentence
    dispatcher.stop_making_room("lease")
    assert code_of(world.forge.answer_to(reading_of(2))) == ""


def shake_hands(world: World) -> tuple[Initiator, SessionOffered, RunnerHello]:
    """Return a handshake with forge's runner up to message 2, with an initiator of our own."""
    agreement = world.forge.lease.agreement
    initiator = new_initiator(agreement)
    request = OpenSession(
        lease=world.forge.lease.lease_id,
        trust_version=1,
        nonce=NONCE,
        message=initiator.write_message_1(b""),
    )
    offered = world.forge.answer_to(request, CANDY)
    assert isinstance(offered, SessionOffered)
    return initiator, offered, parse_sealed(initiator.read_message_2(offered.message), RunnerHello)


def finished(world: World, meter_key: bytes | None, key: SigningKey) -> Reply:
    """Return the answer to a message 3 whose opening voucher names this meter, signed so."""
    initiator, offered, hello = shake_hands(world)
    lease_id = world.forge.lease.lease_id
    opening = msgspec.structs.replace(
        opening_of(lease_id, initiator, hello),
        voucher=CHAIN_START.voucher(lease_id, meter_key or hello.meter_key, key),
    )
    message = initiator.write_message_3(encode_sealed(opening))
    request = FinishSession(lease=lease_id, session=offered.session, message=message)
    return world.forge.answer_to(request, CANDY)


def test_the_opening_voucher_must_name_this_meter() -> None:
    """A voucher for another meter key opens nothing here."""
    world = open_world()
    settlement = keys_of(CANDY).settlement
    assert code_of(finished(world, bytes(32), settlement)) == "meter.voucher.opening"
    assert code_of(finished(world, None, settlement)) == ""


def test_the_opening_voucher_must_be_the_requesters() -> None:
    """Nobody else promises to pay under this lease."""
    world = open_world()
    reply = finished(world, None, keys_of(FORGE).settlement)
    assert code_of(reply) == "signing.envelope.unsigned"


def test_runner_starts_under_a_lease_are_bounded() -> None:
    """A runner that cannot stay up ends the lease's sessions, not the statement's bound."""
    world = open_world()
    accounts = world.forge.lease.accounts
    for number in range(METERS_MAX - 1):
        key = SigningKey(seed_of("meter", f"{number}"))
        accounts[key.key_id] = MeterAccount(
            meter_key=key.public_bytes, voucher=world.forge.lease.agreement
        )
    world.forge.lose_runner()
    world.forge.start_runner()
    world.settle()
    reply = finished(world, None, keys_of(CANDY).settlement)
    assert code_of(reply) == "meter.accounts.full"
    assert len(accounts) == METERS_MAX


def test_sessions_that_nobody_uses_leave_no_rows() -> None:
    """Evidence is kept for an account and for records; opening sessions fills no disk."""
    world = open_world()
    forge = world.forge
    assert len(tuple(forge.store.scan(ATTESTATION))) == 1
    for _ in range(3):
        assert code_of(finished(world, None, keys_of(CANDY).settlement)) == ""
    assert len(tuple(forge.store.scan(ATTESTATION))) == 1


def test_a_record_brings_the_evidence_of_its_session() -> None:
    """A second session of one runner is archived with its first record, not later."""
    world = open_world()
    world.candy.restart()
    world.run(3_000)
    assert len(tuple(world.forge.store.scan(ATTESTATION))) == 1
    assert isinstance(world.forge.answer_to(sealed_call(world, 1), CANDY), CallDone)
    kept = {key.rpartition("/")[2] for key, _ in world.forge.store.scan(ATTESTATION)}
    ((_, raw),) = world.forge.store.scan(RECORD)
    row = msgspec.msgpack.decode(raw, type=RecordRow)
    assert parse_canonical(row.usage, UsageRecord).attestation in kept
    assert len(kept) == 2


def test_a_runner_that_answers_something_else_is_told() -> None:
    """The asker learns that the runner misbehaves; nothing is taken for an answer."""
    world = open_world()
    world.forge.runner = None
    ask_id = world.forge.ask(world.candy.asked(OpenSession)[-1], CANDY)
    odd = ExecutedLocal(job=1, status="ok", response=b"")
    world.forge.handle(RunnerAnswered(answer=odd))
    assert code_of(world.forge.replies[ask_id]) == "node.runner.confused"
