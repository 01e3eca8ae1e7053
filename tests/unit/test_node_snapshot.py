import msgspec

from mutualedge.model import NS_PER_S, parse_instant
from mutualedge.node import NodeSnapshot
from mutualedge.node.views import CODES_MAX, OTHER_CODES, count_code
from mutualedge.protocol import AskBlocks, AskStatement, AskVoucher, Call
from tests.unit.node_world import (
    CALL_MICROCREDITS,
    CANDY,
    FORGE,
    GRACE_MS,
    LEASE_MS,
    REMAINING_MS,
    World,
    open_world,
    reading_of,
)


def views(world: World) -> tuple[NodeSnapshot, NodeSnapshot]:
    return world.candy.node.snapshot(world.now_ns), world.forge.node.snapshot(world.now_ns)


def test_a_call_at_a_partner_is_counted_on_both_sides() -> None:
    """The borrower shows what it sent away, the lender what it served; both what is unsigned."""
    world = open_world()
    world.holding = (AskVoucher,)
    world.read(1)
    candy, forge = views(world)
    assert (candy.readings.taken, candy.readings.offloaded, candy.readings.local) == (1, 1, 0)
    assert (forge.served, candy.served) == (1, 0)
    for view in (candy, forge):
        (lease,) = view.leases
        assert (lease.calls, lease.unsigned_calls) == (1, 1)
        assert lease.unsigned_microcredits == CALL_MICROCREDITS


def test_a_signed_call_is_shown_as_owed() -> None:
    """Once a voucher covers it, a call moves from the unsigned sum to the signed one."""
    world = open_world()
    world.read(1)
    world.run(10_000)
    for view in views(world):
        (lease,) = view.leases
        assert (lease.calls, lease.unsigned_microcredits) == (1, 0)
        assert lease.signed_microcredits == CALL_MICROCREDITS


def test_each_side_shows_its_part_in_a_lease() -> None:
    """One lease: who borrows sees a session, who lends sees it open."""
    candy, forge = views(open_world())
    (borrowed,), (lent,) = candy.leases, forge.leases
    assert borrowed.lease == lent.lease
    assert (borrowed.role, borrowed.partner, borrowed.state) == ("requester", FORGE, "connected")
    assert (lent.role, lent.partner, lent.state) == ("provider", CANDY, "open")
    assert (candy.leases_borrowed, candy.leases_lent, forge.leases_lent) == (1, 0, 1)


def test_what_time_it_is_decides_what_a_lease_is_at() -> None:
    """The same node, asked for other times: before its start, in it, after its end."""
    world = open_world()
    (lease,) = world.forge.node.snapshot().leases
    at = {"waiting": lease.starts, "open": lease.starts, "settling": lease.ends}
    seen = {
        state: world.forge.node.snapshot(parse_instant(instant) - (state == "waiting"))
        for state, instant in at.items()
    }
    assert {state: view.leases[0].state for state, view in seen.items()} == {k: k for k in at}


def test_a_lease_the_ledger_does_not_show_is_agreed_only() -> None:
    """Until a block that opens it was applied here, a lease is a promise of two."""
    world = World()
    world.join_candy()
    world.holding = (AskBlocks,)
    world.run(2_000)
    assert [lease.state for lease in world.candy.node.snapshot().leases] == ["agreed"]


def test_a_lease_over_and_unsigned_is_settling() -> None:
    """After its end it stays in sight until the ledger resolved it."""
    world = open_world()
    world.read(1)
    world.holding = (AskStatement,)
    world.run(LEASE_MS)
    assert "settling" in [lease.state for lease in world.forge.node.snapshot().leases]
    world.holding = ()
    world.run(10 * GRACE_MS)
    gone = [lease.lease for lease in world.forge.node.snapshot().leases]
    assert world.forge.noted("lease.resolved")[0]["lease"] not in gone


def test_refusals_are_counted_by_their_code() -> None:
    """What an operator asks first: how often, and why."""
    world = open_world()
    for number in range(1, 4):
        world.candy.ask(reading_of(number, f"press-{number}", remaining_ms=REMAINING_MS))
    world.run(200)
    read = world.candy.node.snapshot().readings
    assert read.refused == sum(read.by_code.values()) > 0
    assert set(read.by_code) == {"booking.job.deadline"}


def test_codes_of_others_do_not_pile_up() -> None:
    """A partner that invents codes fills one line more, not the memory."""
    by_code: dict[str, int] = {}
    for number in range(CODES_MAX + 10):
        count_code(by_code, f"code.{number}")
    count_code(by_code, "code.1")
    assert len(by_code) == CODES_MAX + 1
    assert (by_code[OTHER_CODES], by_code["code.1"]) == (10, 2)


def test_the_hub_is_seen_to_go_and_to_come_back() -> None:
    """One request without answer and it counts as away; the next answer begins a new time."""
    world = open_world()
    before = world.candy.node.snapshot().hub_since
    assert before is not None
    world.sides.pop("hub")
    world.run(5_000)
    assert world.candy.node.snapshot().hub_since is None
    world.sides["hub"] = world.hub
    back_ns = world.now_ns
    world.run(5_000)
    since = world.candy.node.snapshot().hub_since
    assert since is not None
    assert parse_instant(since) >= back_ns - NS_PER_S


def test_a_checkpoint_shows_who_vouches_for_it() -> None:
    """Its size, when it was signed, and each witness with its time."""
    world = open_world()
    world.read(1)
    world.run(20_000)
    view = world.forge.node.snapshot()
    assert view.checkpoint.size == view.log_size > 0
    assert view.checkpoint.at is not None
    names = sorted(each.witness.split("/")[1] for each in view.checkpoint.cosignatures)
    assert names == [CANDY, "hub"]
    assert all(each.at >= view.checkpoint.at[:19] for each in view.checkpoint.cosignatures)


def test_what_waits_is_counted() -> None:
    """A call on its way is an unanswered question; jobs and commands are their own queues."""
    world = open_world()
    world.holding = (Call,)
    before = world.candy.node.snapshot().queues.asks
    world.candy.ask(reading_of(1))
    world.settle()
    assert world.candy.node.snapshot().queues.asks == before + 1


def test_both_directions_of_credit_are_shown() -> None:
    """What we give each partner and what it gives us, with what is used of it."""
    candy, forge = views(open_world())
    by_pair = {(line.creditor, line.debtor): line for line in forge.credit}
    assert set(by_pair) == {(FORGE, CANDY), (CANDY, FORGE)}
    assert by_pair[FORGE, CANDY].limit_microcredits == 10**9
    assert by_pair[FORGE, CANDY].pending_microcredits > 0
    assert by_pair[CANDY, FORGE].limit_microcredits == 0
    assert sorted(map(repr, candy.credit)) == sorted(map(repr, forge.credit))


def test_a_snapshot_changes_nothing_and_survives_a_file() -> None:
    """Looking twice shows the same, and what is written is read back equal."""
    world = open_world()
    world.read(1)
    world.run(20_000)
    for side in (world.candy, world.forge):
        before = side.node.snapshot(world.now_ns)
        raw = msgspec.json.encode(before)
        assert msgspec.json.decode(raw, type=NodeSnapshot) == before
        assert side.node.snapshot(world.now_ns) == before
