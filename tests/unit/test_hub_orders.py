"""The hub: commands become blocks, blocks are handed out and countersigned, logs are witnessed."""

import msgspec
import pytest

from mutualedge.app.hub_process import OFFICE_PEER
from mutualedge.consortium import Hub
from mutualedge.consortium.hub import GATHER_NS, MEMPOOL_MAX
from mutualedge.ledger import Action, Block, Claim, Command, Countersignature, Ledger, SetLimit
from mutualedge.model import (
    NS_PER_S,
    EnterpriseId,
    InvocationId,
    LeaseId,
    Microcredits,
    format_instant,
)
from mutualedge.protocol import (
    BLOCKS_MAX,
    MESSAGE_BYTES_MAX,
    Accepted,
    AddCheckpoint,
    Answer,
    AskBlocks,
    Asked,
    Blocks,
    CheckpointCosigned,
    CommandsOrdered,
    Effects,
    Note,
    Refused,
    Reply,
    Request,
    SignedBlock,
    SubmitCommands,
    SubmitCountersignatures,
    TimerFired,
    Write,
    encode_message,
)
from mutualedge.signing import Envelope, SigningKey, parse_canonical, sign_record
from mutualedge.tlog import Checkpoint, NoteSigner, add_checkpoint_body, sign_checkpoint
from tests.simulation.founding import keys_of, seed_of
from tests.simulation.schedule import START_NS
from tests.simulation.world_store import MemoryStore
from tests.unit.node_world import CANDY, FORGE, founded, invocation_of, new_hub, reading_of


class Bench:
    """A hub with its rows; what it is asked at one instant and what it answers."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.hub: Hub = new_hub(self.store)
        self.now_ns = START_NS
        self.effects = Effects()
        self.replies: dict[int, Reply] = {}
        self._ask_count = 0

    def restart(self) -> None:
        self.hub = new_hub(self.store)

    def handle(self, event: Asked | TimerFired) -> None:
        self.effects = self.hub.handle(event, self.now_ns)
        self.hub.validate()
        self.store.commit(self.effects.writes)
        for output in self.effects.outputs:
            if isinstance(output, Answer):
                self.replies[output.ask_id] = output.reply

    def ask(self, request: Request, peer: str = CANDY) -> int:
        self._ask_count += 1
        self.handle(Asked(ask_id=self._ask_count, peer=peer, request=request))
        return self._ask_count

    def seal(self) -> None:
        self.now_ns += GATHER_NS
        self.handle(TimerFired())

    def answer_to(self, request: Request) -> Reply:
        ask_id = self.ask(request)
        if ask_id not in self.replies:
            self.seal()
        return self.replies[ask_id]

    def code(self, request: Request) -> str:
        reply = self.answer_to(request)
        return reply.code if isinstance(reply, Refused) else ""

    def blocks(self, from_height: int = 1) -> Blocks:
        reply = self.answer_to(AskBlocks(from_height=from_height))
        assert isinstance(reply, Blocks)
        return reply

    def fill(self, count: int) -> None:
        """Make this many blocks of one command each."""
        for number in range(count):
            self.answer_to(SubmitCommands(commands=(command(number),)))


def command(
    number: int,
    key: SigningKey | None = None,
    action: Action | None = None,
    enterprise: EnterpriseId = CANDY,
) -> Envelope:
    limit = SetLimit(debtor=EnterpriseId(FORGE), limit_microcredits=Microcredits(number))
    content = Command(enterprise=enterprise, id=invocation_of(number), action=action or limit)
    return sign_record(content, key or keys_of(CANDY).settlement)


def countersignature(signed: SignedBlock, *keys: SigningKey) -> Envelope:
    block = parse_canonical(signed.block.payload, Block)
    word = Countersignature(height=block.height, block=signed.block.payload_digest)
    return sign_record(word, *keys)


@pytest.mark.parametrize("request_", [AskBlocks(from_height=1), AddCheckpoint(body="x")])
def test_only_members_read_and_are_witnessed(request_: Request) -> None:
    """The office's door is open to everybody; what it lets through is signed or has a secret."""
    bench = Bench()
    bench.fill(1)
    reply = bench.replies[bench.ask(request_, OFFICE_PEER)]
    assert isinstance(reply, Refused)
    assert reply.code == "hub.request.members-only"


def test_a_command_shown_again_at_the_door_makes_no_block() -> None:
    """Whoever read the ledger could otherwise fill it without a key; a new command goes in."""
    bench = Bench()
    bench.fill(1)
    again = SubmitCommands(commands=(command(0),))
    assert bench.replies[bench.ask(again, OFFICE_PEER)] == CommandsOrdered(height=1)
    assert bench.hub.wake_ns is None
    mixed = bench.ask(SubmitCommands(commands=(command(0), command(1))), OFFICE_PEER)
    bench.seal()
    assert bench.replies[mixed] == CommandsOrdered(height=2)


def test_commands_of_one_instant_share_a_block() -> None:
    """The first command waits 2 ms for others; then one commit answers them all."""
    bench = Bench()
    ask_ids = [bench.ask(SubmitCommands(commands=(command(number),))) for number in range(3)]
    assert bench.replies == {}
    assert bench.store.last_key("block") is None
    assert bench.hub.wake_ns == START_NS + GATHER_NS
    bench.seal()
    assert [bench.replies[ask_id] for ask_id in ask_ids] == [CommandsOrdered(height=1)] * 3
    block = parse_canonical(bench.blocks().blocks[0].block.payload, Block)
    assert len(block.commands) == len(block.outcomes) == 3


def test_a_block_and_its_state_are_durable_before_the_answer() -> None:
    """The effects that carry the answer carry the block's row and the ledger's."""
    bench = Bench()
    bench.answer_to(SubmitCommands(commands=(command(1),)))
    buckets = {write.bucket for write in bench.effects.writes}
    assert buckets == {"block", "ledger"}
    assert any(isinstance(output, Answer) for output in bench.effects.outputs)


def test_a_command_again_within_a_block_is_answered_from_its_outcome() -> None:
    """Ordered twice, carried out once: the block states the first one's outcome for both."""
    bench = Bench()
    bench.answer_to(SubmitCommands(commands=(command(7), command(7))))
    (block,) = (parse_canonical(each.block.payload, Block) for each in bench.blocks().blocks)
    first, second = block.outcomes
    assert first == second


def test_an_answered_command_makes_no_block_for_a_member_either() -> None:
    """The lost answer is in the block that the member will read; the ledger does not grow."""
    bench = Bench()
    bench.fill(1)
    for _ in range(3):
        assert bench.answer_to(SubmitCommands(commands=(command(0),))) == CommandsOrdered(height=1)
    bench.answer_to(SubmitCommands(commands=(command(0), command(1))))
    (_, second) = (parse_canonical(each.block.payload, Block) for each in bench.blocks().blocks)
    assert [each.id for each in second.outcomes] == [invocation_of(1)]


def test_a_member_cannot_grow_the_ledger_at_will(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its burst a member waits; another member does not wait for it."""
    monkeypatch.setattr("mutualedge.consortium.hub.COMMANDS_BURST", 5)
    bench = Bench()
    codes = [bench.code(SubmitCommands(commands=(command(number),))) for number in range(6)]
    assert codes == [*[""] * 5, "hub.member.full"]
    generous = SetLimit(debtor=CANDY, limit_microcredits=Microcredits(1))
    others = command(7, keys_of(FORGE).settlement, generous, FORGE)
    assert bench.code(SubmitCommands(commands=(others,))) == ""
    bench.now_ns += NS_PER_S
    assert bench.code(SubmitCommands(commands=(command(8),))) == ""


def test_more_commands_than_may_wait_are_refused() -> None:
    """Above the bound the asker is told to come back; those that wait are ordered."""
    bench = Bench()
    some = tuple(command(number) for number in range(64))
    waiting = [bench.ask(SubmitCommands(commands=some)) for _ in range(MEMPOOL_MAX // 64)]
    refused = bench.ask(SubmitCommands(commands=(command(1),)))
    reply = bench.replies[refused]
    assert isinstance(reply, Refused)
    assert reply.code == "hub.mempool.full"
    bench.seal()
    assert all(isinstance(bench.replies[each], CommandsOrdered) for each in waiting)
    assert bench.code(SubmitCommands(commands=(command(1),))) == ""


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        (command(1, keys_of(FORGE).settlement), "signing.envelope.unsigned"),
        (command(1, SigningKey(seed_of("stranger"))), "signing.envelope.unsigned"),
        (
            sign_record(
                Command(
                    enterprise=EnterpriseId("mill"),
                    id=InvocationId("0" * 32),
                    action=SetLimit(debtor=CANDY, limit_microcredits=Microcredits(1)),
                ),
                SigningKey(seed_of("mill")),
            ),
            "identity.member.unknown",
        ),
    ],
    ids=["other-member", "stranger", "no-member"],
)
def test_a_command_nobody_may_give_is_refused(envelope: Envelope, code: str) -> None:
    """Unsigned, signed by another, or of no member: refused before it waits for a block."""
    bench = Bench()
    assert bench.code(SubmitCommands(commands=(command(1), envelope))) == code
    assert bench.hub.wake_ns is None


def test_blocks_come_in_pages() -> None:
    """At most sixteen at a time, in order, with the height there is."""
    bench = Bench()
    bench.fill(BLOCKS_MAX + 3)
    first, rest = bench.blocks(), bench.blocks(BLOCKS_MAX + 1)
    assert [len(page.blocks) for page in (first, rest)] == [BLOCKS_MAX, 3]
    assert first.height == rest.height == BLOCKS_MAX + 3
    heights = [
        parse_canonical(each.block.payload, Block).height for each in (*first.blocks, *rest.blocks)
    ]
    assert heights == list(range(1, BLOCKS_MAX + 4))
    assert bench.blocks(BLOCKS_MAX + 4).blocks == ()


def large_claim(number: int) -> Envelope:
    """Return a command of about 170 KiB that is signed well and refused by the contract."""
    junk = sign_record(reading_of(number), keys_of(CANDY).settlement)
    junk = msgspec.structs.replace(junk, payload=bytes(1800))
    action = Claim(lease=LeaseId("ab" * 32), vouchers=(junk,) * 60, batches=())
    return command(number, action=action)


def test_a_reply_with_blocks_fits_a_message() -> None:
    """However large the commands are, what a follower asks for can be sent to it."""
    bench = Bench()
    for number in range(6):
        bench.answer_to(SubmitCommands(commands=tuple(large_claim(each) for each in (number,) * 4)))
    height, seen = bench.blocks().height, 0
    while seen < height:
        page = bench.blocks(seen + 1)
        assert len(page.blocks) >= 1
        assert len(encode_message(page)) <= MESSAGE_BYTES_MAX
        seen += len(page.blocks)
    assert seen == height


def test_a_missing_block_is_said_so() -> None:
    """A store that lost a block says which, instead of answering without it."""
    bench = Bench()
    bench.fill(2)
    bench.restart()
    bench.store.commit([Write(bucket="block", key="000000000001", value=None)])
    reply = bench.answer_to(AskBlocks(from_height=1))
    assert isinstance(reply, Refused)
    assert reply.code == "hub.block.missing"
    assert "Block 1 " in reply.sentence


def test_a_follower_gets_the_same_state_from_the_blocks() -> None:
    """Executing the blocks again leads to the state digest each of them states."""
    bench = Bench()
    bench.fill(3)
    follower = Ledger(founded().consortium, ())
    for signed in bench.blocks().blocks:
        follower.apply(signed.block, bench.now_ns)
    assert follower.state_digest == bench.hub.ledger.state_digest


def test_a_restarted_hub_continues_the_chain() -> None:
    """The next block follows the last one of the life before, on the same state."""
    bench = Bench()
    bench.fill(2)
    state = bench.hub.ledger.state_digest
    bench.restart()
    assert bench.hub.ledger.state_digest == state
    bench.answer_to(SubmitCommands(commands=(command(9),)))
    second, third = bench.blocks(2).blocks
    block = parse_canonical(third.block.payload, Block)
    assert (block.height, block.previous) == (3, second.block.payload_digest)


def test_commands_that_waited_when_the_hub_died_are_not_half_done() -> None:
    """A crash before the block leaves nothing; its askers ask again."""
    bench = Bench()
    bench.ask(SubmitCommands(commands=(command(1),)))
    bench.restart()
    assert bench.hub.ledger.height == 0
    assert bench.answer_to(SubmitCommands(commands=(command(1),))) == CommandsOrdered(height=1)


def test_a_members_countersignature_is_kept() -> None:
    """It is durable, handed out with its block, and there once however often it comes."""
    bench = Bench()
    bench.fill(1)
    (signed,) = bench.blocks().blocks
    word = countersignature(signed, keys_of(FORGE).settlement)
    request = SubmitCountersignatures(countersignatures=(word, word))
    for _ in range(2):
        assert isinstance(bench.answer_to(request), Accepted)
    assert bench.blocks().blocks[0].countersignatures == (word,)
    bench.restart()
    assert bench.blocks().blocks[0].countersignatures == (word,)


def test_a_foreign_countersignature_is_refused() -> None:
    """Only members' settlement keys vouch; a stranger's word is not kept."""
    bench = Bench()
    bench.fill(1)
    (signed,) = bench.blocks().blocks
    for keys in ((SigningKey(seed_of("stranger")),), (keys_of(FORGE).node,), ()):
        word = countersignature(signed, *keys)
        request = SubmitCountersignatures(countersignatures=(word,))
        assert bench.code(request) == "hub.countersignature.unsigned"
    assert bench.blocks().blocks[0].countersignatures == ()


def test_one_member_cannot_bloat_a_block() -> None:
    """Spare signatures make no further countersignature: a block has at most one a member."""
    bench = Bench()
    bench.fill(1)
    (signed,) = bench.blocks().blocks
    for number in range(5):
        spare = SigningKey(seed_of("spare", f"{number}"))
        word = countersignature(signed, keys_of(FORGE).settlement, spare)
        bench.answer_to(SubmitCountersignatures(countersignatures=(word,)))
    bench.answer_to(
        SubmitCountersignatures(
            countersignatures=(countersignature(signed, keys_of(FORGE).settlement),)
        )
    )
    assert len(bench.blocks().blocks[0].countersignatures) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"height": 2}, "hub.countersignature.ahead"),
        ({"block": "ab" * 32}, "hub.countersignature.other-block"),
    ],
    ids=str,
)
def test_a_countersignature_of_another_block_is_refused(
    changes: dict[str, object], code: str
) -> None:
    """A member that saw another block, or one that is not there yet, is told so."""
    bench = Bench()
    bench.fill(1)
    (signed,) = bench.blocks().blocks
    word = parse_canonical(countersignature(signed).payload, Countersignature)
    wrong = sign_record(msgspec.structs.replace(word, **changes), keys_of(FORGE).settlement)
    assert bench.code(SubmitCountersignatures(countersignatures=(wrong,))) == code


def test_a_countersignature_is_of_its_own_type() -> None:
    """Bytes that a member signed as something else are no countersignature."""
    bench = Bench()
    bench.fill(1)
    (signed,) = bench.blocks().blocks
    word = countersignature(signed, keys_of(FORGE).settlement)
    renamed = msgspec.structs.replace(word, payload_type="application/other")
    assert bench.code(SubmitCountersignatures(countersignatures=(renamed,))) != ""
    assert bench.blocks().blocks[0].countersignatures == ()


def test_a_misplaced_request_is_refused() -> None:
    """A device's reading is for a member, not for the hub."""
    assert Bench().code(reading_of(1)) == "hub.request.misplaced"


def checkpoint_body(root: bytes) -> str:
    origin = founded().consortium.log_origin(FORGE)
    note = sign_checkpoint(
        Checkpoint(origin=origin, size=1, root=root),
        NoteSigner(name=origin, key=keys_of(FORGE).log),
    )
    return add_checkpoint_body(0, (), note)


def test_the_hub_witnesses_and_remembers() -> None:
    """It cosigns one branch of a log, durably, and never the other."""
    bench = Bench()
    first = bench.answer_to(AddCheckpoint(body=checkpoint_body(bytes(32))))
    assert isinstance(first, CheckpointCosigned)
    assert [write.bucket for write in bench.effects.writes] == ["witness"]
    bench.restart()
    forked = bench.answer_to(AddCheckpoint(body=checkpoint_body(b"\1" * 32)))
    assert not isinstance(forked, CheckpointCosigned)


def test_the_hub_shows_its_members_and_how_far_the_ledger_is_final() -> None:
    """Blocks are final once enough members signed every one below; a restart forgets no block."""
    bench = Bench()
    bench.fill(2)
    assert (bench.hub.snapshot().ledger_height, bench.hub.snapshot().final_height) == (2, 0)
    first, second = bench.blocks().blocks
    for signed in (second, first):
        for name in (CANDY, FORGE):
            word = countersignature(signed, keys_of(name).settlement)
            bench.answer_to(SubmitCountersignatures(countersignatures=(word,)))
        assert bench.hub.snapshot().final_height == (0 if signed is second else 2)
    bench.restart()
    assert bench.hub.snapshot().final_height == 2


def test_the_hub_counts_what_it_did_and_whom_it_heard() -> None:
    """Commands by their outcome, and when each member last asked something."""
    bench = Bench()
    bench.fill(1)
    bench.code(SubmitCommands(commands=(command(2, action=claim_of_nothing()),)))
    bench.ask(SubmitCommands(commands=(command(3),)))
    view = bench.hub.snapshot()
    assert (view.commands_done, view.commands_refused, view.commands_waiting) == (1, 1, 1)
    heard = {member.enterprise: member.heard for member in view.members}
    assert heard == {CANDY: format_instant(bench.now_ns), FORGE: None}
    assert [member.log_size for member in view.members] == [0, 0]
    bench.answer_to(AddCheckpoint(body=checkpoint_body(bytes(32))))
    assert [member.log_size for member in bench.hub.snapshot().members] == [0, 1]


def claim_of_nothing() -> Claim:
    """Return a claim under a lease that does not exist; the contract refuses it."""
    return Claim(lease=LeaseId("0" * 64), vouchers=(), batches=())


def test_a_hub_whose_clock_is_behind_says_so_and_never_goes_back() -> None:
    """Set back by an hour between two starts, it goes on at the ledger's time and names the gap."""
    bench = Bench()
    bench.fill(1)
    bench.now_ns -= 3600 * NS_PER_S
    bench.restart()
    bench.handle(TimerFired())
    (note,) = [each for each in bench.effects.outputs if isinstance(each, Note)]
    assert (note.name, dict(note.fields)["by_s"]) == ("clock.behind", 3600)
    assert "correct the clock" in str(dict(note.fields)["advice"])
    bench.answer_to(SubmitCommands(commands=(command(7),)))
    times = [parse_canonical(each.block.payload, Block).time for each in bench.blocks().blocks]
    assert times[0] == times[1]
