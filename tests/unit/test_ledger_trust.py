"""The trust file on the ledger: what is adopted, from when on it holds, and for whom."""

from collections.abc import Mapping, Sequence

import msgspec
import pytest

from mutualedge.errors import CorruptState, PeerError, RefusedByPolicy
from mutualedge.identity import verify_successor, verify_trust
from mutualedge.ledger import (
    AdoptTrust,
    Countersignature,
    Executed,
    Ledger,
    TrustAdopted,
    replay,
)
from mutualedge.ledger.engine import EXECUTED_MAX
from mutualedge.ledger.trust import TRUST_TABLE
from mutualedge.model import NS_PER_MS, ZERO_DIGEST, Digest, EnterpriseId
from mutualedge.signing import Envelope, sign_record, verify_record
from tests.unit.ledger_world import (
    ACME,
    BOLT,
    CORD,
    COST_MAX_MICROCREDITS,
    DISPUTE_MS,
    DUNE,
    ERGO,
    NAMES,
    WRITER,
    World,
    agreement,
    claim,
    consortium,
    ended_world,
    enterprise_key,
    lent_world,
    opening,
    settle,
    settlement_key,
    settles_until_ns,
    successor,
)

GOLDEN_STATE = "ebae6bc553819af3224c9a0b04ebfd791ebc8b330238fee6b3d5ddb07a706f2e"
"""Of ``test_a_follower_replays_versions_too``; another one would be another ledger."""

WITHOUT_DUNE = (ACME, BOLT, CORD)


def adoption(
    world: World,
    *names: EnterpriseId,
    signers: Sequence[str] | None = None,
    changes: Mapping[str, object] | None = None,
) -> AdoptTrust:
    before = world.ledger.consortium
    return AdoptTrust(trust=successor(before, *names, signers=signers, changes=changes))


def adopt(world: World, *names: EnterpriseId, by: str = ACME) -> str:
    return world.ask(by, adoption(world, *names))


def exit_of(leaver: EnterpriseId, world: World, **executed: object) -> AdoptTrust:
    """Return how a member leaves by its own signature, naming the head unless told."""
    before, ledger = world.ledger.consortium, world.ledger
    staying = [each.enterprise for each in before.members if each.enterprise != leaver]
    head = Executed(height=ledger.height, block=ledger.head_digest)
    return AdoptTrust(
        trust=successor(before, *staying, signers=(leaver,)),
        executed=msgspec.structs.replace(head, **executed),
    )


def world_of_three() -> World:
    """Return acme, bolt and cord, whose version holds from block 2 on, after block 3."""
    world = World()
    assert adopt(world, *WITHOUT_DUNE) == "done"
    world.run()
    world.run()
    return world


def countersigned(world: World, height: int, *names: str) -> list[Envelope]:
    word = Countersignature(height=height, block=world.blocks[height - 1].payload_digest)
    return [sign_record(word, settlement_key(name)) for name in names]


def test_a_version_holds_from_the_next_block_on() -> None:
    """Its own block is still of the members before; the newcomer commands from the next one."""
    world = World()
    assert adopt(world, *NAMES, ERGO) == "done"
    assert world.ledger.consortium.trust.version == 2
    assert world.ledger.consortium_at(1) is consortium()
    assert world.ledger.consortium_at(2) is world.ledger.consortium
    world.limit(ERGO, ACME, 10)
    world.limit(ACME, ERGO, 10)


def test_the_adoption_is_told() -> None:
    """Readers of events learn version, digest and height."""
    world = World()
    command = world.command(ACME, adoption(world, *NAMES, ERGO))
    execution = world.ledger.execute([command], world.now_ns, WRITER)
    digest = world.ledger.consortium.digest
    assert execution.events == (TrustAdopted(version=2, digest=digest, from_height=2),)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": 3}, "identity.trust.version"),
        ({"previous": Digest("ab" * 32)}, "identity.trust.previous"),
        ({"writer_key": bytes(32)}, "identity.trust.fixed"),
        ({"members": ()}, "signing.json.malformed"),
    ],
)
def test_no_successor_is_no_version(changes: dict[str, object], code: str) -> None:
    """The refusal has the code of what is wrong, and the present version goes on."""
    world = World()
    assert world.ask(ACME, adoption(world, *NAMES, changes=changes)) == code
    assert world.ledger.consortium is consortium()


def test_two_of_four_adopt_nothing() -> None:
    """Whoever commands it, the signatures on the file decide."""
    world = World()
    few = adoption(world, *NAMES, ERGO, signers=(ACME, BOLT))
    assert world.ask(ACME, few) == "identity.trust.quorum"


def test_one_version_a_block() -> None:
    """Of two successors of one version in one block the first is adopted."""
    world = World()
    first, second = adoption(world, *NAMES, ERGO), adoption(world, *WITHOUT_DUNE)
    outcomes = world.run(world.command(ACME, first), world.command(BOLT, second))
    assert [each.code for each in outcomes] == ["done", "ledger.trust.adopted"]
    assert world.ledger.consortium.has(ERGO)


@pytest.mark.parametrize("leaver", [ACME, BOLT])
def test_nobody_leaves_an_open_lease(leaver: EnterpriseId) -> None:
    """Neither who owes nor who is owed, until the lease is resolved; others may go meanwhile."""
    world, lease_id = lent_world()
    staying = [name for name in NAMES if name != leaver]
    assert adopt(world, *staying, by=CORD) == "ledger.trust.unsettled"
    assert adopt(world, *WITHOUT_DUNE) == "done"
    world.at(settles_until_ns() - 1)
    assert world.ask(BOLT, claim(lease_id, 300)) == "done"
    staying.remove(DUNE)
    assert adopt(world, *staying, by=CORD) == "ledger.trust.unsettled"
    assert world.ask(ACME, settle(lease_id, 300)) == "done"
    assert adopt(world, *staying, by=CORD) == "done"
    assert world.balance(ACME) == -300
    assert world.balance(BOLT) == 300


def test_a_lease_that_fell_due_holds_nobody() -> None:
    """What is due is resolved at the start of the block, before anybody is let go."""
    world, _ = ended_world()
    world.at(settles_until_ns())
    assert adopt(world, ACME, CORD, DUNE) == "done"


def test_a_pending_claim_holds_both() -> None:
    """A claim moved the lease's end past its dispute window; until then nobody goes."""
    world, lease_id = ended_world()
    world.at(settles_until_ns() - 1)
    assert world.ask(BOLT, claim(lease_id, 300, 600)) == "done"
    world.at(settles_until_ns())
    assert adopt(world, BOLT, CORD, DUNE) == "ledger.trust.unsettled"
    world.wait(DISPUTE_MS * NS_PER_MS)
    assert adopt(world, BOLT, CORD, DUNE) == "done"
    assert world.balance(BOLT) == 600


def test_no_lease_opens_for_who_leaves_with_the_block() -> None:
    """The version before still holds for this block; a lease would outlive it."""
    world = World()
    world.limit(BOLT, ACME, COST_MAX_MICROCREDITS)
    leave = world.command(CORD, adoption(world, BOLT, CORD, DUNE))
    late = world.command(BOLT, opening(agreement()))
    outcomes = world.run(leave, late)
    assert [each.code for each in outcomes] == ["done", "ledger.lease.leaving"]
    assert world.pending() == 0


def test_a_lease_before_it_in_the_block_keeps_its_parties() -> None:
    """Order decides: what was opened first must be settled first."""
    world = World()
    world.limit(BOLT, ACME, COST_MAX_MICROCREDITS)
    early = world.command(ACME, opening(agreement()))
    leave = world.command(CORD, adoption(world, BOLT, CORD, DUNE))
    assert [each.code for each in world.run(early, leave)] == ["done", "ledger.trust.unsettled"]


def test_who_left_keeps_its_account_and_commands_nothing() -> None:
    """Its balance and credit lines stay; its commands are no member's; nobody settles for it."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, settle(lease_id, 600)) == "done"
    assert adopt(world, BOLT, CORD, DUNE) == "done"
    assert world.balance(ACME) == -600
    assert world.ledger.position(BOLT, ACME).limit_microcredits == COST_MAX_MICROCREDITS
    execution = world.ledger.execute(
        [world.command(ACME, adoption(world, *NAMES))], world.now_ns, WRITER
    )
    assert [each.code for each in execution.dropped] == ["identity.member.unknown"]
    fresh = agreement(starts_ns=world.now_ns, nonce=1)
    assert world.ask(BOLT, opening(fresh)) == "identity.member.unknown"
    assert sum(world.balance(name) for name in NAMES) == 0


def test_an_expired_lease_of_who_left_stays_expired() -> None:
    """Two signatures revive an expired lease only between members."""
    world, lease_id = ended_world()
    world.at(settles_until_ns())
    assert adopt(world, BOLT, CORD, DUNE) == "done"
    assert world.ask(BOLT, settle(lease_id, 300)) == "identity.member.unknown"
    assert world.ask(CORD, settle(lease_id, 300)) == "ledger.command.not-party"


def test_who_comes_back_finds_its_account() -> None:
    """The same card, the same name, the same balance."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, settle(lease_id, 600)) == "done"
    assert adopt(world, BOLT, CORD, DUNE) == "done"
    assert adopt(world, *NAMES, by=DUNE) == "done"
    world.limit(ACME, BOLT, 5)
    assert world.balance(ACME) == -600


def test_quorum_goes_by_height() -> None:
    """A block is final by the members of its own height, however many there are today."""
    world = World()
    world.run()
    assert adopt(world, ACME, BOLT) == "done"
    world.run()
    old, new = world.blocks[1], world.blocks[2]
    ledger = world.ledger
    assert not ledger.is_final(old, countersigned(world, 2, ACME, BOLT))
    assert ledger.is_final(old, countersigned(world, 2, ACME, BOLT, DUNE))
    assert ledger.is_final(new, countersigned(world, 3, ACME, BOLT))
    assert not ledger.is_final(new, countersigned(world, 3, ACME, CORD, DUNE))


def test_a_member_countersigns_for_its_own_heights() -> None:
    """Who joined vouches for nothing before it came, and who left for nothing after."""
    world = World()
    assert adopt(world, ACME, BOLT, CORD, ERGO) == "done"
    world.run()
    before, after = world.blocks
    ledger = world.ledger
    for block, name in ((before, DUNE), (after, ERGO)):
        word = ledger.countersign(block, settlement_key(name), name)
        record = verify_record(word, Countersignature, settlement_key(name).public_bytes)
        assert record.block == block.payload_digest
    for block, name in ((before, ERGO), (after, DUNE)):
        with pytest.raises(PeerError, match=r"identity\.member\.unknown"):
            ledger.countersign(block, settlement_key(name), name)


def test_a_restart_lands_on_the_latest_version() -> None:
    """From the founding trust file and the rows, on whatever height."""
    world = World()
    assert adopt(world, *NAMES, ERGO) == "done"
    assert adopt(world, *NAMES) == "done"
    again = Ledger(consortium(), world.rows.items())
    assert again.consortium.digest == world.ledger.consortium.digest
    assert again.consortium_at(2).has(ERGO)
    assert not again.consortium_at(3).has(ERGO)
    assert again.snapshot() == world.ledger.snapshot()


def test_rows_of_another_consortium_are_corrupt() -> None:
    """Versions that do not follow the founding file given are no state to go on from."""
    world = World()
    assert adopt(world, *NAMES, ERGO) == "done"
    trust = consortium().trust
    other = msgspec.structs.replace(trust, attestation_root=b"another")
    founded = verify_trust(sign_record(other, *map(enterprise_key, NAMES)))
    with pytest.raises(CorruptState, match=r"ledger\.trust\.corrupt"):
        Ledger(founded, world.rows.items())


def test_a_follower_replays_versions_too() -> None:
    """From the blocks alone come the very rows of the writer; this state is pinned for good."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, settle(lease_id, 600)) == "done"
    assert adopt(world, *NAMES, ERGO) == "done"
    world.limit(ERGO, ACME, 10)
    assert adopt(world, BOLT, CORD, DUNE, ERGO, by=DUNE) == "done"
    world.limit(ERGO, BOLT, 10)
    rows = replay(consortium(), world.blocks, world.now_ns)
    assert rows == world.rows
    assert sorted(each for each in rows if each.startswith(TRUST_TABLE)) == [
        "trust/000000002",
        "trust/000000003",
    ]
    assert world.ledger.state_digest == GOLDEN_STATE


def test_what_would_be_adopted_can_be_asked() -> None:
    """The same rules, and nothing changes by asking."""
    world, _ = lent_world()
    joins = successor(consortium(), *NAMES, ERGO)
    assert world.ledger.verify_adoptable(joins).digest == joins.payload_digest
    with pytest.raises(RefusedByPolicy, match=r"ledger\.trust\.unsettled"):
        world.ledger.verify_adoptable(successor(consortium(), BOLT, CORD, DUNE))
    assert world.ledger.consortium is consortium()
    world.ledger.validate()


def test_the_largest_trust_file_fits_a_command() -> None:
    """Sixty-four members, all of whose signatures the next version needs, still fit a block."""
    world = World()
    crowd = [EnterpriseId(f"member-with-a-long-name-{number:02d}") for number in range(60)]
    assert adopt(world, *NAMES, *crowd) == "done"
    everybody = [each.enterprise for each in world.ledger.consortium.members]
    assert len(everybody) == 64
    assert (
        world.ask(
            ACME, adoption(world, *everybody, changes={"runner_measurements": (Digest("cd" * 32),)})
        )
        == "done"
    )
    assert (
        verify_successor(successor(consortium(), *NAMES, *crowd), consortium()).digest
        == world.ledger.consortium_at(2).digest
    )


def test_a_silent_leaver_of_three_holds_no_block_up() -> None:
    """Its exit vouches for what it executed; for the rest more than two thirds of others do."""
    world = world_of_three()
    leave = exit_of(CORD, world)
    world.run()
    assert not world.ledger.is_final(world.blocks[3], countersigned(world, 4, ACME, BOLT))
    assert world.ask(CORD, leave) == "done"
    again = Ledger(consortium(), world.rows.items())
    for ledger in (world.ledger, again):
        for height in (2, 3, 4, 5):
            block = world.blocks[height - 1]
            assert ledger.is_final(block, countersigned(world, height, ACME, BOLT))
            assert ledger.is_final(block, countersigned(world, height, ACME, BOLT, CORD))
            assert not ledger.is_final(block, countersigned(world, height, ACME))
            assert not ledger.is_final(block, countersigned(world, height, ACME, CORD))


def test_of_two_the_other_one_suffices() -> None:
    """Nobody but it is left to countersign; before the exit both had to."""
    world = world_of_three()
    assert world.ask(CORD, exit_of(CORD, world)) == "done"
    world.run()
    leave = exit_of(BOLT, world)
    world.run()
    assert not world.ledger.is_final(world.blocks[5], countersigned(world, 6, ACME))
    assert world.ask(BOLT, leave) == "done"
    assert all(
        world.ledger.is_final(world.blocks[height - 1], countersigned(world, height, ACME))
        for height in (5, 6, 7)
    )


def test_an_exit_vouches_for_every_version_it_saw() -> None:
    """Whoever executed a block executed all before it, of earlier versions too."""
    world = world_of_three()
    assert world.ask(CORD, exit_of(CORD, world)) == "done"
    founding = world.blocks[0]
    assert world.ledger.is_final(founding, countersigned(world, 1, ACME, BOLT))
    assert not world.ledger.is_final(founding, countersigned(world, 1, ACME))


def test_what_was_final_stays_final_when_a_signer_leaves() -> None:
    """Its countersignature counts as long as anybody asks."""
    world = World()
    world.run()
    leave = exit_of(DUNE, world, height=0, block=ZERO_DIGEST)
    words = countersigned(world, 1, ACME, BOLT, DUNE)
    assert world.ledger.is_final(world.blocks[0], words)
    assert world.ask(DUNE, leave) == "done"
    assert world.ledger.is_final(world.blocks[0], words)


def test_who_executed_nothing_yet_may_leave_in_the_first_block() -> None:
    """Before the first block everybody executed as much."""
    world = World()
    assert world.ask(DUNE, exit_of(DUNE, world)) == "done"


@pytest.mark.parametrize(
    "executed", [{"block": Digest("ab" * 32)}, {"height": 4}, {"height": 0}, {"height": 9}]
)
def test_an_exit_names_a_block_of_this_ledger(executed: dict[str, object]) -> None:
    """Another block, or one that nobody has executed, vouches for nothing."""
    world = world_of_three()
    assert world.ask(CORD, exit_of(CORD, world, **executed)) == "ledger.trust.executed"
    assert world.ledger.consortium.has(CORD)


def test_an_exit_names_a_block_of_lately() -> None:
    """One that members still remember; the bound is of the rules, so that all agree."""
    world = World()
    leave = exit_of(DUNE, world)
    for _ in range(EXECUTED_MAX):
        world.run()
    assert world.ask(DUNE, leave) == "ledger.trust.executed"


def test_who_leaves_by_its_own_signature_says_so_itself() -> None:
    """With its last block, and for nobody else: only then the others need not wait for it."""
    world = world_of_three()
    leave = exit_of(CORD, world)
    unsaid = msgspec.structs.replace(leave, executed=None)
    both = AdoptTrust(
        trust=successor(world.ledger.consortium, ACME, signers=(BOLT, CORD)),
        executed=leave.executed,
    )
    for by, action in ((CORD, unsaid), (ACME, leave), (ACME, unsaid), (CORD, both)):
        assert world.ask(by, action) == "ledger.trust.alone"
    joins = msgspec.structs.replace(adoption(world, *NAMES), executed=leave.executed)
    assert world.ask(ACME, joins) == "ledger.trust.alone"


def test_an_exit_that_enough_signed_says_its_last_block_too() -> None:
    """Approved or not, the one that goes may spare the others the wait for it."""
    world = world_of_three()
    leave = exit_of(CORD, world)
    signed = successor(world.ledger.consortium, ACME, BOLT)
    assert world.ask(CORD, msgspec.structs.replace(leave, trust=signed)) == "done"
    assert world.ledger.is_final(world.blocks[3], countersigned(world, 4, ACME, BOLT))
