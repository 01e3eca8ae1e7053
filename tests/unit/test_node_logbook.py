"""The usage log of a node: durable with what it logs, checkpointed, witnessed, and witnessing."""

import msgspec
import pytest

from mutualedge.errors import CorruptState
from mutualedge.node.logbook import CheckpointRow, EntryRow, entry_key
from mutualedge.protocol import (
    AddCheckpoint,
    AskOffer,
    CheckpointConflict,
    CheckpointCosigned,
    Reply,
    Write,
)
from mutualedge.tlog import (
    Checkpoint,
    NoteSigner,
    add_checkpoint_body,
    parse_checkpoint,
    parse_note,
    salted_leaf,
    sign_checkpoint,
)
from tests.simulation.founding import keys_of
from tests.unit.node_world import (
    CANDY,
    FORGE,
    HUB,
    Side,
    World,
    code_of,
    founded,
    open_world,
)


def logged_world(calls: int = 3) -> World:
    world = open_world()
    world.holding = (AskOffer, AddCheckpoint)
    for number in range(calls):
        world.read(number)
    return world


def checkpoint_of(side: Side) -> CheckpointRow:
    raw = side.store.get("checkpoint", "latest")
    assert raw is not None
    return msgspec.msgpack.decode(raw, type=CheckpointRow)


def test_each_record_has_its_entry() -> None:
    """An entry is the salted digest of the very row it points to."""
    world = logged_world()
    rows = [
        msgspec.msgpack.decode(value, type=EntryRow) for _, value in world.forge.store.scan("entry")
    ]
    assert len(rows) == 3
    for row in rows:
        raw = world.forge.store.get(row.bucket, row.key)
        assert raw is not None
        body = msgspec.msgpack.decode(raw, type=dict[str, object])["usage"]
        assert isinstance(body, bytes)
        assert row.entry == salted_leaf(row.salt, body)
    assert len({row.salt for row in rows}) == 3


def test_a_checkpoint_covers_the_log() -> None:
    """It names size and root, is signed, and is published when the log grew."""
    world = logged_world()
    world.run(5_000)
    row = checkpoint_of(world.forge)
    signed = parse_checkpoint(parse_note(row.note).text)
    assert (signed.origin, signed.size) == ("simulated.mutualedge/forge/log", 3)
    assert world.forge.node.snapshot().log_size == 3


def test_partners_and_hub_cosign() -> None:
    """Everybody else remembers the checkpoint and signs that it extends the last one."""
    world = logged_world()
    world.holding = (AskOffer,)
    world.run(6_000)
    assert len(checkpoint_of(world.forge).cosignatures) == 2
    witnesses = {note["witness"] for note in world.forge.noted("checkpoint.cosigned")}
    assert witnesses == {CANDY, HUB}


def test_a_cosignature_that_is_none_is_not_kept() -> None:
    """A lying witness cannot spoil our checkpoint with a line that does not verify."""
    world = logged_world()

    def bend(reply: Reply) -> Reply:
        if isinstance(reply, CheckpointCosigned):
            return CheckpointCosigned(line=f"— {HUB} AAAA\n")
        return reply

    world.bend = bend
    world.holding = (AskOffer,)
    world.run(12_000)
    assert checkpoint_of(world.forge).cosignatures == ()
    assert world.forge.noted("peer.faulted")


def test_a_swapped_cosignature_is_not_kept() -> None:
    """One witness's line does not count as another's."""
    world = logged_world()
    lines: list[str] = []

    def bend(reply: Reply) -> Reply:
        if isinstance(reply, CheckpointCosigned):
            lines.append(reply.line)
            return CheckpointCosigned(line=lines[0])
        return reply

    world.bend = bend
    world.holding = (AskOffer,)
    world.run(6_000)
    assert len(checkpoint_of(world.forge).cosignatures) == 1


def test_a_witness_that_always_conflicts_is_not_asked_for_ever() -> None:
    """It is corrected once, and asked again at the next reminder only."""
    world = logged_world()
    world.bend = lambda reply: (
        CheckpointConflict(size=0)
        if isinstance(reply, CheckpointCosigned | CheckpointConflict)
        else reply
    )
    world.holding = (AskOffer,)
    world.run(11_000)
    assert len(world.forge.asked(AddCheckpoint)) <= 2 * 2 * 3


def test_a_witness_that_knows_more_is_believed_only_so_far() -> None:
    """A size beyond our log is impossible; it is noted and changes nothing."""
    world = logged_world()
    world.bend = lambda reply: (
        CheckpointConflict(size=10**6) if isinstance(reply, CheckpointCosigned) else reply
    )
    world.holding = (AskOffer,)
    world.run(6_000)
    noted = {note["witness"] for note in world.forge.noted("checkpoint.unwitnessed")}
    assert noted == {CANDY, HUB}


def test_a_restarted_log_goes_on_where_it_was() -> None:
    """Size, root and cosignatures come from the rows; the next entry follows the last."""
    world = logged_world()
    world.holding = (AskOffer,)
    world.run(6_000)
    before = checkpoint_of(world.forge)
    world.forge.restart()
    world.forge.start_runner()
    assert world.forge.node.snapshot().log_size == 3
    assert code_of(world.read(9)) == "session.unknown"
    world.run(3_000)
    assert code_of(world.read(10)) == ""
    world.run(6_000)
    assert checkpoint_of(world.forge).size == before.size + 1
    assert len(checkpoint_of(world.forge).cosignatures) == 2


def test_a_log_that_lost_an_entry_refuses_to_start() -> None:
    """Going on from less than was signed would be a fork in our own name."""
    world = logged_world()
    world.run(5_000)
    world.forge.store.commit([Write(bucket="entry", key=entry_key(2), value=None)])
    with pytest.raises(CorruptState) as refused:
        world.forge.restart()
    assert refused.value.code == "node.log.contradiction"


def test_a_log_with_a_gap_refuses_to_start() -> None:
    """A missing row in the middle is told by its name."""
    world = logged_world()
    world.forge.store.commit([Write(bucket="entry", key=entry_key(1), value=None)])
    with pytest.raises(CorruptState) as refused:
        world.forge.restart()
    assert refused.value.code == "node.log.row-missing"
    assert entry_key(1) in refused.value.sentence


def test_a_log_with_an_altered_entry_refuses_to_start() -> None:
    """An entry that is not the one the checkpoint covers is a contradiction."""
    world = logged_world()
    world.run(5_000)
    raw = world.forge.store.get("entry", entry_key(0))
    assert raw is not None
    row = msgspec.msgpack.decode(raw, type=EntryRow)
    altered = msgspec.structs.replace(row, entry=bytes(len(row.entry)))
    value = msgspec.msgpack.encode(altered)
    world.forge.store.commit([Write(bucket="entry", key=entry_key(0), value=value)])
    with pytest.raises(CorruptState) as refused:
        world.forge.restart()
    assert refused.value.code == "node.log.contradiction"


def checkpoint_body(size: int, root: bytes) -> str:
    """Return forge's request to cosign a first checkpoint of its log."""
    origin = founded().consortium.log_origin(FORGE)
    checkpoint = Checkpoint(origin=origin, size=size, root=root)
    signer = NoteSigner(name=origin, key=keys_of(FORGE).log)
    return add_checkpoint_body(0, (), sign_checkpoint(checkpoint, signer))


def test_what_a_witness_signed_is_a_row_before_it_leaves() -> None:
    """A witness that forgets could be made to sign both branches of a fork."""
    world = open_world()
    reply = world.candy.answer_to(AddCheckpoint(body=checkpoint_body(1, bytes(32))), FORGE)
    assert isinstance(reply, CheckpointCosigned)
    assert [write.bucket for write in world.candy.effects.writes] == ["witness"]


def test_a_witness_signs_no_fork_even_after_a_restart() -> None:
    """Two checkpoints of one size and different roots: the first is signed, the second kept."""
    world = open_world()
    world.candy.answer_to(AddCheckpoint(body=checkpoint_body(1, bytes(32))), FORGE)
    world.candy.restart()
    forked = AddCheckpoint(body=checkpoint_body(1, b"\1" * 32))
    reply = world.candy.answer_to(forked, FORGE)
    assert not isinstance(reply, CheckpointCosigned)
    assert [write.bucket for write in world.candy.effects.writes] in (["fork"], [])


def test_a_witness_refuses_noise() -> None:
    """What is no request for a cosignature, or of no member's log, is refused with a code."""
    world = open_world()
    assert code_of(world.candy.answer_to(AddCheckpoint(body="old 0"), FORGE)).startswith("tlog.")
    stranger = checkpoint_body(1, bytes(32)).replace("/forge/", "/mill/")
    assert code_of(world.candy.answer_to(AddCheckpoint(body=stranger), FORGE)).startswith("tlog.")
    assert world.candy.effects.writes == []
