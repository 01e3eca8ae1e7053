"""Payment when somebody vanishes or cheats: the honest side loses at most W, whatever is tried.

Both know how many calls were made. The requester left at most ``WINDOW_CALLS`` without a voucher,
as the provider would otherwise have stopped.
"""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from mutualedge.ledger import Action, Claim, Close, Contradict, LeaseStatus, Settle
from mutualedge.model import NS_PER_MS, LeaseId
from tests.unit.ledger_world import (
    ACME,
    BOLT,
    CALL_MICROCREDITS,
    DISPUTE_MS,
    EXPOSURE_MICROCREDITS,
    METER,
    OTHER_METER,
    WINDOW_CALLS,
    World,
    batch,
    ended_world,
    key,
    statement,
    voucher,
)

METERS = (METER, OTHER_METER)
WHOLE_LEASE_NS = 2 * DISPUTE_MS * NS_PER_MS
"""Past every instant at which a lease can fall due."""


@dataclass(frozen=True)
class Used:
    """Microcredits per meter: what was executed, and what of it the requester signed for."""

    made: tuple[int, int]
    vouched: tuple[int, int]


@st.composite
def usages(draw: st.DrawFn) -> Used:
    """Draw calls on two meters whose unsigned part is within the window of both together."""
    vouched = [draw(st.integers(min_value=0, max_value=400)) for _ in METERS]
    first = draw(st.integers(min_value=0, max_value=WINDOW_CALLS))
    second = draw(st.integers(min_value=0, max_value=WINDOW_CALLS - first))
    made = (vouched[0] + first, vouched[1] + second)
    return Used(
        made=(made[0] * CALL_MICROCREDITS, made[1] * CALL_MICROCREDITS),
        vouched=(vouched[0] * CALL_MICROCREDITS, vouched[1] * CALL_MICROCREDITS),
    )


instants_ms = st.integers(min_value=0, max_value=DISPUTE_MS - 1)
totals = st.integers(min_value=0, max_value=600 * CALL_MICROCREDITS)


def honest_claim(lease_id: LeaseId, used: Used) -> Claim:
    vouchers = zip(METERS, used.vouched, strict=True)
    batches = zip(METERS, used.made, strict=True)
    return Claim(
        lease=lease_id,
        vouchers=tuple(voucher(lease_id, total, meter=meter) for meter, total in vouchers),
        batches=tuple(batch(lease_id, total, meter=meter) for meter, total in batches if total),
    )


def honest_close(lease_id: LeaseId, used: Used) -> Close:
    vouchers = zip(METERS, used.vouched, strict=True)
    signed = tuple(voucher(lease_id, total, meter=meter) for meter, total in vouchers)
    return Close(lease=lease_id, vouchers=signed)


@st.composite
def requester_cheats(draw: st.DrawFn) -> list[tuple[int, str, int]]:
    """Draw when the requester tries what: cheap closings, junk meters, denials, its own total."""
    kinds = st.sampled_from(("close", "junk", "contradict", "statement", "nothing"))
    return draw(st.lists(st.tuples(instants_ms, kinds, totals), max_size=5))


def requester_cheat(lease_id: LeaseId, kind: str, total: int) -> Action:
    match kind:
        case "close":
            cheap = voucher(lease_id, total, seq=1_000_000)
            return Close(lease=lease_id, vouchers=(cheap,))
        case "junk":
            junk = (voucher(lease_id, 1, meter=key(f"junk {index}")) for index in range(64))
            return Close(lease=lease_id, vouchers=tuple(junk))
        case "statement":
            return Settle(statement=statement(lease_id, total, ACME))
        case _:
            return Contradict(lease=lease_id, reason="deny everything")


@given(used=usages(), cheats=requester_cheats(), claim_ms=instants_ms, denies=st.booleans())
def test_an_honest_provider_loses_at_most_the_window(
    used: Used, cheats: list[tuple[int, str, int]], claim_ms: int, denies: bool
) -> None:
    """One claim in time gets every voucher; without a denial it gets every call."""
    world, lease_id = ended_world()
    start_ns = world.now_ns
    script = [(at_ms, requester_cheat(lease_id, kind, total)) for at_ms, kind, total in cheats]
    for at_ms, action in sorted(script, key=lambda step: step[0]):
        if at_ms < claim_ms:
            world.at(start_ns + at_ms * NS_PER_MS)
            world.ask(ACME, action)
    world.at(start_ns + claim_ms * NS_PER_MS)
    world.ask(BOLT, honest_claim(lease_id, used))
    for at_ms, action in sorted(script, key=lambda step: step[0]):
        if at_ms >= claim_ms:
            world.at(start_ns + at_ms * NS_PER_MS)
            world.ask(ACME, action)
    if denies:
        world.ask(ACME, requester_cheat(lease_id, "contradict", 0))
    finish(world)
    loss = sum(used.made) - world.balance(BOLT)
    assert world.balance(BOLT) >= sum(used.vouched)
    assert loss <= EXPOSURE_MICROCREDITS
    if world.lease(lease_id).status is not LeaseStatus.DISPUTED:
        assert loss <= 0


@st.composite
def provider_cheats(draw: st.DrawFn) -> list[tuple[int, tuple[int, int], tuple[int, int]]]:
    """Draw when the provider claims which share of its vouchers, and how many calls beyond."""
    share = st.just(100) | st.integers(min_value=0, max_value=100)
    invention = st.integers(min_value=0, max_value=WINDOW_CALLS // 2) | st.just(WINDOW_CALLS)
    at_ms = st.just(DISPUTE_MS - 1) | instants_ms
    one = st.tuples(at_ms, st.tuples(share, share), st.tuples(invention, invention))
    return draw(st.lists(one, min_size=1, max_size=5))


def cheating_claim(
    lease_id: LeaseId, used: Used, shares: tuple[int, int], inventions: tuple[int, int]
) -> Claim:
    """Return a claim by a provider that owns its meter keys: any old voucher, any batch."""
    signed = [total * share // 100 for total, share in zip(used.vouched, shares, strict=True)]
    vouchers = [voucher(lease_id, total, meter=m) for m, total in zip(METERS, signed, strict=True)]
    batches = [
        batch(lease_id, total + 1 + count * CALL_MICROCREDITS, meter=meter)
        for meter, total, count in zip(METERS, signed, inventions, strict=True)
    ]
    return Claim(lease=lease_id, vouchers=tuple(vouchers), batches=tuple(batches))


@given(used=usages(), cheats=provider_cheats())
def test_an_absent_requester_overpays_at_most_the_window(
    used: Used, cheats: list[tuple[int, tuple[int, int], tuple[int, int]]]
) -> None:
    """Even if nobody contradicts, invented batches earn W beyond the vouchers and no more."""
    world, lease_id = ended_world()
    start_ns = world.now_ns
    for at_ms, shares, inventions in sorted(cheats):
        world.at(start_ns + at_ms * NS_PER_MS)
        world.ask(BOLT, cheating_claim(lease_id, used, shares, inventions))
    finish(world)
    assert world.balance(BOLT) <= sum(used.vouched) + EXPOSURE_MICROCREDITS
    assert world.balance(BOLT) - sum(used.made) <= EXPOSURE_MICROCREDITS


@given(
    used=usages(),
    cheats=provider_cheats(),
    answer_ms=st.integers(min_value=0, max_value=DISPUTE_MS // 2 - 1),
    closes=st.booleans(),
)
def test_a_requester_that_answers_in_time_overpays_nothing(
    used: Used,
    cheats: list[tuple[int, tuple[int, int], tuple[int, int]]],
    answer_ms: int,
    closes: bool,
) -> None:
    """Half a dispute window is always left to deny an invented claim, the last one included."""
    world, lease_id = ended_world()
    start_ns = world.now_ns
    for at_ms, shares, inventions in sorted(cheats):
        world.at(max(world.now_ns, start_ns + at_ms * NS_PER_MS))
        world.ask(BOLT, cheating_claim(lease_id, used, shares, inventions))
        if world.lease(lease_id).claimed_microcredits > sum(used.made):
            world.wait(answer_ms * NS_PER_MS)
            deny = Contradict(lease=lease_id, reason="these calls were never made")
            assert world.ask(ACME, deny) == "done"
    if closes:
        world.ask(ACME, honest_close(lease_id, used))
    finish(world)
    assert world.balance(BOLT) <= sum(used.made)


def finish(world: World) -> None:
    world.wait(WHOLE_LEASE_NS)
    world.run()
    assert world.pending() == 0
    assert world.balance(ACME) == -world.balance(BOLT)
