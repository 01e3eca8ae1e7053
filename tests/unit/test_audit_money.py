"""Step 8: vouchers and statements against the records and each other."""

import msgspec

from mutualedge.audit import (
    BatchItem,
    StatementItem,
    VoucherItem,
    verify_bundle,
)
from mutualedge.meter import Statement, StatementLine, Voucher, statement_of
from mutualedge.model import Digest, Microcredits
from mutualedge.signing import countersign, sign_record
from tests.unit.audit_scenarios import (
    ACME,
    BOLT,
    CALL_MICROCREDITS,
    LEASE_NS,
    Lending,
    Scenario,
    finish,
    honest,
    key,
    only,
    served,
    signed,
    tampered,
)


def line_of(voucher: Voucher, total: int) -> StatementLine:
    return StatementLine(
        meter=voucher.meter,
        through_seq=voucher.through_seq,
        head=voucher.head,
        total_microcredits=Microcredits(total),
    )


def stated(scenario: Scenario, lending: Lending, *lines: StatementLine) -> Scenario:
    """Have both sides sign a statement of just these lines."""
    total = Microcredits(sum(each.total_microcredits for each in lines))
    scenario.add_statement(Statement(lease=lending.lease, lines=lines, total_microcredits=total))
    scenario.publish(ACME, BOLT)
    return scenario


def test_a_voucher_that_another_signed_is_refused() -> None:
    """Bolt cannot vouch for Acme, nor add its name."""
    for change in (
        lambda item: countersign(item.voucher, key("settlement bolt")),
        lambda item: sign_record(Voucher(**fields_of(item)), key("settlement bolt")),
    ):
        lines, line = tampered(
            signed()[0], VoucherItem, lambda item, change=change: VoucherItem(voucher=change(item))
        )
        found = only(verify_bundle(lines), "voucher.signature")
        assert (found.line, found.step) == (line, 8)


def fields_of(item: VoucherItem) -> dict[str, object]:
    voucher = msgspec.json.decode(item.voucher.payload, type=Voucher)
    return {name: getattr(voucher, name) for name in Voucher.__struct_fields__}


def test_a_voucher_that_falls_convicts_the_requester() -> None:
    """Acme vouched 200 and later, for more records, only 160."""
    scenario, lending = signed()
    scenario.serve(lending)
    scenario.batch(lending)
    scenario.vouch(lending, total_microcredits=160)
    report = scenario.verify()
    found = only(report, "voucher.falls")
    assert (found.culprit, found.line) == (ACME, len(scenario.items) + 1)
    assert only(report, "voucher.total").culprit == ACME


def test_two_words_for_one_record_convict_the_requester() -> None:
    """The same number with two totals cannot both be meant."""
    scenario, lending = signed()
    scenario.vouch(lending, total_microcredits=lending.total + 40)
    assert only(scenario.verify(), "voucher.falls").culprit == ACME


def test_a_voucher_over_another_record_convicts_the_requester() -> None:
    """The runner's batch covers what the provider logged, so Acme signed something else."""
    scenario, lending = served(3)
    scenario.batch(lending)
    scenario.vouch(lending, head=Digest("00" * 32))
    scenario.publish(BOLT)
    found = only(scenario.verify(), "voucher.head")
    assert (found.culprit, found.line) == (ACME, len(scenario.items))


def test_without_the_runners_word_a_strange_head_accuses_nobody() -> None:
    """Provider or requester: one signature against another log."""
    scenario, lending = served(3)
    scenario.vouch(lending, head=Digest("00" * 32))
    scenario.publish(BOLT)
    found = only(scenario.verify(), "voucher.head")
    assert (found.culprit, found.subject[-2:]) == ("unknown", "/3")


def test_a_voucher_of_an_unknown_lease_is_incomplete_if_a_member_signed_it() -> None:
    """Its agreement is absent; a voucher that no member signed is a forgery."""
    scenario, lending = signed()
    scenario.vouch(lending, lease=Digest("00" * 32))
    assert only(scenario.verify(), "missing.agreement").line == len(scenario.items) + 1
    forged = msgspec.structs.replace(lending.vouchers[-1])
    scenario.items[-1] = VoucherItem(voucher=sign_record(forged, key("nobody")))
    assert only(scenario.verify(), "voucher.signature").line == len(scenario.items) + 1


def test_a_batch_in_the_place_of_a_voucher_is_malformed() -> None:
    """The type that was signed is the type that is read."""
    scenario, lending = served()
    batch = scenario.batch(lending)
    scenario.items[-1] = VoucherItem(voucher=batch)
    assert only(scenario.verify(), "voucher.malformed").step == 8
    scenario.items[-1] = BatchItem(batch=scenario.vouch(lending))
    assert only(scenario.verify(), "batch.malformed").step == 6


def test_a_statement_that_one_side_signed_is_refused() -> None:
    """Two words or none."""
    lines, line = tampered(
        honest(),
        StatementItem,
        lambda item: StatementItem(
            statement=msgspec.structs.replace(
                item.statement, signatures=item.statement.signatures[1:]
            )
        ),
    )
    found = only(verify_bundle(lines), "statement.signature")
    assert (found.line, found.step) == (line, 8)


def test_a_statement_above_the_vouchers_convicts_who_gains() -> None:
    """Bolt would be paid one call more than Acme vouched."""
    scenario, lending = signed()
    more = lending.total + CALL_MICROCREDITS
    report = stated(scenario, lending, line_of(lending.vouchers[-1], more)).verify()
    assert only(report, "statement.vouchers").culprit == BOLT
    assert only(report, "statement.total").culprit == BOLT


def test_a_statement_below_the_vouchers_convicts_who_gains() -> None:
    """Acme would pay one call less than it vouched."""
    scenario, lending = signed()
    earlier = scenario.next_record(lending)
    less = lending.total - CALL_MICROCREDITS
    report = stated(scenario, lending, line_of(lending.vouchers[-1], less)).verify()
    assert earlier.seq == 6
    assert only(report, "statement.vouchers").culprit == ACME


def test_a_statement_without_a_vouched_meter_convicts_the_requester() -> None:
    """Nothing is stated for a meter that Acme vouched for."""
    scenario, lending = signed()
    assert only(stated(scenario, lending).verify(), "statement.vouchers").culprit == ACME


def test_a_statement_beyond_its_last_voucher_is_incomplete() -> None:
    """The voucher that its line rests on is not in the bundle."""
    scenario, lending = signed()
    scenario.serve(lending)
    scenario.batch(lending)
    scenario.vouch(lending)
    scenario.items.pop()
    report = finish(scenario, lending).verify()
    assert lending.meter.key_id in only(report, "missing.voucher").sentence
    assert report.exit_code == 2


def test_a_statement_beyond_the_leases_cost_convicts_the_provider() -> None:
    """No more can be owed than the whole window at the agreed price."""
    scenario, lending = signed()
    line = line_of(lending.vouchers[-1], 10**9)
    assert only(stated(scenario, lending, line).verify(), "statement.beyond-cost").culprit == BOLT


def test_two_statements_of_one_lease_are_a_conflict() -> None:
    """Both sides signed both; which one counts is not for us to say."""
    scenario, lending = signed()
    scenario.now_ns += LEASE_NS
    scenario.state(lending)
    scenario.add_statement(statement_of(lending.lease, (lending.vouchers[0],)))
    assert only(scenario.verify(), "statement.conflict").culprit == "unknown"


def test_a_logged_statement_counts_like_one_on_its_own_line() -> None:
    """The bundle may carry a statement only as an opened log entry."""
    lines, _ = tampered(honest(), StatementItem, lambda _: None)
    report = verify_bundle(lines)
    assert report.status == "proved"
    assert report.counts.settled_microcredits == 5 * CALL_MICROCREDITS


def test_a_logged_body_of_another_kind_is_malformed() -> None:
    """A record is no voucher, whatever the entry calls it."""
    scenario, lending = signed()
    scenario.log(BOLT, "voucher", lending.bodies[0])
    scenario.publish(BOLT)
    assert only(scenario.verify(), "voucher.malformed").line == len(scenario.items)
