"""The node's copy of the ledger and its outbox: nothing asked is lost, nothing forked is kept."""

import hashlib
from dataclasses import replace

import msgspec
import pytest

from mutualedge.ledger import Block, Claim, SetLimit
from mutualedge.meter import CHAIN_START, METERS_MAX
from mutualedge.model import EnterpriseId, LeaseId, Microcredits
from mutualedge.node.books import BLOCK_BUCKET, block_row_key
from mutualedge.protocol import (
    BLOCKS_MAX,
    MESSAGE_BYTES_MAX,
    Answered,
    Ask,
    AskBlocks,
    Blocks,
    Refused,
    Reply,
    SignedBlock,
    SubmitCommands,
    SubmitCountersignatures,
    Write,
    encode_message,
)
from mutualedge.signing import SigningKey, parse_canonical, sign_record
from tests.simulation.founding import keys_of
from tests.unit.node_world import (
    CANDY,
    FORGE,
    HUB,
    Side,
    World,
    founded,
    joined_world,
    node_settings,
    open_world,
)


def quiet_world() -> World:
    """Return a world where candy borrows nothing, so that every command is the test's."""
    return joined_world(replace(node_settings(CANDY), borrowing=None))


def limit(amount: int) -> SetLimit:
    return SetLimit(debtor=EnterpriseId(FORGE), limit_microcredits=Microcredits(amount))


def submit(side: Side, amount: int, occasion: str = "") -> None:
    """Have a node submit a limit, of its own accord."""

    def act() -> None:
        side.node._books.submit(limit(amount), occasion)

    side.later(act)


def granted(world: World) -> int:
    return world.hub.hub.ledger.position(CANDY, FORGE).limit_microcredits


def test_the_outbox_survives_a_crash_before_the_hub_answered() -> None:
    """A command that was asked for reaches the ledger although its sender crashed at once."""
    world = quiet_world()
    world.run(100)
    world.holding = (SubmitCommands,)
    submit(world.candy, 7)
    world.run(1)
    world.candy.restart()
    world.held.clear()
    assert world.candy.node.snapshot().outbox_size == 1
    world.holding = ()
    world.run(2_500)
    assert granted(world) == 7
    assert world.candy.node.snapshot().outbox_size == 0


def test_a_command_is_a_row_before_it_leaves() -> None:
    """The effects that carry the request carry the outbox row."""
    world = quiet_world()
    world.run(100)
    world.holding = (SubmitCommands,)
    submit(world.candy, 7)
    while not any(
        isinstance(output, Ask) and isinstance(output.request, SubmitCommands)
        for output in world.candy.effects.outputs
    ):
        world.run(1)
    assert "outbox" in [write.bucket for write in world.candy.effects.writes]


def test_a_lost_answer_of_the_hub_changes_nothing() -> None:
    """Unknown is not success: the same command is sent again, under its own identity."""
    world = quiet_world()
    world.run(100)
    world.holding = (SubmitCommands,)
    submit(world.candy, 7)
    world.run(1)
    world.hub.ask(world.held[-1][1].request, CANDY)
    world.time_out(*world.held.pop())
    world.holding = ()
    world.run(2_500)
    sent = [request.commands for request in world.candy.asked(SubmitCommands)]
    assert sent == [sent[0]] * len(sent)
    assert granted(world) == 7
    assert [note["code"] for note in world.candy.noted("command.answered")] == ["done"]


@pytest.mark.parametrize("code", ["hub.mempool.full", "node.events.full"])
@pytest.mark.parametrize("commands", [1, 3])
def test_a_busy_hub_is_asked_again(code: str, commands: int) -> None:
    """A refusal that says come back loses no command: all reach the ledger afterwards."""
    world = quiet_world()
    world.run(100)
    world.holding = (SubmitCommands,)
    for amount in range(1, commands + 1):
        submit(world.candy, amount)
    world.run(1)
    for _ in range(2):
        assert world.held, "a busy hub is asked again"
        sender, ask = world.held.pop()
        refused = Refused(code=code, sentence="Busy; ask again in a second.")
        sender.handle(Answered(request_id=ask.request_id, reply=refused))
        world.run(1_100)
    world.holding = ()
    world.deliver(*world.held.pop())
    world.run(8_000)
    assert granted(world) == commands
    assert world.candy.node.snapshot().outbox_size == 0


def test_a_command_the_hub_never_takes_does_not_block_the_others() -> None:
    """It is kept where an operator finds it, and what came after it goes through."""
    world = quiet_world()
    world.run(100)
    world.holding = (SubmitCommands,)
    submit(world.candy, 1)
    world.run(1)
    command_id = next(iter(world.candy.node._books._outbox))
    broken = sign_record(limit(1), keys_of(FORGE).settlement)
    world.candy.node._books._outbox[command_id] = broken
    world.time_out(*world.held.pop())
    world.holding = ()
    submit(world.candy, 2)
    world.run(6_000)
    assert granted(world) == 2
    assert world.candy.node.snapshot().outbox_size == 0
    assert [key for key, _ in world.candy.store.scan("refused")] == [command_id]


def refuse_held(world: World, code: str) -> None:
    sender, ask = world.held.pop()
    refused = Refused(code=code, sentence="No.")
    sender.handle(Answered(request_id=ask.request_id, reply=refused))


def test_a_refusal_that_blames_no_command_loses_none() -> None:
    """Only what is wrong with a command itself sets it aside; any other no is asked again."""
    world = quiet_world()
    world.run(100)
    world.holding = (SubmitCommands,)
    submit(world.candy, 7)
    world.run(1)
    for _ in range(2):
        refuse_held(world, "hub.moody")
        assert world.candy.node.snapshot().outbox_size == 1
        world.run(1_100)
    assert [note["code"] for note in world.candy.noted("command.refused")] == ["hub.moody"] * 2
    world.holding = ()
    world.deliver(*world.held.pop())
    world.run(2_500)
    assert granted(world) == 7
    assert list(world.candy.store.scan("refused")) == []


def test_a_command_refused_without_blame_does_not_block_the_others() -> None:
    """Whoever was refused goes to the end of the queue."""
    world = quiet_world()
    world.run(100)
    world.holding = (SubmitCommands,)
    for amount in (1, 2):
        submit(world.candy, amount)
    world.run(1)
    for _ in range(3):
        refuse_held(world, "hub.moody")
        world.run(1_100)
    sent = [request.commands for request in world.candy.asked(SubmitCommands)]
    assert [len(commands) for commands in sent] == [1, 2, 1, 1]
    (first,), (second, _), *_ = sent
    assert sent == [(first,), (second, first), (second,), (first,)]
    assert world.candy.node.snapshot().outbox_size == 2


@pytest.mark.parametrize("code", ["signing.no", "hub.no"])
def test_a_hub_that_refuses_what_it_ordered_stops_nobody(code: str) -> None:
    """The block with the outcome came first, so the refusal is of something done."""
    world = quiet_world()
    world.run(100)
    world.holding = (SubmitCommands,)
    submit(world.candy, 7)
    world.run(1)
    world.hub.ask(world.held[-1][1].request, CANDY)
    world.run(2_100)
    assert world.candy.node.snapshot().outbox_size == 0
    refuse_held(world, code)
    assert list(world.candy.store.scan("refused")) == []
    assert granted(world) == 7


def test_what_the_ledger_refused_is_not_sent_again() -> None:
    """A refusal on the ledger is an outcome: whoever asks again makes no second command."""
    world = quiet_world()
    world.run(100)
    nobody = SetLimit(debtor=EnterpriseId("nobody"), limit_microcredits=Microcredits(1))
    for _ in range(3):
        world.candy.later(lambda: world.candy.node._books.submit(nobody))
        world.run(2_500)
    assert [note["code"] for note in world.candy.noted("command.answered")] == [
        "identity.member.unknown"
    ]
    assert len(world.candy.asked(SubmitCommands)) == 1


def large_claim(number: int) -> Claim:
    """Return what many restarts of a runner make of a claim: as many vouchers and batches."""
    lease = LeaseId(hashlib.sha256(b"%d" % number).hexdigest())
    meters = [SigningKey(hashlib.sha256(b"meter %d" % each).digest()) for each in range(METERS_MAX)]
    debtor = keys_of(CANDY).settlement
    return Claim(
        lease=lease,
        vouchers=tuple(CHAIN_START.voucher(lease, each.public_bytes, debtor) for each in meters),
        batches=tuple(CHAIN_START.batch(lease, each) for each in meters),
    )


def test_many_large_commands_are_sent_in_several_messages() -> None:
    """Together they are more than one message carries; the bus would refuse it for ever."""
    world = quiet_world()
    hub = world.sides.pop(HUB)
    claims = [large_claim(number) for number in range(16)]

    def submit_all() -> None:
        for each in claims:
            world.forge.node._books.submit(each)

    world.forge.later(submit_all)
    world.run(2_000)
    assert world.forge.node.snapshot().queues.outbox == len(claims)
    world.sides = {HUB: hub, **world.sides}
    world.run(20_000)
    sizes = [len(encode_message(each)) for each in world.forge.asked(SubmitCommands)]
    assert max(sizes) < MESSAGE_BYTES_MAX
    assert world.forge.node.snapshot().queues.outbox == 0


def test_asking_twice_is_asking_once() -> None:
    """The same action has the same identity; another occasion makes it another command."""
    world = quiet_world()
    world.run(100)
    before = world.hub.hub.ledger.height
    for occasion in ("", "", "again"):
        submit(world.candy, 7, occasion)
    world.run(1_500)
    done = [note["code"] for note in world.candy.noted("command.answered")]
    assert done == ["done", "done"]
    assert world.hub.hub.ledger.height > before


def test_the_outbox_empties_only_when_our_copy_shows_the_outcome() -> None:
    """That the hub ordered it is not enough: the block must have been executed here."""
    world = quiet_world()
    world.run(100)
    world.holding = (AskBlocks,)
    submit(world.candy, 7)
    world.run(500)
    assert granted(world) == 7
    assert world.candy.node.snapshot().outbox_size == 1
    world.holding = ()
    world.run(1_000)
    for sender, ask in world.held:
        world.time_out(sender, ask)
    world.run(2_000)
    assert world.candy.node.snapshot().outbox_size == 0


def test_a_copy_after_a_restart_is_the_same_ledger() -> None:
    """Height, state and finality come back from the rows."""
    world = open_world()
    world.run(5_000)
    before = (world.candy.node._books.ledger.state_digest, world.candy.node.snapshot())
    world.candy.restart()
    after = (world.candy.node._books.ledger.state_digest, world.candy.node.snapshot())
    assert after[0] == before[0]
    assert (after[1].ledger_height, after[1].final_height) == (
        before[1].ledger_height,
        before[1].final_height,
    )
    assert after[1].final_height == after[1].ledger_height > 0


def test_a_block_is_countersigned_once_by_each() -> None:
    """Each member vouches for each block, and then it is final everywhere."""
    world = open_world()
    world.run(5_000)
    height = world.hub.hub.ledger.height
    for side in (world.candy, world.forge):
        sent = side.asked(SubmitCountersignatures)
        assert sum(len(request.countersignatures) for request in sent) == height
        assert side.node.snapshot().final_height == height


def test_a_block_that_comes_again_unchanged_is_not_written_again() -> None:
    """A block is asked for until it is final; only new countersignatures are worth a write."""
    world = quiet_world()
    world.holding = (SubmitCountersignatures,)
    world.run(1_500)
    written: list[str] = []
    commit = world.candy.store.commit

    def count(writes: list[Write]) -> None:
        written.extend(each.key for each in writes if each.bucket == BLOCK_BUCKET)
        commit(writes)

    world.candy.store.__dict__["commit"] = count
    asked = len(world.candy.asked(AskBlocks))
    world.run(3_000)
    assert len(world.candy.asked(AskBlocks)) > asked
    assert written == []
    world.holding = ()
    for sender, ask in world.held:
        world.deliver(sender, ask)
    world.run(3_000)
    assert block_row_key(1) in written
    assert world.candy.node.snapshot().final_height == world.hub.hub.ledger.height


def altered(signed: SignedBlock, **changes: object) -> SignedBlock:
    """Return another block of the same height, signed by the writer too."""
    block = msgspec.structs.replace(parse_canonical(signed.block.payload, Block), **changes)
    return msgspec.structs.replace(signed, block=sign_record(block, founded().writer))


def stored_block(side: Side, height: int) -> bytes:
    raw = side.store.get(BLOCK_BUCKET, block_row_key(height))
    assert raw is not None
    return msgspec.msgpack.decode(raw, type=SignedBlock).block.payload


def test_a_writer_that_forks_replaces_nothing() -> None:
    """A second block of a known height is not stored over the one that was executed."""
    world = quiet_world()
    world.holding = (SubmitCountersignatures,)
    world.run(1_500)
    executed = stored_block(world.candy, 1)

    def fork(reply: Reply) -> Reply:
        if not isinstance(reply, Blocks):
            return reply
        blocks = tuple(altered(each, previous="ab" * 32) for each in reply.blocks)
        return replace_blocks(reply, blocks)

    world.bend = fork
    world.run(2_000)
    assert stored_block(world.candy, 1) == executed
    assert world.candy.noted("peer.faulted")


def replace_blocks(reply: Blocks, blocks: tuple[SignedBlock, ...]) -> Blocks:
    return Blocks(blocks=blocks, height=reply.height)


def test_a_forged_block_is_not_applied() -> None:
    """Only the ledger writer's key makes blocks."""
    world = quiet_world()

    def forge(reply: Reply) -> Reply:
        if not isinstance(reply, Blocks):
            return reply
        key = keys_of(FORGE).settlement
        forged = tuple(
            msgspec.structs.replace(
                each, block=sign_record(parse_canonical(each.block.payload, Block), key)
            )
            for each in reply.blocks
        )
        return replace_blocks(reply, forged)

    world.bend = forge
    world.run(2_000)
    assert world.candy.node.snapshot().ledger_height == 0
    codes = {note["code"] for note in world.candy.noted("peer.faulted")}
    assert codes == {"ledger.block.forged"}


def test_a_block_with_another_outcome_is_not_applied() -> None:
    """Every member executes the commands again; a writer that states another result is refused."""
    world = quiet_world()

    def lie(reply: Reply) -> Reply:
        if not isinstance(reply, Blocks):
            return reply
        return replace_blocks(reply, tuple(altered(each, outcomes=()) for each in reply.blocks))

    world.bend = lie
    world.run(2_000)
    assert world.candy.node.snapshot().ledger_height == 0
    codes = {note["code"] for note in world.candy.noted("peer.faulted")}
    assert codes == {"ledger.block.outcomes"}


def test_a_block_in_anothers_place_is_not_taken() -> None:
    """A hub that answers with other heights than asked for is noted; nothing is applied."""
    world = quiet_world()
    world.bend = lambda reply: (
        replace_blocks(reply, reply.blocks * 2) if isinstance(reply, Blocks) else reply
    )
    world.run(2_000)
    codes = {note["code"] for note in world.candy.noted("peer.faulted")}
    assert codes == {"ledger.block.misplaced"}
    assert world.candy.node.snapshot().ledger_height <= 1


def test_a_member_that_is_away_does_not_stop_the_others() -> None:
    """Blocks are followed and acted on although some member countersigns nothing."""
    world = quiet_world()
    world.holding = (SubmitCountersignatures,)
    for amount in range(1, BLOCKS_MAX + 5):
        submit(world.candy, amount)
        world.run(1_100)
    assert world.hub.hub.ledger.height > BLOCKS_MAX
    world.run(2_000)
    for side in (world.candy, world.forge):
        assert side.node.snapshot().ledger_height == world.hub.hub.ledger.height
        assert side.node.snapshot().outbox_size == 0


def test_blocks_that_are_not_final_do_not_make_a_busy_loop() -> None:
    """With more than one reply's worth of open blocks the hub is still asked at the set pace."""
    world = quiet_world()
    world.holding = (SubmitCountersignatures,)
    for amount in range(1, BLOCKS_MAX + 5):
        submit(world.candy, amount)
        world.run(1_100)
    world.settle()
    before = len(world.candy.asked(AskBlocks))
    for _ in range(50):
        world.run(1)
    assert len(world.candy.asked(AskBlocks)) - before <= 2


def test_a_node_that_was_away_catches_up() -> None:
    """More blocks than fit one reply are fetched one reply after the other."""
    world = World()
    world.join_candy()
    world.sides.pop(FORGE)
    world.queue.clear()
    for amount in range(1, 2 * BLOCKS_MAX):
        submit(world.candy, amount)
        world.run(20)
    forge = Side(world, FORGE)
    forge.settings = replace(node_settings(FORGE), follow_every_ms=500)
    world.forge = world.sides[FORGE] = forge
    forge.restart()
    world.run(5_000)
    assert world.hub.hub.ledger.height >= 2 * BLOCKS_MAX - 1
    assert forge.node.snapshot().ledger_height == world.hub.hub.ledger.height


def grow(world: World, blocks: int) -> None:
    """Have the hub make this many more blocks, one command each."""
    height = world.hub.hub.ledger.height
    while world.hub.hub.ledger.height < height + blocks:
        submit(world.candy, world.hub.hub.ledger.height)
        world.run(1_100)


def test_a_member_that_does_not_countersign_blinds_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Finality may lag by more blocks than are remembered; new ones are followed all the same."""
    monkeypatch.setattr("mutualedge.ledger.engine.EXECUTED_MAX", 5)
    world = quiet_world()
    world.holding = (SubmitCountersignatures,)
    grow(world, BLOCKS_MAX + 10)
    heights = [side.node.snapshot().ledger_height for side in (world.candy, world.forge)]
    assert heights == [world.hub.hub.ledger.height] * 2
    assert world.candy.noted("peer.faulted") == []
    world.holding = ()
    for held in world.held:
        world.deliver(*held)
    world.run(10_000)
    assert world.candy.node.snapshot().final_height == world.hub.hub.ledger.height


def test_words_that_were_lost_are_given_again_for_forgotten_blocks_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A block is final once its members say so, however many others came since it was executed."""
    monkeypatch.setattr("mutualedge.ledger.engine.EXECUTED_MAX", 5)
    world = quiet_world()
    world.holding = (SubmitCountersignatures,)
    grow(world, 10)
    world.holding = ()
    while world.held:
        world.time_out(*world.held.pop())
    world.run(10_000)
    assert world.hub.hub.snapshot().final_height == world.hub.hub.ledger.height
    assert world.candy.node.snapshot().final_height == world.hub.hub.ledger.height


def test_a_writer_that_replaces_a_forgotten_block_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beyond the remembered digests the stored block itself says what was executed."""
    monkeypatch.setattr("mutualedge.ledger.engine.EXECUTED_MAX", 2)
    world = quiet_world()
    world.holding = (SubmitCountersignatures,)
    grow(world, 5)
    executed = stored_block(world.candy, 1)

    def fork(reply: Reply) -> Reply:
        if not isinstance(reply, Blocks):
            return reply
        return replace_blocks(
            reply, tuple(altered(each, previous="ab" * 32) for each in reply.blocks)
        )

    world.bend = fork
    world.run(2_000)
    assert stored_block(world.candy, 1) == executed
    assert "ledger.block.fork" in {note["code"] for note in world.candy.noted("peer.faulted")}


def test_a_copy_that_could_not_follow_is_not_called_fresh() -> None:
    """Who asked and understood nothing cannot tell which leases the ledger does not know."""
    world = quiet_world()
    world.run(1_500)
    asked_ns = world.candy.node._books.asked_ns
    assert asked_ns > 0
    world.bend = lambda reply: (
        replace_blocks(reply, tuple(altered(each, height=99) for each in reply.blocks))
        if isinstance(reply, Blocks)
        else reply
    )
    submit(world.forge, 3)
    world.run(5_000)
    assert world.candy.noted("peer.faulted")
    assert world.candy.node._books.asked_ns == asked_ns
