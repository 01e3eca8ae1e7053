"""Blocks: what the writer makes, what followers accept, and what happens twice only once."""

from collections.abc import Callable, Iterator
from hashlib import sha256

import msgspec
import pytest

from mutualedge.errors import CorruptState, MutualEdgeError, PeerError, UsageError
from mutualedge.ledger import (
    BLOCK_SKEW_NS_MAX,
    COMMANDS_MAX,
    Block,
    Claim,
    Command,
    LeaseChanged,
    Ledger,
    LimitChanged,
    SetLimit,
    fit,
    perform,
)
from mutualedge.ledger.blocks import BLOCK_BYTES_MAX
from mutualedge.ledger.commands import COMMAND_BYTES_MAX
from mutualedge.ledger.engine import EXECUTED_MAX
from mutualedge.model import (
    NS_PER_MS,
    NS_PER_S,
    Digest,
    EnterpriseId,
    InvocationId,
    KeyId,
    Microcredits,
    format_instant,
)
from mutualedge.signing import Envelope, Signature, canonical_bytes, parse_canonical, sign_record
from tests.unit.ledger_world import (
    ACME,
    BOLT,
    CORD,
    COST_MAX_MICROCREDITS,
    DUNE,
    START_NS,
    WRITER,
    DictContext,
    World,
    agreement,
    batch,
    claim,
    consortium,
    ended_world,
    key,
    lent_world,
    opening,
    settle,
    settlement_key,
    settles_until_ns,
    signed_command,
    voucher,
)


def lend(debtor: str, amount: int) -> SetLimit:
    return SetLimit(debtor=EnterpriseId(debtor), limit_microcredits=Microcredits(amount))


def busy_world() -> World:
    """Return a world whose blocks hold commands done and refused, and a claim that posted."""
    world, lease_id = ended_world()
    world.ask(BOLT, claim(lease_id, 600, 900))
    world.ask(ACME, claim(lease_id, 600))
    world.at(settles_until_ns())
    world.run()
    return world


HOUR_NS = 3600 * NS_PER_S


def follower_of(world: World, count: int | None = None) -> Ledger:
    follower = Ledger(consortium(), ())
    for block in world.blocks[:count]:
        follower.apply(block, world.now_ns)
    return follower


def forge(block: Envelope, change: Callable[[Block], Block]) -> Envelope:
    """Return the block changed and signed by the writer itself."""
    return sign_record(change(parse_canonical(block.payload, Block)), WRITER)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(MutualEdgeError) as caught:
        call()
    return caught.value.code


def test_followers_get_the_writers_state() -> None:
    """The same blocks lead to the same digest, rows and answers."""
    world = busy_world()
    follower = follower_of(world)
    follower.validate()
    assert follower.state_digest == world.ledger.state_digest
    assert follower.snapshot() == world.ledger.snapshot()
    assert follower.balance(BOLT).balance_microcredits == 900


def test_persisted_writes_restore_the_ledger() -> None:
    """Rows written so far rebuild the state, and the next block fits onto it."""
    world = busy_world()
    restored = Ledger(consortium(), world.rows.items())
    assert restored.snapshot() == world.ledger.snapshot()
    assert restored.head_digest == world.blocks[-1].payload_digest
    world.limit(ACME, CORD, 5)
    restored.apply(world.blocks[-1], world.now_ns)
    assert restored.state_digest == world.ledger.state_digest


def test_the_state_digest_chains_every_write() -> None:
    """Anyone can recompute it: SHA-256 of the digest before and the block's writes, sorted."""
    world, digest = World(), bytes(32)
    for amount in (5, 5):
        command = world.command(BOLT, lend(ACME, amount))
        writes = world.ledger.execute([command], START_NS, WRITER).writes
        changed = {k: v for k, v in writes.items() if not k.startswith(("chain/", "executed/"))}
        digest = sha256(digest + canonical_bytes(changed)).digest()
        assert world.ledger.state_digest == digest.hex()


def test_a_follower_persists_what_the_writer_does() -> None:
    """Both return the same rows for the same block."""
    world, follower = World(), Ledger(consortium(), ())
    execution = world.ledger.execute([world.command(ACME, lend(BOLT, 5))], START_NS, WRITER)
    assert follower.apply(execution.block, START_NS) == execution.writes


def test_rows_without_their_head_stop_the_ledger() -> None:
    """A state of unknown height is not guessed at."""
    with pytest.raises(CorruptState, match=r"ledger\.head\.missing"):
        Ledger(consortium(), [("account/acme", b"{}")])


def test_another_engine_reaches_the_same_rows() -> None:
    """The contract needs nothing but the context: a plain dictionary hosts it as well."""
    world, lease_id = ended_world()
    world.ask(BOLT, claim(lease_id, 600, 900))
    plain = DictContext()
    for caller, now_ns, action in (
        (BOLT, START_NS, lend(ACME, COST_MAX_MICROCREDITS)),
        (ACME, START_NS, opening(agreement())),
        (BOLT, world.now_ns, claim(lease_id, 600, 900)),
    ):
        plain.caller, plain.now_ns = caller, now_ns
        perform(plain, consortium(), Command(enterprise=caller, id=world.draw_id(), action=action))
    engine_rows = ("outcome/", "executed/", "chain/")
    rows = {k: v for k, v in world.rows.items() if not k.startswith(engine_rows)}
    assert plain.rows == rows


def test_a_command_sent_again_gets_its_recorded_outcome() -> None:
    """In the same block or a later one, the second time changes nothing."""
    world = World()
    first = world.command(BOLT, lend(ACME, 100))
    outcomes = world.run(first, first)
    world.limit(BOLT, ACME, 7)
    (again,) = world.run(first)
    assert outcomes == (again, again)
    assert (again.code, again.height) == ("done", 1)
    assert world.ledger.position(BOLT, ACME).limit_microcredits == 7


def test_a_refused_command_stays_refused() -> None:
    """A retry by id asks what happened, it does not try again."""
    world = World()
    refused = world.command(ACME, opening(agreement()))
    assert world.run(refused)[0].code == "ledger.credit.overdrawn"
    world.limit(BOLT, ACME, COST_MAX_MICROCREDITS)
    assert world.run(refused)[0].code == "ledger.credit.overdrawn"
    assert world.ask(ACME, opening(agreement())) == "done"


def test_a_command_id_means_one_command() -> None:
    """Another command under a used id is refused, and the first one's outcome stays."""
    world = World()
    used = InvocationId("5" * 32)
    for amount, code in ((5, "done"), (6, "ledger.command.id-reused")):
        command = Command(enterprise=BOLT, id=used, action=lend(ACME, amount))
        assert world.run(signed_command(command))[0].code == code
    recorded = world.ledger.outcome(BOLT, used)
    assert recorded
    assert (recorded.code, recorded.is_done) == ("done", True)
    assert world.ledger.position(BOLT, ACME).limit_microcredits == 5


def test_nobody_can_take_another_members_command_id() -> None:
    """Ids are each enterprise's own."""
    world = World()
    used = InvocationId("5" * 32)
    for enterprise, debtor in ((CORD, ACME), (BOLT, ACME)):
        command = Command(enterprise=enterprise, id=used, action=lend(debtor, 5))
        assert world.run(signed_command(command))[0].code == "done"
    assert world.ledger.outcome(DUNE, used) is None


def test_one_bad_command_does_not_poison_its_block() -> None:
    """Those before and after a refused one take effect; its own writes are gone."""
    world = World()
    outcomes = world.run(
        world.command(BOLT, lend(ACME, COST_MAX_MICROCREDITS)),
        world.command(ACME, opening(agreement(price=4))),
        world.command(ACME, opening(agreement())),
    )
    assert [each.code for each in outcomes] == ["done", "ledger.credit.overdrawn", "done"]
    assert world.pending() == COST_MAX_MICROCREDITS


def unsigned_command() -> Envelope:
    command = Command(enterprise=ACME, id=InvocationId("6" * 32), action=lend(BOLT, 1))
    return sign_record(command, settlement_key(BOLT))


def stranger_command() -> Envelope:
    name = EnterpriseId("evil")
    command = Command(enterprise=name, id=InvocationId("6" * 32), action=lend(BOLT, 1))
    return sign_record(command, settlement_key(name))


def oversized_command() -> Envelope:
    payload = b" " * (COMMAND_BYTES_MAX + 1)
    return msgspec.structs.replace(unsigned_command(), payload=payload)


def commands_with_junk() -> Iterator[Envelope]:
    """Yield a good command with bytes beside its signature: another's, or none at all."""
    command = Command(enterprise=ACME, id=InvocationId("6" * 32), action=lend(BOLT, 1))
    good = sign_record(command, settlement_key(ACME))
    yield sign_record(command, settlement_key(ACME), settlement_key(BOLT))
    for keyid in (good.signatures[0].keyid, KeyId("ab" * 32)):
        junk = Signature(keyid=keyid, sig=b"j" * 64)
        yield msgspec.structs.replace(good, signatures=(*good.signatures, junk))


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        (unsigned_command(), "signing.envelope.unsigned"),
        (stranger_command(), "identity.member.unknown"),
        (oversized_command(), "ledger.command.too-large"),
        (agreement(), "signing.json.malformed"),
        *((each, "ledger.command.signatures") for each in commands_with_junk()),
    ],
)
def test_what_no_member_commanded_enters_no_block(envelope: Envelope, code: str) -> None:
    """The writer drops it with a reason, refuses it up front, and carries on."""
    world = World()
    good = world.command(BOLT, lend(ACME, 5))
    execution = world.ledger.execute([envelope, good], START_NS, WRITER)
    assert [(each.index, each.code) for each in execution.dropped] == [(0, code)]
    assert [each.code for each in execution.outcomes] == ["done"]
    assert code_of(lambda: world.ledger.verify_command(envelope)) == code


def test_a_member_takes_no_block_with_junk_in_it() -> None:
    """A writer that lets it pass forges the record of what its members commanded."""
    world = World()
    good = world.command(BOLT, lend(ACME, 5))
    block = parse_canonical(world.ledger.execute([good], START_NS, WRITER).block.payload, Block)
    junk = Signature(keyid=KeyId("ab" * 32), sig=b"j" * 64)
    command = msgspec.structs.replace(good, signatures=(*good.signatures, junk))
    padded = sign_record(msgspec.structs.replace(block, commands=(command,)), WRITER)
    follower = Ledger(consortium(), ())
    assert code_of(lambda: follower.apply(padded, START_NS)) == "ledger.block.command"


def test_events_tell_what_changed() -> None:
    """Done commands report, refused ones do not."""
    world = World()
    commands = [
        world.command(BOLT, lend(ACME, COST_MAX_MICROCREDITS)),
        world.command(ACME, opening(agreement())),
        world.command(ACME, opening(agreement(nonce=1))),
    ]
    events = world.ledger.execute(commands, START_NS, WRITER).events
    assert [type(each) for each in events] == [LimitChanged, LeaseChanged]


def test_block_time_never_goes_backwards() -> None:
    """A writer whose clock jumps back repeats the last time."""
    world = World()
    world.run()
    execution = world.ledger.execute([], START_NS - NS_PER_S, WRITER)
    assert parse_canonical(execution.block.payload, Block).time == format_instant(START_NS)


def test_only_the_writer_writes() -> None:
    """Another key is stopped before it signs."""
    ledger = Ledger(consortium(), ())
    assert code_of(lambda: ledger.execute([], START_NS, key("other"))) == "ledger.writer.key"


def test_a_block_holds_a_bounded_number_of_commands() -> None:
    """What ``fit`` says goes in; one more is our caller's fault."""
    world = World()
    commands = [world.command(BOLT, lend(ACME, 5))] * (COMMANDS_MAX + 1)
    assert fit(commands) == world.ledger.fit(commands) == COMMANDS_MAX
    assert code_of(lambda: world.run(*commands)) == "ledger.block.too-many"
    assert len(world.run(*commands[:COMMANDS_MAX])) == COMMANDS_MAX


def test_a_block_holds_a_bounded_number_of_bytes() -> None:
    """The largest claims fill a block below the limit of a signed document; none is stuck."""
    world, lease_id = ended_world()
    meters = [key(f"meter {index}") for index in range(64)]
    vouchers = tuple(voucher(lease_id, 30, meter=meter) for meter in meters)
    batches = tuple(batch(lease_id, 60, meter=meter) for meter in meters)
    action = Claim(lease=lease_id, vouchers=vouchers, batches=batches)
    commands = [world.command(BOLT, action) for _ in range(16)]
    count = fit(commands)
    assert 3 <= count < len(commands)
    assert world.run(*commands[:count])[0].code == "done"
    assert 0.7 * BLOCK_BYTES_MAX < len(world.blocks[-1].payload) <= BLOCK_BYTES_MAX
    beyond_all = msgspec.structs.replace(commands[0], payload=b" " * (1 << 20))
    assert fit([beyond_all, commands[0]]) == 2


def replaced(block: Block, **changes: object) -> Block:
    return msgspec.structs.replace(block, **changes)


def done(block: Block) -> tuple[object, ...]:
    """Return the outcomes with the refusal of the first command turned into success."""
    return (msgspec.structs.replace(block.outcomes[0], code="done"), *block.outcomes[1:])


def reordered(block: Block) -> Block:
    """Move the limit before the lease that it would have made possible."""
    commands = (block.commands[1], block.commands[0], block.commands[2])
    outcomes = (block.outcomes[1], block.outcomes[0], block.outcomes[2])
    raised = sign_record(
        msgspec.structs.replace(
            parse_canonical(commands[0].payload, Command), action=lend(ACME, COST_MAX_MICROCREDITS)
        ),
        settlement_key(BOLT),
    )
    return replaced(block, commands=(raised, *commands[1:]), outcomes=outcomes)


def omitted(block: Block) -> Block:
    """Leave the last command out, with its outcome, but keep its effect."""
    return replaced(block, commands=block.commands[:-1], outcomes=block.outcomes[:-1])


def swollen(block: Block) -> Block:
    """Fill a block beyond what reaches every follower with its signatures."""
    bulky = Envelope(payload=bytes(BLOCK_BYTES_MAX * 4 // 5), payload_type="x", signatures=())
    return replaced(block, commands=(*block.commands, bulky))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (swollen, "ledger.block.oversize"),
        (lambda block: replaced(block, outcomes=block.outcomes[:-1]), "ledger.block.outcomes"),
        (lambda block: replaced(block, outcomes=done(block)), "ledger.block.outcomes"),
        (lambda block: replaced(block, commands=block.commands[::-1]), "ledger.block.outcomes"),
        (reordered, "ledger.block.outcomes"),
        (omitted, "ledger.block.state"),
        (lambda block: replaced(block, state=Digest("9" * 64)), "ledger.block.state"),
        (lambda block: replaced(block, previous=Digest("9" * 64)), "ledger.block.fork"),
        (lambda block: replaced(block, height=block.height + 1), "ledger.block.gap"),
        (lambda block: replaced(block, height=block.height - 1), "ledger.block.fork"),
        (lambda block: replaced(block, time=format_instant(START_NS - 1)), "ledger.block.time"),
        (
            lambda block: replaced(
                block, time=format_instant(START_NS + BLOCK_SKEW_NS_MAX + NS_PER_MS)
            ),
            "ledger.block.ahead",
        ),
        (
            lambda block: replaced(block, commands=(unsigned_command(), *block.commands[1:])),
            "ledger.block.command",
        ),
    ],
)
def test_followers_detect_what_the_writer_made_up(
    change: Callable[[Block], Block], code: str
) -> None:
    """A lie in any field of a block is refused by its code and leaves no trace."""
    world = World()
    world.run()
    follower = follower_of(world)
    before = follower.snapshot()
    world.run(
        world.command(ACME, opening(agreement())),
        world.command(BOLT, lend(ACME, 5)),
        world.command(CORD, lend(ACME, 5)),
    )
    forged = forge(world.blocks[-1], change)
    assert code_of(lambda: follower.apply(forged, START_NS)) == code
    assert follower.snapshot() == before
    follower.apply(world.blocks[-1], START_NS)
    assert follower.state_digest == world.ledger.state_digest


def test_a_block_is_the_writers_or_none() -> None:
    """A block signed by a member, or another document of the writer, is forged."""
    world = World()
    world.run()
    block = parse_canonical(world.blocks[0].payload, Block)
    follower = Ledger(consortium(), ())
    for forged in (sign_record(block, settlement_key(ACME)), agreement()):
        with pytest.raises(PeerError, match=r"ledger\.block\.forged"):
            follower.apply(forged, START_NS)


def test_blocks_come_in_order_and_once() -> None:
    """A later block is a gap, an executed one a repetition, another at its height a fork."""
    world = World()
    for amount in (1, 2):
        world.limit(BOLT, ACME, amount)
    follower = Ledger(consortium(), ())
    assert code_of(lambda: follower.apply(world.blocks[1], START_NS)) == "ledger.block.gap"
    follower.apply(world.blocks[0], START_NS)
    assert code_of(lambda: follower.apply(world.blocks[0], START_NS)) == "ledger.block.repeated"
    other = World()
    other.limit(CORD, ACME, 1)
    assert code_of(lambda: follower.apply(other.blocks[0], START_NS)) == "ledger.block.fork"


def test_a_rewritten_past_is_a_fork() -> None:
    """A second chain of the writer is noticed by whoever executed the first."""
    world, other = World(), World()
    world.limit(BOLT, ACME, 1)
    for amount in (2, 3):
        other.limit(BOLT, ACME, amount)
    follower = follower_of(world)
    assert code_of(lambda: follower.apply(other.blocks[1], START_NS)) == "ledger.block.fork"


def test_a_block_is_final_when_more_than_two_thirds_vouch_for_it() -> None:
    """Of four members three are enough; two, or one three times, are not."""
    world = World()
    world.limit(BOLT, ACME, 1)
    block, follower = world.blocks[0], follower_of(world)
    words = [follower.countersign(block, settlement_key(name), name) for name in (ACME, BOLT, CORD)]
    assert follower.is_final(block, words)
    assert not follower.is_final(block, words[:2])
    assert not follower.is_final(block, [words[0]] * 3)


def test_words_for_another_block_do_not_count() -> None:
    """A countersignature names one block; forged ones name none."""
    world, other = World(), World()
    world.limit(BOLT, ACME, 1)
    other.limit(BOLT, ACME, 2)
    names = (ACME, BOLT, CORD)
    follower = follower_of(other)
    words = [follower.countersign(other.blocks[0], settlement_key(n), n) for n in names]
    assert not world.ledger.is_final(world.blocks[0], words)
    word = world.ledger.countersign(world.blocks[0], settlement_key(ACME), ACME)
    strangers = [msgspec.structs.replace(word, signatures=each.signatures) for each in words]
    assert not world.ledger.is_final(world.blocks[0], strangers)


def test_only_executed_blocks_are_countersigned() -> None:
    """Old ones still are; a block of another chain is not, nor with another's key."""
    world, other = busy_world(), World()
    other.limit(BOLT, ACME, 2)
    follower = follower_of(world)
    old = follower.countersign(world.blocks[0], settlement_key(ACME), ACME)
    assert old.signatures[0].keyid == settlement_key(ACME).key_id
    with pytest.raises(UsageError, match=r"ledger\.countersign\.not-executed"):
        follower.countersign(other.blocks[0], settlement_key(ACME), ACME)
    with pytest.raises(UsageError, match=r"ledger\.countersign\.key"):
        follower.countersign(world.blocks[0], settlement_key(BOLT), ACME)


def test_the_memory_of_blocks_is_bounded() -> None:
    """Beyond the bound the oldest digest goes, in memory and in the rows alike."""
    ledger = Ledger(consortium(), ())
    first = ledger.execute([], START_NS, WRITER)
    assert first.writes["executed/000000000001"] == first.block.payload_digest.encode()
    for _ in range(EXECUTED_MAX - 1):
        assert "executed/000000000001" not in ledger.execute([], START_NS, WRITER).writes
    assert ledger.execute([], START_NS, WRITER).writes["executed/000000000001"] is None
    with pytest.raises(PeerError, match=r"ledger\.block\.repeated"):
        ledger.apply(first.block, START_NS)
    with pytest.raises(UsageError, match=r"ledger\.countersign\.not-executed"):
        ledger.countersign(first.block, settlement_key(ACME), ACME)


def test_a_snapshot_does_not_change_with_the_ledger() -> None:
    """What a console holds is the state at one height."""
    world, lease_id = lent_world()
    before = world.ledger.snapshot()
    world.ask(ACME, settle(lease_id, 900))
    assert (before.head.height, world.ledger.height) == (2, 3)
    assert dict(before.leases)[lease_id].posted_microcredits == 0
    assert dict(before.accounts)[ACME].debits_pending_microcredits == COST_MAX_MICROCREDITS
    assert [line[:2] for line in before.credit_lines] == [(BOLT, ACME)]


@pytest.mark.parametrize("row", ["account/acme", "position/bolt/acme", "due/", "transfer/"])
def test_validation_sees_a_damaged_state(row: str) -> None:
    """A missing account, position, due row or transfer breaks an invariant."""
    world, _ = lent_world()
    rows = {name: value for name, value in world.rows.items() if not name.startswith(row)}
    with pytest.raises(AssertionError):
        Ledger(consortium(), rows.items()).validate()


def test_a_ledger_that_stands_still_is_followed_by_a_clock_behind_it() -> None:
    """A day ahead once, and executed then: blocks of the same time add nothing to that."""
    world = World()
    world.now_ns = START_NS + 24 * HOUR_NS
    world.run()
    follower = follower_of(world)
    world.now_ns = START_NS
    world.run(world.command(BOLT, lend(ACME, 5)))
    follower.apply(world.blocks[-1], START_NS)
    assert follower.state_digest == world.ledger.state_digest
    assert follower.time_ns == START_NS + 24 * HOUR_NS


def test_a_block_ahead_names_both_clocks_and_what_to_do() -> None:
    """Whoever reads the refusal knows which times differ, and that a clock is to be corrected."""
    world = World()
    follower = follower_of(world)
    world.run()
    with pytest.raises(PeerError, match=r"our clock .*: correct the clock") as refused:
        follower.apply(world.blocks[-1], START_NS - HOUR_NS)
    assert refused.value.code == "ledger.block.ahead"
