"""Payment when somebody vanishes: claim, close, contradict, and each refusal of them."""

from collections.abc import Callable

import pytest

from mutualedge.ledger import Action, Claim, Close, LeaseStatus
from mutualedge.model import NS_PER_MS, LeaseId
from mutualedge.signing import Envelope
from tests.unit.ledger_world import (
    ACME,
    BOLT,
    CORD,
    COST_MAX_MICROCREDITS,
    DISPUTE_MS,
    EXPOSURE_MICROCREDITS,
    LEASE_NS,
    METER,
    OTHER_METER,
    START_NS,
    World,
    agreement,
    batch,
    claim,
    close,
    contradict,
    ended_world,
    lent_world,
    settle,
    settles_until_ns,
    voucher,
)


def claim_of(
    lease_id: LeaseId, vouchers: tuple[Envelope, ...], batches: tuple[Envelope, ...] = ()
) -> Claim:
    return Claim(lease=lease_id, vouchers=vouchers, batches=batches)


def test_vouchers_post_at_once() -> None:
    """What the requester signed moves in the block of the claim; the rest stays reserved."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 600)) == "done"
    assert (world.balance(ACME), world.balance(BOLT)) == (-600, 600)
    assert world.pending() == COST_MAX_MICROCREDITS - 600
    assert world.lease(lease_id).status is LeaseStatus.CLAIMED


def test_vouchers_of_all_meters_add_up() -> None:
    """Each start of the runner has its own meter and its own voucher."""
    world, lease_id = ended_world()
    both = (voucher(lease_id, 600), voucher(lease_id, 90, meter=OTHER_METER))
    assert world.ask(BOLT, claim_of(lease_id, both)) == "done"
    assert world.balance(BOLT) == 690


def test_batches_beyond_vouchers_wait_for_the_dispute_window() -> None:
    """The extra is pending until the last instant, then posts by itself."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 600, 900)) == "done"
    assert (world.balance(BOLT), world.lease(lease_id).pending_microcredits) == (600, 300)
    world.at(settles_until_ns() - NS_PER_MS)
    world.run()
    assert world.balance(BOLT) == 600
    world.at(settles_until_ns())
    world.run()
    assert (world.balance(BOLT), world.pending()) == (900, 0)
    assert world.lease(lease_id).status is LeaseStatus.CLOSED


def test_an_opening_voucher_lets_the_runner_speak() -> None:
    """A requester that accepted the meter owes up to W without any further signature."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 0, EXPOSURE_MICROCREDITS)) == "done"
    world.at(settles_until_ns())
    world.run()
    assert world.balance(BOLT) == EXPOSURE_MICROCREDITS


def test_batches_below_their_voucher_add_nothing() -> None:
    """A meter's batch that is older than its voucher does not offset another meter's extra."""
    world, lease_id = ended_world()
    vouchers = (voucher(lease_id, 600), voucher(lease_id, 90, meter=OTHER_METER))
    batches = (batch(lease_id, 300), batch(lease_id, 150, meter=OTHER_METER))
    assert world.ask(BOLT, claim_of(lease_id, vouchers, batches)) == "done"
    assert world.lease(lease_id).pending_microcredits == 60


def test_the_extra_is_capped_over_all_meters() -> None:
    """W is of the lease, not of each meter."""
    world, lease_id = ended_world()
    vouchers = (voucher(lease_id, 0), voucher(lease_id, 0, meter=OTHER_METER))
    first = batch(lease_id, EXPOSURE_MICROCREDITS)
    over = claim_of(lease_id, vouchers, (first, batch(lease_id, 1, meter=OTHER_METER)))
    assert world.ask(BOLT, over) == "ledger.claim.beyond-window"
    assert world.ask(BOLT, claim_of(lease_id, vouchers, (first,))) == "done"


def test_a_contradicted_extra_is_voided() -> None:
    """The vouchers stay posted, the extra never does, and the lease stays disputed."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 600, 900)) == "done"
    assert world.ask(ACME, contradict(lease_id)) == "done"
    world.at(settles_until_ns())
    world.run()
    lease = world.lease(lease_id)
    assert (world.balance(BOLT), world.pending()) == (600, 0)
    assert (lease.status, lease.is_resolved) == (LeaseStatus.DISPUTED, True)
    assert (lease.contradicted_microcredits, lease.reason) == (300, contradict(lease_id).reason)


def test_after_a_contradiction_only_vouchers_count() -> None:
    """A runner whose word was denied cannot be quoted again; a signature always can."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 600, 900)) == "done"
    assert world.ask(ACME, contradict(lease_id)) == "done"
    assert world.ask(BOLT, claim(lease_id, 600, 901)) == "ledger.claim.contradicted"
    assert world.ask(BOLT, claim(lease_id, 700)) == "done"
    assert (world.balance(BOLT), world.lease(lease_id).status) == (700, LeaseStatus.DISPUTED)


def test_both_can_still_settle_a_dispute() -> None:
    """A statement ends a dispute whose window is open."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 600, 900)) == "done"
    assert world.ask(ACME, contradict(lease_id)) == "done"
    assert world.ask(ACME, settle(lease_id, 750)) == "done"
    assert (world.balance(BOLT), world.lease(lease_id).status) == (750, LeaseStatus.SETTLED)


def test_a_late_claim_leaves_time_to_contradict() -> None:
    """An extra claimed in the last moment waits half a dispute window more."""
    world, lease_id = ended_world()
    world.at(settles_until_ns() - NS_PER_MS)
    assert world.ask(BOLT, claim(lease_id, 600, 900)) == "done"
    world.wait(DISPUTE_MS * NS_PER_MS // 2 - NS_PER_MS)
    assert world.ask(BOLT, claim(lease_id, 600, 950)) == "ledger.claim.late"
    assert world.ask(ACME, contradict(lease_id)) == "done"
    world.wait(NS_PER_MS)
    world.run()
    assert (world.balance(BOLT), world.pending()) == (600, 0)


def test_a_late_claim_posts_when_nobody_contradicts() -> None:
    """The put-off instant is final in its turn."""
    world, lease_id = ended_world()
    world.at(settles_until_ns() - NS_PER_MS)
    assert world.ask(BOLT, claim(lease_id, 600, 900)) == "done"
    world.wait(DISPUTE_MS * NS_PER_MS // 2)
    assert world.ask(ACME, contradict(lease_id)) == "ledger.lease.final"
    world.run()
    assert world.balance(BOLT) == 900


def test_vouchers_alone_do_not_put_the_end_off() -> None:
    """What the requester signed needs no time for contradiction."""
    world, lease_id = ended_world()
    world.at(settles_until_ns() - NS_PER_MS)
    assert world.ask(BOLT, claim(lease_id, 600)) == "done"
    assert world.ledger.next_due_ns() == settles_until_ns()


def test_nothing_moves_without_a_transfer_nor_by_one_of_nothing() -> None:
    """An opening voucher posts nothing and makes no second transfer."""
    world, lease_id = ended_world()
    assert world.ask(ACME, close(lease_id, 0)) == "done"
    assert (world.lease(lease_id).transfer_count, world.balance(BOLT)) == (1, 0)


def test_a_later_voucher_raises_a_claim() -> None:
    """The difference posts; what was pending below it is now signed for."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 600, 700)) == "done"
    assert world.ask(BOLT, claim(lease_id, 900)) == "done"
    assert (world.balance(BOLT), world.lease(lease_id).pending_microcredits) == (900, 0)


def test_a_raise_keeps_its_reservation_although_the_limit_fell() -> None:
    """Only new reservations need the limit of today."""
    world, lease_id = ended_world()
    world.limit(BOLT, ACME, 0)
    assert world.ask(BOLT, claim(lease_id, 600)) == "done"
    assert world.ask(BOLT, claim(lease_id, 900)) == "done"
    assert world.balance(BOLT) == 900


@pytest.mark.parametrize("repeated", [(600, None), (500, None), (600, 700), (0, None)])
def test_a_claim_that_adds_nothing_is_refused(repeated: tuple[int, int | None]) -> None:
    """The same or less under another command id changes nothing and never lowers."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 600, 700)) == "done"
    before = world.lease(lease_id)
    assert world.ask(BOLT, claim(lease_id, *repeated)) == "ledger.claim.nothing-new"
    assert world.lease(lease_id) == before


def test_an_empty_claim_is_refused() -> None:
    """Nothing claimed is no claim: the lease stays open and expires."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim_of(lease_id, ())) == "ledger.claim.nothing-new"
    assert world.lease(lease_id).status is LeaseStatus.OPEN


def test_a_later_voucher_with_a_smaller_total_takes_nothing_back() -> None:
    """A requester that signs a cheaper voucher afterwards still owes the dearer one."""
    world, lease_id = ended_world()
    cheaper = Close(lease=lease_id, vouchers=(voucher(lease_id, 1, seq=1000),))
    assert world.ask(ACME, cheaper) == "done"
    assert world.ask(BOLT, claim(lease_id, 600)) == "done"
    assert world.balance(BOLT) == 600


def test_the_requester_closes_when_the_provider_is_gone() -> None:
    """Its own last vouchers post at once; the rest waits for the provider, then is released."""
    world, lease_id = ended_world()
    assert world.ask(ACME, close(lease_id, 600)) == "done"
    assert (world.balance(BOLT), world.lease(lease_id).status) == (600, LeaseStatus.CLOSING)
    assert world.pending() == COST_MAX_MICROCREDITS - 600
    world.at(settles_until_ns())
    world.run()
    assert (world.balance(BOLT), world.pending()) == (600, 0)
    assert world.lease(lease_id).status is LeaseStatus.CLOSED


def test_an_unused_lease_closes_without_vouchers() -> None:
    """A requester that used nothing says so and gets its credit back when due."""
    world, lease_id = ended_world()
    assert world.ask(ACME, Close(lease=lease_id, vouchers=())) == "done"
    world.at(settles_until_ns())
    world.run()
    assert (world.balance(BOLT), world.pending()) == (0, 0)


def test_the_provider_may_claim_more_while_closing() -> None:
    """Closing low does not silence the provider: vouchers post, batches wait."""
    world, lease_id = ended_world()
    assert world.ask(ACME, close(lease_id, 30)) == "done"
    assert world.ask(BOLT, claim(lease_id, 600, 900)) == "done"
    assert (world.balance(BOLT), world.lease(lease_id).status) == (600, LeaseStatus.CLOSING)
    world.at(settles_until_ns())
    world.run()
    assert world.balance(BOLT) == 900


def test_a_claim_with_an_older_voucher_counts_against_the_closing() -> None:
    """The provider that missed the last voucher gets its batch's total, not both sums."""
    world, lease_id = ended_world()
    assert world.ask(ACME, close(lease_id, 630)) == "done"
    assert world.ask(BOLT, claim(lease_id, 600, 660)) == "done"
    assert world.lease(lease_id).pending_microcredits == 30
    world.at(settles_until_ns())
    world.run()
    assert world.balance(BOLT) == 660


def test_a_closing_never_lowers_and_is_repeated_only_upwards() -> None:
    """Below what posted it still closes once; then only more vouchers change anything."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 600)) == "done"
    assert world.ask(ACME, close(lease_id, 500)) == "done"
    assert world.ask(ACME, close(lease_id, 600)) == "ledger.close.nothing-new"
    assert world.ask(ACME, close(lease_id, 630)) == "done"
    assert world.balance(BOLT) == 630


def test_closing_does_not_end_a_dispute() -> None:
    """A disputed lease that is closed as well stays disputed."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 600, 900)) == "done"
    assert world.ask(ACME, contradict(lease_id)) == "done"
    assert world.ask(ACME, close(lease_id, 600)) == "ledger.close.nothing-new"
    assert world.ask(ACME, close(lease_id, 660)) == "done"
    assert world.lease(lease_id).status is LeaseStatus.DISPUTED


def test_closing_above_the_claim_absorbs_its_extra() -> None:
    """Vouchers past the batch leave nothing pending to contradict."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 600, 700)) == "done"
    assert world.ask(ACME, close(lease_id, 800)) == "done"
    assert world.ask(ACME, contradict(lease_id)) == "ledger.contradict.nothing-pending"


@pytest.mark.parametrize(
    ("sender", "action", "code"),
    [
        (BOLT, claim, "ledger.claim.early"),
        (ACME, close, "ledger.close.early"),
    ],
)
def test_one_side_alone_acts_after_the_lease_only(
    sender: str, action: Callable[[LeaseId, int], Action], code: str
) -> None:
    """Before the end there is a partner to sign with."""
    world, lease_id = lent_world()
    world.at(START_NS + LEASE_NS - NS_PER_MS)
    assert world.ask(sender, action(lease_id, 600)) == code
    world.wait(NS_PER_MS)
    assert world.ask(sender, action(lease_id, 600)) == "done"


def test_one_side_alone_acts_before_the_window_ends_only() -> None:
    """A lease that a late claim keeps waiting takes no further claims or closings."""
    world, lease_id = ended_world()
    world.at(settles_until_ns() - NS_PER_MS)
    assert world.ask(BOLT, claim(lease_id, 600, 900)) == "done"
    world.wait(NS_PER_MS)
    assert world.ask(BOLT, claim(lease_id, 900)) == "ledger.claim.late"
    assert world.ask(ACME, close(lease_id, 900)) == "ledger.close.late"


@pytest.mark.parametrize("make", [claim, close])
def test_nothing_is_asked_of_a_final_lease(make: Callable[[LeaseId, int], Action]) -> None:
    """An expired lease is settled by both or not at all."""
    world, lease_id = ended_world()
    world.at(settles_until_ns())
    sender = BOLT if make is claim else ACME
    assert world.ask(sender, make(lease_id, 600)) == "ledger.lease.final"


def test_each_command_belongs_to_one_side() -> None:
    """The requester cannot claim, the provider neither close nor contradict, a third nothing."""
    world, lease_id = ended_world()
    misplaced: list[tuple[str, Action]] = [
        (ACME, claim(lease_id, 600)),
        (CORD, claim(lease_id, 600)),
        (BOLT, close(lease_id, 600)),
        (BOLT, contradict(lease_id)),
    ]
    codes = {world.ask(sender, action) for sender, action in misplaced}
    assert codes == {"ledger.command.not-party"}


def test_there_is_nothing_to_contradict_in_vouchers() -> None:
    """A requester cannot deny its own signature."""
    world, lease_id = ended_world()
    assert world.ask(ACME, contradict(lease_id)) == "ledger.contradict.nothing-pending"
    assert world.ask(BOLT, claim(lease_id, 600)) == "done"
    assert world.ask(ACME, contradict(lease_id)) == "ledger.contradict.nothing-pending"


def evidence_refused(vouchers: tuple[Envelope, ...], batches: tuple[Envelope, ...] = ()) -> str:
    """Return the code that such a claim gets on an ended lease."""
    world, lease_id = ended_world()
    assert lease_id == LEASE
    return world.ask(BOLT, claim_of(lease_id, vouchers, batches))


LEASE = LeaseId(agreement().payload_digest)
OTHER_LEASE = LeaseId("34" * 32)


@pytest.mark.parametrize(
    ("code", "vouchers", "batches"),
    [
        ("signing.envelope.unsigned", (voucher(LEASE, 600, by=BOLT),), ()),
        ("signing.envelope.type", (batch(LEASE, 600),), ()),
        ("ledger.claim.other-lease", (voucher(OTHER_LEASE, 600),), ()),
        ("ledger.claim.other-lease", (voucher(LEASE, 600),), (batch(OTHER_LEASE, 700),)),
        ("ledger.claim.meters", (voucher(LEASE, 600), voucher(LEASE, 630)), ()),
        ("ledger.claim.meters", (voucher(LEASE, 0),), (batch(LEASE, 1), batch(LEASE, 2))),
        ("ledger.claim.unknown-meter", (), (batch(LEASE, 1),)),
        (
            "ledger.claim.unknown-meter",
            (voucher(LEASE, 600),),
            (batch(LEASE, 1, meter=OTHER_METER),),
        ),
        (
            "signing.envelope.unsigned",
            (voucher(LEASE, 600),),
            (batch(LEASE, 700, meter=METER, by=OTHER_METER),),
        ),
        ("signing.envelope.type", (voucher(LEASE, 600),), (voucher(LEASE, 700),)),
        ("signing.json.malformed", (voucher(LEASE, 600),), (agreement(),)),
        (
            "ledger.claim.beyond-window",
            (voucher(LEASE, 600),),
            (batch(LEASE, 601 + EXPOSURE_MICROCREDITS),),
        ),
        ("ledger.claim.beyond-cost", (voucher(LEASE, COST_MAX_MICROCREDITS + 1),), ()),
        (
            "ledger.claim.beyond-cost",
            (voucher(LEASE, COST_MAX_MICROCREDITS),),
            (batch(LEASE, COST_MAX_MICROCREDITS + 1),),
        ),
    ],
)
def test_evidence_that_proves_nothing_moves_nothing(
    code: str, vouchers: tuple[Envelope, ...], batches: tuple[Envelope, ...]
) -> None:
    """Each fault of a claim has its own code."""
    assert evidence_refused(vouchers, batches) == code


def test_a_closing_cannot_exceed_the_lease() -> None:
    """Nor may its vouchers be anybody else's."""
    world, lease_id = ended_world()
    code = world.ask(ACME, close(lease_id, COST_MAX_MICROCREDITS + 1))
    assert code == "ledger.claim.beyond-cost"
    foreign = Close(lease=lease_id, vouchers=(voucher(lease_id, 30, by=BOLT),))
    assert world.ask(ACME, foreign) == "signing.envelope.unsigned"


def test_a_claim_on_an_unknown_lease_is_refused() -> None:
    """There is no credit behind a lease that was never opened."""
    assert World().ask(BOLT, claim(OTHER_LEASE, 600)) == "ledger.lease.unknown"
