"""A node whose consortium changes its trust file: it follows, starts again, and loses nothing."""

from dataclasses import replace

import msgspec
import pytest

from mutualedge.consortium.rows import BLOCK_BUCKET, replayed_rows
from mutualedge.errors import PeerError
from mutualedge.ledger import Countersignature, SetLimit
from mutualedge.meter import RecordBatch
from mutualedge.model import EnterpriseId, Microcredits
from mutualedge.node import Node
from mutualedge.node.books import OUTBOX_BUCKET
from mutualedge.node.leases import METER, MeterRow
from mutualedge.protocol import (
    Accepted,
    Answered,
    Ask,
    AskBlocks,
    AskOffer,
    Blocks,
    OpenSession,
    ProposeTrust,
    ReadingScored,
    Refused,
    SignedBlock,
    SubmitCommands,
    SubmitCountersignatures,
    TimerFired,
)
from mutualedge.signing import Entropy, parse_canonical
from tests.simulation.founding import keys_of, seed_of, successor
from tests.simulation.schedule import START_NS
from tests.simulation.world_store import MemoryStore
from tests.unit.node_world import (
    BUNDLE,
    CALL_MICROCREDITS,
    CANDY,
    DISPUTE_MS,
    FORGE,
    GRACE_MS,
    LEASE_MS,
    Side,
    World,
    code_of,
    founded,
    joined_world,
    node_settings,
    open_world,
    reading_of,
)

MILL = EnterpriseId("mill")
TICK_MS = 1_500
"""Everybody asks for new blocks within this long."""


def quiet_world() -> World:
    """Return a world where nobody borrows, so that anybody may leave."""
    return joined_world(replace(node_settings(CANDY), borrowing=None))


def propose(world: World, *names: str) -> None:
    """Have forge bring the next version to the ledger, and everybody follow."""
    trust = successor(founded().consortium, *names)
    assert world.forge.answer_to(ProposeTrust(trust=trust), "office") == Accepted()
    world.run(TICK_MS)


def set_limit(side: Side) -> None:
    """Have a node submit a command of its own accord, which makes a block whatever comes of it."""

    def act() -> None:
        action = SetLimit(debtor=FORGE, limit_microcredits=Microcredits(77))
        side.node._books.submit(action)

    side.later(act)


def versions(world: World) -> list[int]:
    return [side.node.consortium.trust.version for side in (world.candy, world.forge)]


def test_everybody_starts_again_once_with_what_the_ledger_adopted() -> None:
    """Hub and nodes say why, and land on the new version, whose member they give credit to."""
    world = open_world()
    propose(world, CANDY, FORGE, MILL)
    for side in (world.hub, world.candy, world.forge):
        assert side.restarts == ["trust file version 2"]
        assert [note.name for note in side.notes].count("trust.adopted") == 1
    assert versions(world) == [2, 2]
    world.run(TICK_MS)
    line = world.hub.hub.ledger.position(FORGE, MILL)
    assert line.limit_microcredits == world.hub.hub.ledger.position(FORGE, CANDY).limit_microcredits


def test_leases_outlive_the_change_and_sessions_are_opened_anew() -> None:
    """Calls before and after it are paid under one lease, each once."""
    world = open_world()
    lease, session = world.lease_id, world.candy.noted("session.opened")
    assert isinstance(world.read(1), ReadingScored)
    propose(world, CANDY, FORGE, MILL)
    world.run(2 * TICK_MS)
    assert world.candy.noted("session.opened") == session * 2
    assert world.lease_id == lease
    assert isinstance(world.read(2), ReadingScored)
    assert isinstance(world.read(2), ReadingScored), "a repeat has its first answer"
    world.run(LEASE_MS + 3 * GRACE_MS + DISPUTE_MS)
    on_ledger = world.hub.hub.ledger.lease(lease)
    assert on_ledger is not None
    assert on_ledger.is_resolved
    assert on_ledger.posted_microcredits == 2 * CALL_MICROCREDITS


def batched(side: Side) -> int:
    """Return how many calls the batches in the rows of a side speak for."""
    rows = [msgspec.msgpack.decode(raw, type=MeterRow) for _, raw in side.store.scan(METER)]
    batches = [row.batch for row in rows if row.batch is not None]
    return sum(parse_canonical(each.payload, RecordBatch).through_seq for each in batches)


def test_what_was_metered_is_signed_before_the_runner_goes() -> None:
    """Its meter key dies with it, and so would what it had not signed."""
    world = open_world()
    assert isinstance(world.read(1), ReadingScored)
    assert batched(world.forge) == 0
    propose(world, CANDY, FORGE, MILL)
    assert batched(world.forge) == 1
    assert not world.forge.lease.open_calls, "the requester signed it too"


def test_a_silent_partner_holds_nobody_up() -> None:
    """The runner's word is kept; the partner's is asked for again in the next life."""
    world = open_world()
    assert isinstance(world.read(1), ReadingScored)
    del world.sides[CANDY]
    propose(world, CANDY, FORGE, MILL)
    assert world.forge.restarts == ["trust file version 2"]
    assert batched(world.forge) == 1
    assert world.forge.lease.open_calls == 1


def test_a_runner_that_hangs_holds_its_node_up_for_one_timeout() -> None:
    """After it the node starts again as after a crash, and loses W at most."""
    world = open_world()
    assert isinstance(world.read(1), ReadingScored)
    world.forge.runner = None
    trust = successor(founded().consortium, CANDY, FORGE, MILL)
    world.forge.answer_to(ProposeTrust(trust=trust), "office")
    world.run(node_settings(FORGE).request_timeout_ms - 1)
    assert not world.forge.restarts
    world.run(10)
    assert world.forge.restarts == ["trust file version 2"]


def test_a_handshake_of_another_version_is_refused_in_plain_words() -> None:
    """The runner is not asked; the sentence names both versions."""
    world = open_world()
    orders = world.forge.lives
    request = OpenSession(lease=world.lease_id, trust_version=3, nonce=bytes(32), message=bytes(32))
    reply = world.forge.answer_to(request, CANDY)
    assert isinstance(reply, Refused)
    assert reply.code == "session.trust.other-version"
    assert "version 3" in reply.sentence
    assert "version 1" in reply.sentence
    assert world.forge.lives == orders


def test_a_partner_behind_is_asked_again_until_it_followed() -> None:
    """While forge stays in its old life the lease waits; it goes on afterwards."""
    world = open_world()
    world.forge.is_stubborn = True
    propose(world, CANDY, FORGE, MILL)
    assert versions(world) == [2, 1]
    assert {"session.trust.other-version"} == {
        str(each["code"]) for each in world.candy.noted("session.not_opened")
    }
    assert world.candy.node.snapshot().sessions == 0
    assert len(set(world.forge.restarts)) == 1 < len(world.forge.restarts), "it keeps asking"
    world.forge.restart()
    world.forge.start_runner()
    world.run(2 * TICK_MS)
    assert world.candy.node.snapshot().sessions == 1
    assert isinstance(world.read(1), ReadingScored)


def test_the_outbox_survives_the_change() -> None:
    """What had not reached the ledger before reaches it after."""
    world = quiet_world()
    world.holding = (SubmitCommands,)
    set_limit(world.candy)
    world.run(10)
    assert len(list(world.candy.store.scan(OUTBOX_BUCKET))) == 1
    world.holding = ()
    propose(world, CANDY, FORGE, MILL)
    world.run(2 * TICK_MS)
    assert versions(world) == [2, 2]
    assert not list(world.candy.store.scan(OUTBOX_BUCKET))
    assert world.hub.hub.ledger.position(CANDY, FORGE).limit_microcredits == 77


@pytest.mark.parametrize(
    ("names", "code"),
    [((FORGE,), "ledger.trust.unsettled"), ((MILL,), "identity.trust.nobody-stays")],
)
def test_what_the_ledger_would_refuse_is_refused_at_once(names: tuple[str, ...], code: str) -> None:
    """Nothing is queued: the office learns why, and tries again when it is settled."""
    world = open_world()
    trust = successor(founded().consortium, *names)
    assert code_of(world.forge.answer_to(ProposeTrust(trust=trust), "office")) == code
    assert not list(world.forge.store.scan(OUTBOX_BUCKET))


def test_who_left_serves_its_own_devices_and_nobody_else() -> None:
    """It says so once a life, lends nothing, proposes nothing; its commands are put aside."""
    world = quiet_world()
    world.candy.start_runner()
    propose(world, FORGE)
    assert world.candy.noted("membership.ended") == [{"version": 2}]
    offer = world.candy.answer_to(AskOffer(function=BUNDLE.digest), FORGE)
    assert code_of(offer) == "market.offer.none"
    back = ProposeTrust(trust=successor(world.forge.node.consortium, CANDY, FORGE))
    assert code_of(world.candy.answer_to(back, "office")) == "node.membership.ended"
    scored = world.candy.answer_to(reading_of(1))
    assert isinstance(scored, ReadingScored)
    assert scored.assurance == "own"
    set_limit(world.candy)
    world.run(TICK_MS)
    (aside,) = world.candy.noted("command.set_aside")
    assert aside["code"] == "identity.member.unknown"


def test_nobody_countersigns_after_it_left() -> None:
    """Its word counts for the blocks of its time only; theirs go on being final."""
    world = quiet_world()
    propose(world, FORGE)
    world.candy.sent.clear()
    set_limit(world.forge)
    world.run(2 * TICK_MS)
    assert not world.candy.asked(SubmitCountersignatures)
    assert world.candy.node.snapshot().final_height == world.hub.hub.ledger.height


def test_no_offer_is_asked_of_a_stranger() -> None:
    """A provider in our settings that is no member yet is passed over until it is one."""
    settings = node_settings(CANDY)
    assert settings.borrowing is not None
    eager = replace(settings.borrowing, providers=(MILL, FORGE))
    world = joined_world(replace(settings, borrowing=eager))
    world.run(TICK_MS)
    assert MILL not in {ask.peer for ask in world.candy.sent}
    propose(world, CANDY, FORGE, MILL)
    world.run(TICK_MS)
    assert MILL in {ask.peer for ask in world.candy.sent}


def test_who_is_in_no_version_has_no_node() -> None:
    """Started on an empty store it knows only the founders; it must be given the blocks first."""
    with pytest.raises(PeerError, match=r"identity\.member\.unknown"):
        new_mill(MemoryStore())


def new_mill(store: MemoryStore) -> Node:
    return Node(
        enterprise=MILL,
        consortium=founded().consortium,
        settings=replace(node_settings(CANDY), borrowing=None),
        keys=keys_of(MILL),
        entropy=Entropy(seed_of(MILL)),
        store=store,
        now_ns=START_NS,
    )


def test_who_joins_starts_from_the_blocks_and_vouches_for_none_before_it_came() -> None:
    """With the hub's blocks replayed it knows its own membership, and countersigns from there."""
    world = quiet_world()
    world.holding = (SubmitCountersignatures,)
    propose(world, CANDY, FORGE, MILL)
    world.run(TICK_MS)
    blocks = [
        msgspec.msgpack.decode(value, type=SignedBlock)
        for _, value in world.hub.store.scan(BLOCK_BUCKET)
    ]
    store = MemoryStore()
    store.commit(replayed_rows(founded().consortium, blocks, world.now_ns))
    mill = new_mill(store)
    assert mill.consortium.has(MILL)
    assert mill.snapshot().ledger_height == len(blocks)
    asked = [each for each in outputs(mill, world.now_ns) if isinstance(each.request, AskBlocks)]
    assert [each.request for each in asked] == [AskBlocks(from_height=1)], "none is final yet"
    reply = Blocks(blocks=tuple(blocks), height=len(blocks))
    answered = Answered(request_id=asked[0].request_id, reply=reply)
    (word,) = (
        each.request
        for each in mill.handle(answered, world.now_ns).outputs
        if isinstance(each, Ask) and isinstance(each.request, SubmitCountersignatures)
    )
    assert isinstance(word, SubmitCountersignatures)
    heights = [
        parse_canonical(each.payload, Countersignature).height for each in word.countersignatures
    ]
    ledger = world.hub.hub.ledger
    adopted = [
        height for height in range(1, len(blocks) + 1) if ledger.consortium_at(height).has(MILL)
    ]
    assert heights == adopted
    assert 0 < len(adopted) < len(blocks)


def outputs(node: Node, now_ns: int) -> list[Ask]:
    return [each for each in node.handle(TimerFired(), now_ns).outputs if isinstance(each, Ask)]
