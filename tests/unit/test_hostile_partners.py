"""Partners and devices that found a gap once: each attack by its own steps, and what stops it."""

from collections.abc import Callable

import msgspec
import pytest

from mutualedge.errors import PeerError
from mutualedge.functions import anomaly
from mutualedge.ledger import Command, OpenLease
from mutualedge.market import Agreement, commitment_of
from mutualedge.model import (
    NS_PER_MS,
    InvocationId,
    LeaseId,
    Microcredits,
    Nanoseconds,
    format_instant,
)
from mutualedge.node.leases import HeldLease
from mutualedge.node.links import Link
from mutualedge.protocol import (
    Ask,
    AskVoucher,
    Call,
    CallDone,
    LeaseSigned,
    ReadingScored,
    Refused,
    Reply,
    SessionOffered,
    SubmitCommands,
)
from mutualedge.signing import parse_canonical, sign_record
from tests.simulation.founding import keys_of
from tests.unit.node_world import (
    CANDY,
    FORGE,
    PERIOD_MS,
    Side,
    World,
    code_of,
    invocation_of,
    joined_world,
    open_world,
    reading_of,
)
from tests.unit.test_node_provider import proposal_of, terms_of

REQUEST = anomaly.encode_request(anomaly.INITIAL_STATE, (20.0, 20.5))


def leased_again(world: World, **terms: object) -> tuple[HeldLease, Link]:
    """Return a second lease of candy's at forge with terms of its own, and its session."""
    wanted = terms_of(world, **terms)
    signed = world.forge.answer_to(proposal_of(wanted, keys_of(CANDY).settlement), CANDY)
    assert isinstance(signed, LeaseSigned)
    held = HeldLease(
        lease_id=LeaseId(signed.agreement.payload_digest),
        terms=wanted,
        agreement=signed.agreement,
        commitment=signed.commitment,
    )
    world.candy.later(lambda: world.candy.node._borrower._adopt(held))
    world.run(2_500)
    return held, world.candy.node._borrower.sessions.links[held.lease_id]


def called(world: World, lease: HeldLease, link: Link, number: int) -> Reply:
    """Return forge's answer to a sealed call."""
    invocation = invocation_of(number)
    request = Call(
        lease=lease.lease_id,
        session=link.session,
        invocation=invocation,
        record=link.seal(invocation, REQUEST),
        remaining_ns=Nanoseconds(40 * NS_PER_MS),
    )
    ask_id = world.forge.ask(request, CANDY)
    world.settle()
    return world.forge.replies[ask_id]


def test_a_lease_is_open_only_under_its_own_commitment() -> None:
    """Who opens another commitment under a lease's identity gets nothing run."""
    world = joined_world()

    def squat(reply: Reply) -> Reply:
        if isinstance(reply, LeaseSigned):
            terms = parse_canonical(reply.agreement.payload, Agreement)
            told = commitment_of(LeaseId(reply.agreement.payload_digest), terms)
            free = msgspec.structs.replace(told, cost_max_microcredits=Microcredits(0))
            both = keys_of(CANDY).settlement, keys_of(FORGE).settlement
            action = OpenLease(commitment=sign_record(free, *both))
            command = Command(enterprise=CANDY, id=InvocationId(told.lease[:32]), action=action)
            first = SubmitCommands(commands=(sign_record(command, keys_of(CANDY).settlement),))
            world.hub.ask(first, CANDY)
        return reply

    world.bend = squat
    world.run(3_000)
    assert world.candy.node.snapshot().sessions == 0
    assert not isinstance(world.read(1), CallDone)
    lent = world.forge.node._provider.leases.values()
    assert [each.open_calls for each in lent] == [0] * len(lent)


def test_no_call_is_queued_beyond_its_lease() -> None:
    """A job whose turn comes after the end is refused: it could be neither run nor paid."""
    world = open_world()
    ends = format_instant(world.now_ns + 5_000 * NS_PER_MS)
    lease, link = leased_again(
        world, period_ns=10 * 86_400 * 10**9, opens_by=ends, ends=ends, nonce="8" * 32
    )
    replies = [called(world, lease, link, number) for number in range(100, 103)]
    assert isinstance(replies[0], CallDone)
    assert [code_of(reply) for reply in replies[1:]] == ["market.lease.ending"] * 2
    dispatcher = world.forge.node._dispatcher
    world.run(60_000)
    assert dispatcher._processor.can_occupy(world.now_ns)
    assert not dispatcher._errands


def test_a_lease_runs_no_more_calls_than_it_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ledger could not post is not run, whatever the processor has room for."""
    world = open_world()
    lease = world.forge.lease
    lease.told = msgspec.structs.replace(
        lease.told, cost_max_microcredits=Microcredits(2 * lease.terms.call_microcredits)
    )
    monkeypatch.setattr(world.forge.node._provider, "_active", lambda *_: lease)
    link = world.candy.node._borrower.sessions.links[lease.lease_id]
    codes = []
    for number in range(3):
        codes.append(code_of(called(world, lease, link, number)))
        world.run(PERIOD_MS)
    assert codes == ["", "", "market.lease.spent"]


def test_an_invocation_that_is_paid_carries_no_other_request() -> None:
    """Under one invocation a requester gets one result, not as many as it likes."""
    world = open_world()
    lease, link = world.candy.lease, world.candy.node._borrower.sessions.links[world.lease_id]
    assert isinstance(world.read(1), ReadingScored)
    world.forge.later(lambda: world.forge.node._provider._collector.collect(world.forge.lease))
    world.run(1_500)
    assert invocation_of(1) in world.forge.lease.paid
    assert code_of(called(world, lease, link, 1)) == "market.call.paid"


def withhold_late_replies(world: World) -> None:
    """Have forge ask for vouchers without ever handing over the results."""
    deliver = world.deliver

    def bare(sender: Side, ask: Ask) -> None:
        if isinstance(ask.request, AskVoucher):
            request = msgspec.structs.replace(ask.request, replies=())
            ask = msgspec.structs.replace(ask, request=request)
        deliver(sender, ask)

    world.__dict__["deliver"] = bare


def paid_for_refused(
    code: str, calls: int, pause_ms: int, *, forgets: bool = False
) -> tuple[HeldLease, int]:
    """Return candy's lease, and what it signed to a forge that runs calls and says it did not.

    Args:
        code: With which forge refuses what it ran.
        calls: How many calls candy sends.
        pause_ms: Between two of them.
        forgets: Whether candy loses the keys of sessions that end.
    """
    world = open_world()

    def deny(reply: Reply) -> Reply:
        done = isinstance(reply, CallDone)
        return Refused(code=code, sentence="Not run.") if done else reply

    world.bend = deny
    withhold_late_replies(world)
    for number in range(1, calls + 1):
        world.read(number)
        if forgets:
            world.candy.node._borrower.sessions._ended.clear()
        world.run(pause_ms)
    world.run(11_000)
    lease = world.candy.lease
    return lease, sum(each.signed.total_microcredits for each in lease.accounts.values())


@pytest.mark.parametrize("code", ["node.busy", "session.unknown"])
def test_refusing_what_was_run_is_not_paid(code: str) -> None:
    """A provider that keeps the results of calls it executed gets no voucher for them.

    Pretending that a session is gone does not help: its keys are kept, so the results are due.
    """
    _, total = paid_for_refused(code, 29, 300)
    assert total == 0


def test_losing_results_is_paid_up_to_w() -> None:
    """On the runner's word alone no more calls are paid than may be unsigned."""
    lease, total = paid_for_refused("session.unknown", 59, 600, forgets=True)
    assert 0 < total <= lease.terms.exposure_microcredits


def bent_collateral(bend: Callable[[bytes], bytes]) -> World:
    """Return a world in which forge's node sends other collateral."""
    world = joined_world()

    def change(reply: Reply) -> Reply:
        if not isinstance(reply, SessionOffered):
            return reply
        return msgspec.structs.replace(reply, collateral=bend(reply.collateral))

    world.bend = change
    world.run(3_000)
    return world


def without_zone(collateral: bytes) -> bytes:
    parts = msgspec.json.decode(collateral, type=dict[str, str])
    parts["tcb_info"] = parts["tcb_info"].replace('Z","', '","')
    return msgspec.json.encode(parts)


def test_collateral_without_time_zones_opens_no_session_and_leaves_no_row() -> None:
    """Dates that nobody can compare are refused before anything is stored."""
    world = bent_collateral(without_zone)
    assert world.candy.node.snapshot().sessions == 0
    assert dict(world.candy.store.scan("attestation")) == {}


def test_collateral_beyond_the_archives_limit_is_no_message() -> None:
    """What an auditor could not read back is refused when it arrives."""
    with pytest.raises(PeerError, match="collateral"):
        bent_collateral(lambda raw: raw + b" " * 70_000)


def test_an_invocation_is_not_sent_with_other_content_while_it_waits() -> None:
    """Its reply could not be opened, and nothing after it would be signed for."""
    world = open_world()
    link = world.candy.node._borrower.sessions.links[world.lease_id]
    invocation = invocation_of(1)
    link.seal(invocation, REQUEST)
    requester = world.candy.node._requester
    failed = requester.call(invocation, REQUEST + b"x", world.now_ns + 10**9, lambda _: None)
    assert failed is not None
    assert failed.code == "market.call.reused"
    assert link.awaits(invocation)


def test_an_invocation_waits_also_in_a_session_that_ended() -> None:
    """A late result of another request must not become the answer to this one."""
    world = open_world()
    link, invocation = world.candy.node._borrower.sessions.links[world.lease_id], invocation_of(1)
    link.seal(invocation, REQUEST)
    world.candy.node._borrower.sessions.drop_link(world.lease_id, link)
    world.run(3_000)
    requester = world.candy.node._requester
    failed = requester.call(invocation, REQUEST + b"x", world.now_ns + 10**9, lambda _: None)
    assert failed is not None
    assert failed.code == "market.call.reused"


def test_an_invocation_belongs_to_one_device() -> None:
    """A late result goes to the device that asked, never to another under the same name."""
    world = open_world()
    world.candy.ask(reading_of(1, "a"))
    second = world.candy.ask(reading_of(1, "b"))
    assert code_of(world.candy.replies[second]) == "node.device.invocation"
