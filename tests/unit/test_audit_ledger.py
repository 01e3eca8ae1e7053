"""Step 9: the chain of blocks, countersignatures, and every command replayed."""

import msgspec
import pytest

from mutualedge.audit import BlockItem, Report, verify_bundle
from mutualedge.ledger import (
    Action,
    Block,
    Claim,
    Close,
    Contradict,
    OpenLease,
    Outcome,
    SetLimit,
    Settle,
)
from mutualedge.market import Commitment
from mutualedge.meter import statement_of
from mutualedge.model import (
    Digest,
    Instant,
    LeaseId,
    Microcredits,
    Milliseconds,
    format_instant,
)
from mutualedge.signing import Envelope, Signature, countersign, parse_canonical, sign_record
from tests.unit.audit_scenarios import (
    ACME,
    BOLT,
    CALL_MICROCREDITS,
    CORD,
    LEASE_NS,
    WRITER,
    Lending,
    Scenario,
    finish,
    honest,
    key,
    only,
    opening,
    served,
    signed,
    tampered,
)


def forged(
    scenario: Scenario, *commands: Envelope, codes: tuple[str, ...] = (), **lies: object
) -> Scenario:
    """Append the next block as a lying writer signs it: every command done, unless told."""
    height = scenario.ledger.height + 1
    outcomes = tuple(
        Outcome(
            id=msgspec.json.decode(each.payload)["id"],
            code=code,
            sentence="Done.",
            height=height,
        )
        for each, code in zip(commands, codes or ("done",) * len(commands), strict=True)
    )
    block = Block(
        height=height,
        previous=scenario.ledger.head_digest,
        time=format_instant(scenario.now_ns),
        commands=commands,
        outcomes=outcomes,
        state=Digest("00" * 32),
    )
    scenario.add_block(sign_record(msgspec.structs.replace(block, **lies), WRITER))
    return scenario


def claimed() -> tuple[Scenario, Lending, Claim]:
    """Return a lease that ended, and the provider's claim: two calls vouched, one beyond."""
    scenario, lending = signed(2)
    scenario.serve(lending)
    scenario.batch(lending)
    scenario.publish(BOLT)
    scenario.now_ns += LEASE_NS
    claim = Claim(
        lease=lending.lease,
        vouchers=(sign_record(lending.vouchers[-1], key("settlement acme")),),
        batches=(scenario.items[-2].batch,),
    )
    return scenario, lending, claim


def posted(scenario: Scenario) -> int:
    """Return what the audit says was settled, in calls; the bundle must be proved."""
    report = scenario.verify()
    assert report.status == "proved", report.findings
    return report.counts.settled_microcredits // CALL_MICROCREDITS


def test_an_uncontradicted_claim_posts_when_due() -> None:
    """Vouched calls at once, the runner's further call after the dispute window."""
    scenario, _, claim = claimed()
    scenario.order(scenario.command(BOLT, claim))
    assert posted(scenario) == 2
    scenario.now_ns += 2 * LEASE_NS
    scenario.order()
    assert posted(scenario) == 3


def test_a_contradicted_claim_posts_its_vouchers_only() -> None:
    """Acme denied the call beyond its voucher in time."""
    scenario, lending, claim = claimed()
    scenario.order(scenario.command(BOLT, claim))
    scenario.order(scenario.command(ACME, Contradict(lease=lending.lease, reason="never came")))
    scenario.now_ns += 2 * LEASE_NS
    scenario.order()
    assert posted(scenario) == 2


def test_a_requester_closes_with_its_last_voucher() -> None:
    """The provider is gone; what was vouched posts."""
    scenario, lending, claim = claimed()
    scenario.order(scenario.command(ACME, Close(lease=lending.lease, vouchers=claim.vouchers)))
    assert posted(scenario) == 2


def test_a_lease_that_nobody_claimed_expires_and_still_settles() -> None:
    """Two signatures need no timely witness, only room on the credit line."""
    scenario, lending = signed()
    scenario.now_ns += 10 * LEASE_NS
    scenario.order()
    assert posted(finish(scenario, lending)) == 5


def settlements(lending: Lending) -> list[Action]:
    """Return the same settlement twice."""
    statement = sign_record(
        statement_of(lending.lease, (lending.vouchers[-1],)),
        key("settlement acme"),
        key("settlement bolt"),
    )
    return [Settle(statement=statement)] * 2


def test_a_statement_settled_twice_convicts_the_writer() -> None:
    """Double payment needs a writer that lets it through."""
    scenario, lending = signed()
    actions = settlements(lending)
    forged(scenario, *(scenario.command(BOLT, each) for each in actions))
    found = only(scenario.verify(), "ledger.settled-twice")
    assert (found.culprit, found.subject, found.step) == ("ledger-writer", "block 3", 9)


def test_a_limit_that_does_not_hold_convicts_the_writer() -> None:
    """The lease opened although Bolt lets Acme owe one microcredit only."""
    scenario = Scenario()
    scenario.allow(limit=1)
    lending = scenario.lend(opened=False)
    forged(scenario, scenario.command(ACME, opening(lending.envelope)))
    assert only(scenario.verify(), "ledger.overdrawn").culprit == "ledger-writer"


@pytest.mark.parametrize(
    "change",
    [
        {"cost_max_microcredits": Microcredits(10**6)},
        {"exposure_microcredits": Microcredits(10**6)},
        {"dispute_window_ms": Milliseconds(1)},
    ],
    ids=str,
)
def test_the_ledger_was_told_what_was_agreed(change: dict[str, object]) -> None:
    """Two parties that commit to other terms than they agreed on are found out."""
    scenario = Scenario()
    scenario.allow()
    lending = scenario.lend(opened=False)
    told = parse_canonical(opening(lending.envelope).commitment.payload, Commitment)
    both = (key("settlement acme"), key("settlement bolt"))
    other = sign_record(msgspec.structs.replace(told, **change), *both)
    scenario.order(scenario.command(ACME, OpenLease(commitment=other)))
    found = only(scenario.verify(), "ledger.commitment")
    assert (found.subject, found.step) == (lending.lease, 9)


def test_limits_hold_at_each_step_not_only_at_the_end() -> None:
    """The limit was raised after the lease had opened; the end state would look right."""
    scenario = Scenario()
    lending = scenario.lend(opened=False)
    opened = scenario.command(ACME, opening(lending.envelope))
    raised = SetLimit(debtor=ACME, limit_microcredits=Microcredits(10**9))
    forged(scenario, opened, scenario.command(BOLT, raised))
    assert only(scenario.verify(), "ledger.overdrawn").subject == "block 1"


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("beyond-window", {"window_calls": 0}),
        ("not-party", {"caller": ACME}),
        ("evidence", {"lease": True}),
    ],
)
def test_a_claim_against_the_rules_convicts_the_writer(
    reason: str, change: dict[str, object]
) -> None:
    """More than W beyond the vouchers, the wrong sender, or somebody else's evidence."""
    scenario, lending, claim = claimed()
    caller = change.get("caller", BOLT)
    if "window_calls" in change:
        claim = msgspec.structs.replace(
            claim,
            vouchers=(sign_record(lending.vouchers[0], key("settlement acme")),),
            batches=(scenario.batch(lending, total_microcredits=10**6),),
        )
    if "lease" in change:
        voucher = msgspec.structs.replace(lending.vouchers[-1], lease=LeaseId("00" * 32))
        vouchers = (sign_record(voucher, key("settlement acme")),)
        claim = msgspec.structs.replace(claim, vouchers=vouchers)
    forged(scenario, scenario.command(caller, claim))
    assert only(scenario.verify(), f"ledger.{reason}").culprit == "ledger-writer"


def test_a_claim_before_lease_end_convicts_the_writer() -> None:
    """One side alone settles afterwards only."""
    scenario, _, claim = claimed()
    scenario.now_ns -= LEASE_NS // 2
    forged(scenario, scenario.command(BOLT, claim))
    assert only(scenario.verify(), "ledger.outside-window").subject == "block 3"


def test_a_refusal_without_ground_convicts_the_writer() -> None:
    """The rules allow the settlement; the writer says no."""
    scenario, lending = signed()
    settling = scenario.command(BOLT, settlements(lending)[0])
    forged(scenario, settling, codes=("ledger.lease.final",))
    assert only(scenario.verify(), "ledger.refused-wrongly").culprit == "ledger-writer"


def test_a_command_that_its_member_did_not_sign_convicts_the_writer() -> None:
    """Cord's key under Bolt's name."""
    scenario, lending = signed()
    command = scenario.command(BOLT, settlements(lending)[0])
    stolen = sign_record(msgspec.json.decode(command.payload), key("settlement cord"))
    stolen = msgspec.structs.replace(stolen, payload_type=command.payload_type)
    forged(scenario, stolen)
    assert only(scenario.verify(), "ledger.command").culprit == "ledger-writer"


@pytest.mark.parametrize("signer", ["bolt", "cord"])
def test_a_signature_beside_its_members_convicts_the_writer(signer: str) -> None:
    """Nobody looks at it, so anything could stand there; a block has no room for that."""
    scenario, lending = signed()
    command = scenario.command(BOLT, settlements(lending)[0])
    other = key(f"settlement {signer}")
    junk = Signature(keyid=other.key_id, sig=b"j" * 64)
    forged(scenario, msgspec.structs.replace(command, signatures=(*command.signatures, junk)))
    assert only(scenario.verify(), "ledger.command").culprit == "ledger-writer"


def test_a_repeated_command_gets_its_first_answer() -> None:
    """Sent again, it changes nothing; answered as new, it convicts the writer."""
    scenario = Scenario()
    again = scenario.command(BOLT, SetLimit(debtor=ACME, limit_microcredits=Microcredits(1)))
    scenario.order(again)
    scenario.order(again)
    assert scenario.verify().status == "proved"
    forged(scenario, again)
    assert only(scenario.verify(), "ledger.command-repeated").subject == "block 3"


def test_outcomes_that_do_not_fit_the_commands_convict_the_writer() -> None:
    """One command, no outcome; or the outcome of another block."""
    scenario = Scenario()
    command = scenario.command(BOLT, SetLimit(debtor=ACME, limit_microcredits=Microcredits(1)))
    forged(scenario, command, outcomes=())
    assert only(scenario.verify(), "ledger.outcomes").culprit == "ledger-writer"


def second_block(**lies: object) -> Report:
    scenario = Scenario()
    scenario.order()
    return forged(scenario, **lies).verify()


def test_blocks_that_do_not_follow_each_other_convict_the_writer() -> None:
    """Another predecessor, time that goes back, or a time that is none."""
    found = only(second_block(previous=Digest("11" * 32)), "ledger.chain")
    assert (found.culprit, found.line) == ("ledger-writer", 4)
    report = second_block(time=Instant("2026-11-21T07:00:00.000Z"))
    assert only(report, "ledger.time").subject == "block 2"
    report = second_block(time=Instant("2026-13-21T09:00:00.000Z"))
    assert only(report, "ledger.time").culprit == "ledger-writer"


def test_two_blocks_of_one_height_convict_the_writer() -> None:
    """Both are signed; the ledger was forked."""
    scenario = honest()
    block = parse_canonical(scenario.items[-3].block.payload, Block)
    other = msgspec.structs.replace(block, state=Digest("00" * 32))
    scenario.add_block(sign_record(other, WRITER))
    found = only(scenario.verify(), "ledger.fork")
    assert (found.culprit, found.subject) == ("ledger-writer", "block 3")


def test_a_block_given_twice_is_reported() -> None:
    """The same block again proves nothing more."""
    scenario = honest()
    scenario.items.append(scenario.items[-3])
    assert only(scenario.verify(), "ledger.repeated").line == len(scenario.items) + 1


def test_a_block_of_another_key_is_refused() -> None:
    """Only the writer of the trust file signs blocks, and signs alone."""
    lines, line = tampered(
        honest(),
        BlockItem,
        lambda item: msgspec.structs.replace(
            item, block=countersign(item.block, key("another writer"))
        ),
    )
    report = verify_bundle(lines)
    assert only(report, "ledger.signature").line == line
    assert only(report, "missing.settlement").step == 9


def test_a_document_in_the_place_of_a_block_is_malformed() -> None:
    """A countersignature is no block, and a block no countersignature."""
    lines, line = tampered(
        honest(),
        BlockItem,
        lambda item: BlockItem(block=item.countersignatures[0], countersignatures=(item.block,)),
    )
    assert only(verify_bundle(lines), "ledger.malformed").line == line


def test_a_gap_in_the_blocks_is_incomplete() -> None:
    """Nothing after it can be replayed, so the settlement is not shown."""
    scenario = honest()
    scenario.items.remove(next(x for x in scenario.items if isinstance(x, BlockItem)))
    report = scenario.verify()
    assert only(report, "missing.block").subject == "block 1"
    assert report.exit_code == 2
    assert report.counts.settled_microcredits == 0


def test_two_of_three_countersignatures_are_not_more_than_two_thirds() -> None:
    """Finality is counted by us."""
    lines, line = tampered(
        honest(),
        BlockItem,
        lambda item: msgspec.structs.replace(item, countersignatures=item.countersignatures[1:]),
    )
    report = verify_bundle(lines)
    assert only(report, "missing.countersignature").line == line
    assert report.exit_code == 2


def test_one_member_that_countersigns_twice_counts_once() -> None:
    """Three envelopes of two members."""
    lines, _ = tampered(
        honest(),
        BlockItem,
        lambda item: msgspec.structs.replace(
            item, countersignatures=(*item.countersignatures[1:], item.countersignatures[1])
        ),
    )
    assert "2 members" in only(verify_bundle(lines), "missing.countersignature").sentence


@pytest.mark.parametrize("flaw", ["stranger", "other block", "other type"])
def test_a_countersignature_that_is_not_this_blocks_is_reported(flaw: str) -> None:
    """By nobody, for another block, or no countersignature at all."""

    def change(item: BlockItem) -> BlockItem:
        first, *rest = item.countersignatures
        match flaw:
            case "stranger":
                first = countersign(first, key("a stranger"))
            case "other block":
                other = msgspec.json.decode(first.payload) | {"block": "00" * 32}
                first = msgspec.structs.replace(
                    sign_record(other, key("settlement acme")), payload_type=first.payload_type
                )
                first = resigned(first)
            case _:
                first = item.block
        return msgspec.structs.replace(item, countersignatures=(first, *rest))

    lines, line = tampered(honest(), BlockItem, change)
    assert only(verify_bundle(lines), "ledger.countersignature").line == line


def resigned(envelope: Envelope) -> Envelope:
    """Sign the envelope anew as Acme, over the type it now has."""
    return countersign(msgspec.structs.replace(envelope, signatures=()), key("settlement acme"))


def test_a_statement_that_never_settled_is_incomplete() -> None:
    """Both signed; the ledger does not show it."""
    scenario, lending = signed()
    scenario.state(lending)
    scenario.publish(ACME, BOLT)
    report = scenario.verify()
    assert only(report, "missing.settlement").subject == lending.lease
    assert report.exit_code == 2


@pytest.mark.parametrize(("whole", "exit_code"), [(True, 0), (False, 2)])
def test_a_closing_of_the_stated_sum_settles_it_too(*, whole: bool, exit_code: int) -> None:
    """The dispute window ended before the statement came; then nothing may be missing of it."""
    scenario, lending = signed(2)
    scenario.now_ns += LEASE_NS
    vouchers = (sign_record(lending.vouchers[-1], key("settlement acme")),) if whole else ()
    scenario.order(scenario.command(ACME, Close(lease=lending.lease, vouchers=vouchers)))
    scenario.now_ns += 2 * LEASE_NS
    scenario.order()
    scenario.state(lending)
    scenario.publish(ACME, BOLT)
    report = scenario.verify()
    assert report.exit_code == exit_code, report.findings
    if exit_code:
        assert only(report, "missing.settlement").subject == lending.lease


def test_a_lease_that_never_reached_the_ledger_owes_nothing() -> None:
    """Nothing ran under it; that both signed just this asks no block for a settlement."""
    scenario, lending = signed()
    scenario = finish(scenario, lending)
    never = scenario.lend(opened=False)
    scenario.add_statement(statement_of(never.lease, ()))
    scenario.publish(ACME, BOLT)
    rules = {finding.rule for finding in scenario.verify().findings}
    assert "audit.missing.settlement" not in rules


def test_a_lease_opened_without_its_agreement_line_is_incomplete() -> None:
    """Whatever the ledger moved must be explained by an agreement of the bundle."""
    scenario = Scenario()
    scenario.allow()
    lending = scenario.lend(listed=False)
    report = scenario.verify()
    assert lending.lease in {each.subject for each in report.findings}
    assert {each.rule for each in report.findings} == {"audit.missing.agreement"}
    assert CORD not in {each.culprit for each in report.findings}


def test_a_claim_in_a_block_is_held_against_the_records() -> None:
    """Acme's voucher reached the ledger only; it still must match the provider's log."""
    scenario, lending = served(2)
    scenario.batch(lending)
    scenario.vouch(lending, total_microcredits=lending.total + CALL_MICROCREDITS)
    envelope = scenario.items.pop().voucher
    scenario.publish(BOLT)
    scenario.now_ns += LEASE_NS
    claim = Claim(lease=lending.lease, vouchers=(envelope,), batches=())
    scenario.order(scenario.command(BOLT, claim))
    found = only(scenario.verify(), "voucher.total")
    assert (found.culprit, found.line) == (ACME, len(scenario.items) + 1)
