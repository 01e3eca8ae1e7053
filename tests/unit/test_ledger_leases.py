"""Leases that both sides sign for: opened, settled, expired, and what is refused."""

import base64
import re
from collections.abc import Iterator

import msgspec
import pytest

from mutualedge.ledger import LeaseStatus, OpenLease, SetLimit, Settle
from mutualedge.ledger.leases import DISPUTE_WINDOW_MS_MAX, LEASE_AHEAD_NS_MAX, SWEEP_MAX
from mutualedge.market import Commitment
from mutualedge.model import (
    JSON_INTEGER_MAX,
    NS_PER_MS,
    NS_PER_S,
    EnterpriseId,
    InstantText,
    LeaseId,
    Microcredits,
    format_instant,
)
from mutualedge.signing import parse_canonical, sign_record
from tests.unit.ledger_world import (
    ACME,
    BOLT,
    CORD,
    COST_MAX_MICROCREDITS,
    DISPUTE_MS,
    LEASE_NS,
    START_NS,
    World,
    agreement,
    claim,
    ended_world,
    lent_world,
    opening,
    settle,
    settlement_key,
    settles_until_ns,
    sign_terms,
    statement,
    terms,
)

SOON_NS = START_NS + 2 * NS_PER_S


def test_opening_reserves_the_most_the_lease_can_cost() -> None:
    """The promise to pay is a reservation of cost_max from requester to provider."""
    world, lease_id = lent_world()
    assert world.pending() == COST_MAX_MICROCREDITS
    lease = world.lease(lease_id)
    assert lease.status is LeaseStatus.OPEN
    assert (lease.cost_max_microcredits, lease.posted_microcredits) == (COST_MAX_MICROCREDITS, 0)


def test_the_provider_may_open_too() -> None:
    """Either party may bring the agreement that both signed."""
    world = World()
    world.limit(BOLT, ACME, COST_MAX_MICROCREDITS)
    world.open(agreement(), by=BOLT)
    assert world.pending() == COST_MAX_MICROCREDITS


def test_a_stranger_to_the_lease_cannot_open_it() -> None:
    """Signatures of both do not make a third member a party."""
    assert World().ask(CORD, opening(agreement())) == "ledger.command.not-party"


def test_an_agreement_needs_both_signatures() -> None:
    """One side cannot lease for the other."""
    both = opening(agreement()).commitment
    for alone in both.signatures:
        action = OpenLease(commitment=msgspec.structs.replace(both, signatures=(alone,)))
        assert World().ask(ACME, action) == "signing.envelope.unsigned"


def test_a_party_outside_the_consortium_has_no_lease() -> None:
    """The card of each party comes from the trust file."""
    foreign = sign_terms(terms(ACME, "evil"))
    assert World().ask(ACME, opening(foreign)) == "identity.member.unknown"


def test_an_agreement_is_opened_once() -> None:
    """The same document under another command id changes nothing."""
    world, _ = lent_world()
    before = world.pending()
    assert world.ask(BOLT, opening(agreement())) == "ledger.lease.already-open"
    assert world.pending() == before


def test_a_settled_agreement_is_not_opened_again() -> None:
    """A lease's identity is never reused, however it ended."""
    world, lease_id = lent_world()
    assert world.ask(ACME, settle(lease_id, 30)) == "done"
    assert world.ask(ACME, opening(agreement())) == "ledger.lease.already-open"


def test_a_lease_beyond_the_credit_line_is_refused() -> None:
    """One microcredit short is short."""
    world = World()
    world.limit(BOLT, ACME, COST_MAX_MICROCREDITS - 1)
    assert world.ask(ACME, opening(agreement())) == "ledger.credit.overdrawn"
    assert world.pending() == 0


def test_a_lowered_limit_stops_new_leases_only() -> None:
    """What is reserved stays reserved and settles; the next lease is refused."""
    world, lease_id = lent_world()
    world.limit(BOLT, ACME, 5)
    nxt = agreement(nonce=1)
    assert world.ask(ACME, opening(nxt)) == "ledger.credit.overdrawn"
    assert world.ask(ACME, settle(lease_id, 900)) == "done"
    assert world.balance(BOLT) == 900


def test_a_lease_is_opened_in_time_or_never() -> None:
    """Its provider holds a place until then, and may give it away afterwards."""
    world = World()
    world.limit(BOLT, ACME, 2 * COST_MAX_MICROCREDITS)
    agreed = [
        sign_terms(msgspec.structs.replace(terms(nonce=nonce), opens_by=format_instant(SOON_NS)))
        for nonce in range(2)
    ]
    world.at(SOON_NS - NS_PER_MS)
    assert world.ask(ACME, opening(agreed[0])) == "done"
    world.at(SOON_NS)
    assert world.ask(ACME, opening(agreed[1])) == "ledger.lease.late"


def test_a_lease_cannot_be_agreed_to_open_after_its_end() -> None:
    """Neither by its two parties nor in what they tell the ledger."""
    with pytest.raises(ValueError, match="opened after its end"):
        msgspec.structs.replace(terms(), opens_by=format_instant(START_NS + 2 * LEASE_NS))
    told = parse_canonical(opening(agreement()).commitment.payload, Commitment)
    with pytest.raises(ValueError, match="opened after its end"):
        msgspec.structs.replace(told, opens_by=format_instant(START_NS + 2 * LEASE_NS))


def test_a_lease_ends_within_a_year() -> None:
    """Credit is promised no further than the bound, and up to exactly it."""
    world = World()
    far = agreement(starts_ns=START_NS + LEASE_AHEAD_NS_MAX - LEASE_NS + NS_PER_MS)
    assert world.ask(ACME, opening(far)) == "ledger.lease.too-far"
    last = agreement(starts_ns=START_NS + LEASE_AHEAD_NS_MAX - LEASE_NS)
    assert world.ask(ACME, opening(last)) == "ledger.credit.overdrawn"


def test_a_dispute_window_has_a_bound() -> None:
    """A reservation may not be held hostage for longer than a month."""
    slow = agreement(dispute_ms=DISPUTE_WINDOW_MS_MAX + 1)
    assert World().ask(ACME, opening(slow)) == "ledger.lease.dispute-window"


def test_a_lease_costs_no_more_than_an_account_holds() -> None:
    """Arithmetic stays exact: cost_max must fit the integers of JSON."""
    told = parse_canonical(opening(agreement()).commitment.payload, Commitment)
    dear = msgspec.structs.replace(told, cost_max_microcredits=JSON_INTEGER_MAX + 1)
    signed = sign_record(dear, settlement_key(ACME), settlement_key(BOLT))
    assert World().ask(ACME, OpenLease(commitment=signed)) == "signing.json.malformed"
    with pytest.raises(ValueError, match="more than an account holds"):
        agreement(price=JSON_INTEGER_MAX)


def test_an_instant_that_is_none_is_refused() -> None:
    """February has no 31st: a malformed agreement is a refusal, not a crash."""
    told = parse_canonical(opening(agreement()).commitment.payload, Commitment)
    none = InstantText("2026-02-31T08:00:00.000Z")
    never = msgspec.structs.replace(told, opens_by=none, ends=none)
    broken = sign_record(never, settlement_key(ACME), settlement_key(BOLT))
    assert World().ask(ACME, OpenLease(commitment=broken)) == "model.instant.malformed"


def opened_up(raw: bytes) -> Iterator[bytes]:
    """Yield a document and, at any depth, what the envelopes in it carry."""
    yield raw
    for inner in re.findall(rb'"payload":"([^"]*)"', raw):
        yield from opened_up(base64.b64decode(inner))


def test_a_lease_that_is_over_and_unsigned_is_told_either_way() -> None:
    """Whoever is about to agree on another asks before it holds a place for it."""
    world, _ = lent_world()
    ends_ns = START_NS + LEASE_NS
    for pair in ((ACME, BOLT), (BOLT, ACME)):
        assert not world.ledger.has_older_unsigned(*pair, ends_ns - NS_PER_MS)
        assert world.ledger.has_older_unsigned(*pair, ends_ns)
    assert not world.ledger.has_older_unsigned(ACME, CORD, ends_ns)


def test_the_ledger_learns_what_it_costs_and_no_more() -> None:
    """Function, node, price and timing of an agreement stay between its two parties."""
    world, lease_id = lent_world()
    documents = (*(block.payload for block in world.blocks), *world.rows.values())
    told = b"".join(part for raw in documents for part in opened_up(raw))
    assert lease_id.encode() in told
    assert b'"cost_max_microcredits"' in told
    private = set(msgspec.json.decode(agreement().payload)) - set(Commitment.__struct_fields__)
    assert {"function", "node", "price_microcredits", "budget_ns"} <= private
    assert not [name for name in private if b'"%s"' % name.encode() in told]


@pytest.mark.parametrize(("requester", "provider"), [(ACME, BOLT), (BOLT, ACME)])
def test_no_new_lease_while_an_older_one_is_unsigned(requester: str, provider: str) -> None:
    """Once a lease of the two has ended, either way, the next waits for its settlement."""
    world, lease_id = ended_world()
    world.limit(BOLT, ACME, 3 * COST_MAX_MICROCREDITS)
    world.limit(ACME, BOLT, 3 * COST_MAX_MICROCREDITS)
    second = agreement(requester, provider, starts_ns=world.now_ns, nonce=1)
    assert world.ask(ACME, opening(second)) == "ledger.lease.older-unsigned"
    assert world.ask(ACME, settle(lease_id, 60)) == "done"
    assert world.ask(ACME, opening(second)) == "done"


def test_an_unsigned_lease_with_another_member_does_not_matter() -> None:
    """The rule is between two."""
    world, _ = ended_world()
    world.limit(CORD, ACME, COST_MAX_MICROCREDITS)
    other = agreement(ACME, CORD, starts_ns=world.now_ns)
    assert world.ask(ACME, opening(other)) == "done"


def test_a_running_lease_does_not_block_the_next() -> None:
    """Successors are opened before the predecessor ends."""
    world, _ = lent_world()
    world.limit(BOLT, ACME, 2 * COST_MAX_MICROCREDITS)
    nxt = agreement(starts_ns=START_NS + LEASE_NS, nonce=1)
    assert world.ask(ACME, opening(nxt)) == "done"


def test_expiry_lifts_the_block_on_new_leases() -> None:
    """When the dispute window is over, the older lease no longer counts."""
    world, _ = ended_world()
    world.at(settles_until_ns())
    second = agreement(starts_ns=world.now_ns, nonce=1)
    assert world.ask(ACME, opening(second)) == "done"


def test_a_statement_posts_its_total_and_releases_the_rest() -> None:
    """Mileage moves from requester to provider; nothing stays pending."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, settle(lease_id, 900)) == "done"
    assert (world.balance(ACME), world.balance(BOLT), world.pending()) == (-900, 900, 0)
    lease = world.lease(lease_id)
    assert lease.status is LeaseStatus.SETTLED
    assert lease.statement == statement(lease_id, 900).payload_digest


def test_both_sides_may_settle_before_the_lease_ends() -> None:
    """Two signatures can end a lease early."""
    world, lease_id = lent_world()
    assert world.ask(ACME, settle(lease_id, 0)) == "done"
    assert world.lease(lease_id).is_resolved


@pytest.mark.parametrize("total", [900, 901])
def test_a_statement_posts_once(total: int) -> None:
    """Neither the same nor another statement settles a settled lease."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, settle(lease_id, 900)) == "done"
    code = world.ask(ACME, settle(lease_id, total))
    assert code == "ledger.statement.already-settled"
    assert world.balance(BOLT) == 900


def test_a_statement_needs_both_signatures() -> None:
    """The provider alone cannot sign the requester's mileage away."""
    world, lease_id = ended_world()
    alone = Settle(statement=statement(lease_id, 900, BOLT))
    assert world.ask(BOLT, alone) == "signing.envelope.unsigned"


def test_a_stranger_cannot_settle() -> None:
    """Only the parties bring the statement."""
    world, lease_id = ended_world()
    assert world.ask(CORD, settle(lease_id, 900)) == "ledger.command.not-party"


def test_a_statement_never_exceeds_the_lease() -> None:
    """cost_max is the most that both signed for."""
    world, lease_id = ended_world()
    code = world.ask(ACME, settle(lease_id, COST_MAX_MICROCREDITS + 1))
    assert code == "ledger.statement.beyond-cost"
    assert world.ask(ACME, settle(lease_id, COST_MAX_MICROCREDITS)) == "done"


def test_a_statement_of_an_unknown_lease_is_refused() -> None:
    """A lease that was never opened holds no credit."""
    unknown = LeaseId("12" * 32)
    assert World().ask(ACME, settle(unknown, 1)) == "ledger.lease.unknown"


def test_a_statement_that_is_none_is_refused() -> None:
    """Another record in its place is named by the code of the fault."""
    world, _ = ended_world()
    assert world.ask(ACME, Settle(statement=agreement())) == "signing.json.malformed"


def test_a_larger_statement_posts_the_difference_after_a_claim() -> None:
    """While a claim is not final, both signatures win."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 600)) == "done"
    assert world.ask(ACME, settle(lease_id, 900)) == "done"
    assert (world.balance(BOLT), world.pending()) == (900, 0)


def test_a_statement_cannot_take_back_what_a_claim_posted() -> None:
    """Posted is posted; the two can only agree on at least that."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 600)) == "done"
    assert world.ask(ACME, settle(lease_id, 599)) == "ledger.statement.below-posted"
    assert world.ask(ACME, settle(lease_id, 600)) == "done"


def test_a_statement_overrides_a_pending_extra() -> None:
    """What the runner claims beyond vouchers is dropped when both sign less than it."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 600, 900)) == "done"
    assert world.ask(ACME, settle(lease_id, 630)) == "done"
    assert world.balance(BOLT) == 630


def test_a_closed_lease_takes_no_statement() -> None:
    """After the dispute window a claim is final."""
    world, lease_id = ended_world()
    assert world.ask(BOLT, claim(lease_id, 600)) == "done"
    world.at(settles_until_ns())
    assert world.ask(ACME, settle(lease_id, 900)) == "ledger.lease.final"
    assert world.balance(BOLT) == 600


def test_an_unclaimed_lease_expires_when_its_window_ends() -> None:
    """The reservation stands until the last instant of the dispute window, and not after."""
    world, lease_id = ended_world()
    world.at(settles_until_ns() - NS_PER_MS)
    world.run()
    assert world.pending() == COST_MAX_MICROCREDITS
    world.at(settles_until_ns())
    world.run()
    assert (world.pending(), world.lease(lease_id).status) == (0, LeaseStatus.EXPIRED)


def test_a_cut_off_site_settles_an_expired_lease_later() -> None:
    """Two signatures need no timely witness, only credit."""
    world, lease_id = ended_world()
    world.at(settles_until_ns() + 3600 * NS_PER_S)
    assert world.ask(BOLT, settle(lease_id, 900)) == "done"
    assert (world.balance(BOLT), world.lease(lease_id).status) == (900, LeaseStatus.SETTLED)
    assert world.ask(BOLT, settle(lease_id, 900)) == "ledger.statement.already-settled"


def test_a_late_settlement_needs_credit_again() -> None:
    """The reservation is gone, so the creditor's limit of today holds."""
    world, lease_id = ended_world()
    world.at(settles_until_ns())
    world.limit(BOLT, ACME, 899)
    assert world.ask(BOLT, settle(lease_id, 900)) == "ledger.credit.overdrawn"
    assert world.lease(lease_id).status is LeaseStatus.EXPIRED


def test_a_block_resolves_a_bounded_number_of_leases() -> None:
    """What is due beyond the bound waits for the next block; none is forgotten."""
    world = World()
    world.limit(BOLT, ACME, COST_MAX_MICROCREDITS)
    opens = [
        world.command(ACME, opening(agreement(price=0, nonce=nonce)))
        for nonce in range(SWEEP_MAX + 3)
    ]
    world.run(*opens[:SWEEP_MAX])
    world.run(*opens[SWEEP_MAX:])
    world.at(settles_until_ns())
    assert world.ledger.next_due_ns() == world.now_ns
    world.run()
    open_leases = [each for _, each in world.ledger.snapshot().leases if not each.is_resolved]
    assert len(open_leases) == 3
    world.run()
    assert world.ledger.next_due_ns() is None


def test_a_due_lease_is_resolved_before_it_is_asked() -> None:
    """A command cannot profit from a sweep that has not come to its lease yet."""
    world = World()
    world.limit(BOLT, ACME, COST_MAX_MICROCREDITS)
    opens = [
        world.command(ACME, opening(agreement(price=0, nonce=nonce))) for nonce in range(SWEEP_MAX)
    ]
    world.run(*opens)
    last = world.open(agreement(dispute_ms=DISPUTE_MS + 1))
    world.at(settles_until_ns() + NS_PER_MS)
    assert world.ask(BOLT, claim(last, 30)) == "ledger.lease.final"
    assert world.lease(last).status is LeaseStatus.OPEN, "a refusal resolves nothing by itself"
    world.run()
    assert world.lease(last).status is LeaseStatus.EXPIRED


def test_limits_are_set_for_other_members_only() -> None:
    """A limit names a member that is not the caller."""
    amount = Microcredits(5)
    assert World().ask(ACME, SetLimit(debtor=ACME, limit_microcredits=amount)) == (
        "ledger.limit.self"
    )
    unknown = EnterpriseId("evil")
    assert World().ask(ACME, SetLimit(debtor=unknown, limit_microcredits=amount)) == (
        "identity.member.unknown"
    )
