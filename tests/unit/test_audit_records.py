"""Steps 5, 6 and 7: records, their evidence, their chains, and what a lease can hold."""

import msgspec
import pytest

from mutualedge.audit import (
    AgreementItem,
    AttestationItem,
    BatchItem,
    EntryItem,
    Report,
    verify_bundle,
)
from mutualedge.audit.chains import PAYLOAD_BYTES_MAX
from mutualedge.model import (
    ZERO_DIGEST,
    AssuranceLevel,
    Digest,
    EnterpriseId,
    InvocationId,
    NodeId,
)
from mutualedge.signing import canonical_bytes, countersign, digest_of
from tests.unit.audit_evidence import attest_meter
from tests.unit.audit_scenarios import (
    ACME,
    BOLT,
    CORD,
    LEASE_NS,
    START_NS,
    Lending,
    Scenario,
    consortium,
    finish,
    honest,
    key,
    only,
    served,
    signed,
    tampered,
)


def report_of(**lies: object) -> Report:
    """Return the report on a bundle whose third record lies, signed and logged by all."""
    scenario, lending = served(2)
    scenario.serve(lending, **lies)
    scenario.serve(lending)
    scenario.batch(lending)
    scenario.vouch(lending)
    return finish(scenario, lending).verify()


def name_of(lending: Lending, seq: int) -> str:
    return f"{lending.lease}/{lending.meter.key_id}/{seq}"


@pytest.mark.parametrize(
    ("rule", "step", "lies"),
    [
        ("record.terms", 5, {"function": Digest("00" * 32)}),
        ("record.terms", 5, {"node": NodeId("other-node")}),
        ("record.terms", 5, {"requester": CORD}),
        ("record.assurance", 5, {"assurance": AssuranceLevel.ENCLAVE}),
        ("record.reserved-time", 7, {"rs_ms": 9, "amount_microcredits": 45}),
        ("record.bytes", 7, {"in_bytes": PAYLOAD_BYTES_MAX + 1}),
        ("record.bytes", 7, {"out_bytes": PAYLOAD_BYTES_MAX + 1}),
        ("record.amount", 8, {"amount_microcredits": 41}),
        ("record.amount", 8, {"rs_ms": 0}),
    ],
)
def test_a_record_that_lies_convicts_the_provider_that_logged_it(
    rule: str, step: int, lies: dict[str, object]
) -> None:
    """Whatever the others signed on top, the provider's log holds the lie."""
    report = report_of(**lies)
    found = only(report, rule)
    assert (found.culprit, found.step, found.subject[-2:]) == (BOLT, step, "/3")
    assert {each.rule for each in report.findings} == {f"audit.{rule}"}


def test_an_invocation_is_charged_once_per_lease() -> None:
    """A replayed call under a fresh number is the provider's double billing."""
    scenario, lending = served(2)
    before = scenario.next_record(lending).invocation
    scenario.serve(lending)
    scenario.serve(lending, invocation=before)
    scenario.batch(lending)
    scenario.vouch(lending)
    found = only(finish(scenario, lending).verify(), "record.billed-twice")
    assert (found.culprit, found.subject) == (BOLT, name_of(lending, 4))


def test_an_unproved_log_leaves_the_culprit_unknown() -> None:
    """Without a checkpoint over the entry, the file may have been altered by anybody."""
    scenario, lending = served(2)
    scenario.serve(lending, amount_microcredits=41)
    assert only(scenario.verify(), "record.amount").culprit == "unknown"


def test_more_calls_than_the_window_holds_convict_the_provider() -> None:
    """At one call a period only so many fit, whoever signed for more."""
    scenario = Scenario()
    scenario.allow()
    lending = scenario.lend(period_ns=LEASE_NS // 3)
    scenario.serve(lending, 5)
    scenario.batch(lending)
    scenario.publish(BOLT)
    found = only(scenario.verify(), "lease.calls")
    assert (found.culprit, found.step, found.subject) == (BOLT, 7, lending.lease)


def test_a_record_that_is_none_is_malformed() -> None:
    """A logged body must be a usage record in canonical form."""
    lines, line = tampered(
        served()[0],
        EntryItem,
        lambda item: msgspec.structs.replace(item, body=item.body + b" "),
    )
    assert only(verify_bundle(lines), "record.malformed").line == line


def test_a_third_party_does_not_log_others_records() -> None:
    """Cord is on neither side of the lease."""
    scenario, lending = signed()
    scenario.log(CORD, "record", lending.bodies[0])
    scenario.publish(CORD)
    found = only(scenario.verify(), "record.foreign-log")
    assert (found.culprit, found.subject) == (CORD, name_of(lending, 1))


def test_records_without_agreement_or_evidence_are_incomplete() -> None:
    """What was agreed and who measured cannot be guessed."""
    lines, _ = tampered(honest(), AgreementItem, lambda _: None)
    report = verify_bundle(lines)
    assert report.exit_code == 2
    assert {each.rule for each in report.findings} == {"audit.missing.agreement"}
    lines, _ = tampered(honest(), AttestationItem, lambda _: None)
    report = verify_bundle(lines)
    assert report.exit_code == 2
    assert {each.rule for each in report.findings} == {"audit.missing.attestation"}


def test_evidence_that_a_record_names_must_be_there() -> None:
    """Another session's evidence for the same key is not what the runner measured under."""
    report = report_of(attestation=Digest("00" * 32))
    found = only(report, "missing.evidence")
    assert (found.culprit, found.subject[-2:], report.exit_code) == ("unknown", "/3", 2)


def test_an_agreement_that_one_side_signed_binds_nobody() -> None:
    """Bolt's signature is gone."""
    lines, line = tampered(
        honest(),
        AgreementItem,
        lambda item: AgreementItem(
            agreement=msgspec.structs.replace(
                item.agreement, signatures=item.agreement.signatures[:1]
            )
        ),
    )
    assert only(verify_bundle(lines), "agreement.signature").line == line


def test_an_agreement_with_a_stranger_or_on_anothers_node_is_refused() -> None:
    """Only members lend, each on the node of its card."""
    for terms in ({"requester": EnterpriseId("mallory")}, {"node": NodeId("cord-node")}):
        scenario = Scenario()
        scenario.lend(opened=False, **terms)
        assert only(scenario.verify(), "agreement.signature").step == 5


def test_an_agreement_that_both_sides_archived_counts_once() -> None:
    """Requester and provider may each contribute their copy."""
    scenario = honest()
    scenario.items.append(next(x for x in scenario.items if isinstance(x, AgreementItem)))
    report = scenario.verify()
    assert (report.status, report.counts.leases) == ("proved", 1)


def attested_at(at_ns: int, signer: str, lease: str | None = None) -> Report:
    """Return the report on a bundle with one more attestation, placed then and signed so."""
    scenario, lending = signed()
    attestation = attest_meter(
        lending.lease,
        lending.agreement,
        lending.meter.public_bytes,
        key(signer),
        at_ns,
        trust=consortium().digest,
    )
    if lease is not None:
        attestation = msgspec.structs.replace(attestation, lease=lease)
    scenario.items.append(AttestationItem(attestation=canonical_bytes(attestation)))
    return finish(scenario, lending).verify()


def test_a_runner_placed_outside_the_window_convicts_the_provider() -> None:
    """Its node signed the placement; thirty seconds of skew are forgiven, a minute is not."""
    found = only(attested_at(START_NS - 60_000_000_000, "node bolt"), "placement.time")
    assert (found.culprit, found.step) == (BOLT, 5)
    assert attested_at(START_NS - 20_000_000_000, "node bolt").status == "proved"


def test_a_placement_of_another_node_or_lease_is_refused() -> None:
    """The provider's own node places the runner, for this lease."""
    assert only(attested_at(START_NS, "node cord"), "placement.signature").step == 5
    report = attested_at(START_NS, "node bolt", lease="00" * 32)
    assert only(report, "placement.lease").culprit == "unknown"


def test_evidence_for_another_meter_key_is_refused() -> None:
    """The appraisal binds evidence and key; a borrowed quote proves nothing."""
    scenario, lending = signed()
    other = attest_meter(
        lending.lease,
        lending.agreement,
        key("another meter").public_bytes,
        key("node bolt"),
        START_NS,
        trust=consortium().digest,
    )
    forged = msgspec.structs.replace(other, meter_key=lending.meter.public_bytes)
    scenario.items.append(AttestationItem(attestation=canonical_bytes(forged)))
    found = only(finish(scenario, lending).verify(), "attestation.evidence")
    assert (found.line, found.step) != (0, 0)
    assert lending.meter.key_id in found.subject


def test_a_second_session_of_the_same_runner_brings_its_own_evidence() -> None:
    """Records may name either evidence of their meter key."""
    scenario, lending = signed()
    again = attest_meter(
        lending.lease,
        lending.agreement,
        lending.meter.public_bytes,
        key("node bolt"),
        START_NS + 1_000_000_000,
        trust=consortium().digest,
        session=2,
    )
    scenario.items.append(AttestationItem(attestation=canonical_bytes(again)))
    scenario.serve(lending, attestation=digest_of(again.evidence))
    scenario.batch(lending)
    scenario.vouch(lending)
    assert finish(scenario, lending).verify().status == "proved"


def test_a_record_left_out_of_the_providers_log_is_a_gap() -> None:
    """All entries are here, opened: the provider did not log what its runner chained."""
    scenario, lending = served(2)
    scenario.serve(lending, logged=False)
    scenario.serve(lending, 2)
    scenario.publish(BOLT)
    found = only(scenario.verify(), "chain.gap")
    assert (found.culprit, found.subject) == (BOLT, name_of(lending, 3))


def test_a_record_that_may_be_sealed_is_missing() -> None:
    """A sealed entry could hold it; then whoever wrote the bundle left it out."""
    scenario, lending = served(2)
    scenario.serve(lending, logged=False)
    scenario.log(BOLT, "sealed", lending.bodies[-1])
    scenario.serve(lending, 2)
    scenario.batch(lending)
    scenario.publish(BOLT)
    found = only(scenario.verify(), "missing.record")
    assert (found.culprit, found.subject) == ("unknown", name_of(lending, 3))


def test_a_record_that_follows_another_predecessor_breaks_the_chain() -> None:
    """The second record names no predecessor, and the provider logged it so."""
    scenario, lending = served(1)
    scenario.serve(lending, prev=ZERO_DIGEST)
    scenario.batch(lending)
    scenario.publish(BOLT)
    found = only(scenario.verify(), "chain.broken")
    assert (found.culprit, found.subject, found.step) == (BOLT, name_of(lending, 2), 6)


def test_an_altered_record_is_told_from_its_honest_successor() -> None:
    """The runner's batch covers the successor, so the one before was altered."""
    scenario, _ = signed(3)
    at = next(i for i, x in enumerate(scenario.items) if isinstance(x, EntryItem)) + 1
    entry = scenario.items[at]
    body = entry.body.replace(b'"fuel":1000000', b'"fuel":1000001')
    scenario.items[at] = msgspec.structs.replace(entry, body=body)
    scenario.publish(BOLT)
    report = scenario.verify()
    found = only(report, "chain.broken")
    assert (found.line, found.last_line, found.culprit) == (at + 2, at + 2, "unknown")
    assert only(report, "log.root").line <= at + 2


def test_two_records_of_one_number_are_a_fork() -> None:
    """The provider logged both; its log convicts it."""
    scenario, lending = served(2)
    forked = scenario.next_record(lending)
    scenario.serve(lending)
    body = canonical_bytes(msgspec.structs.replace(forked, invocation=InvocationId("00" * 16)))
    scenario.log(BOLT, "record", body)
    scenario.publish(BOLT)
    found = only(scenario.verify(), "chain.fork")
    assert (found.culprit, found.subject) == (BOLT, name_of(lending, 3))
    assert found.last_line > found.line


def test_a_record_logged_twice_convicts_the_provider() -> None:
    """One execution, one entry."""
    scenario, lending = served(2)
    scenario.log(BOLT, "record", lending.bodies[0])
    scenario.publish(BOLT)
    found = only(scenario.verify(), "chain.logged-twice")
    assert (found.culprit, found.subject) == (BOLT, name_of(lending, 1))


def test_a_record_that_only_the_requester_logged_convicts_the_provider() -> None:
    """The provider's log is all here and does not have it."""
    scenario, lending = served(2)
    scenario.serve(lending, logged=False)
    scenario.batch(lending)
    scenario.log(ACME, "record", lending.bodies[-1])
    scenario.publish(ACME, BOLT)
    found = only(scenario.verify(), "chain.unlogged")
    assert (found.culprit, found.subject) == (BOLT, name_of(lending, 3))


def culprits_after(log: str, **lies: object) -> set[str]:
    """Return who is accused when this enterprise logs an invented record of an honest lease."""
    scenario, lending = signed(3)
    invented = msgspec.structs.replace(scenario.next_record(lending), **lies)
    scenario.log(EnterpriseId(log), "record", canonical_bytes(invented))
    scenario.publish(EnterpriseId(log))
    report = finish(scenario, lending).verify()
    assert report.status != "proved"
    return {each.culprit for each in report.findings}


def test_nobody_frames_the_provider_with_invented_records() -> None:
    """A record in one's own log accuses oneself, or nobody: the runner did not sign it."""
    assert culprits_after("cord", provider=CORD, seq=2) == {"cord"}
    assert culprits_after("cord", requester=CORD) == {"cord"}
    assert culprits_after("cord", requester=CORD, seq=2) == {"cord"}
    assert culprits_after("acme") == {"unknown"}
    assert culprits_after("acme", seq=99) == {"unknown"}


def test_a_meter_key_that_nobody_attested_accuses_nobody() -> None:
    """Acme can make a key, sign a batch with it and log a record; that proves nothing."""
    scenario, lending = signed(3)
    own = msgspec.structs.replace(
        scenario.next_record(lending), meter=key("own").key_id, seq=1, prev=ZERO_DIGEST
    )
    scenario.log(ACME, "record", canonical_bytes(own))
    lending.meter = key("own")
    scenario.batch(lending)
    scenario.publish(ACME, BOLT)
    assert {each.culprit for each in scenario.verify().findings} == {"unknown"}


def test_a_file_altered_on_its_way_accuses_nobody() -> None:
    """An amount changed in the file breaks chain, sums and root; no party signed that."""
    scenario, lending = signed(4)
    finish(scenario, lending)
    at = next(i for i, x in enumerate(scenario.items) if isinstance(x, EntryItem)) + 1
    entry = scenario.items[at]
    body = entry.body.replace(b'"amount_microcredits":40', b'"amount_microcredits":90')
    scenario.items[at] = msgspec.structs.replace(entry, body=body)
    report = scenario.verify()
    assert only(report, "chain.broken").line == at + 2
    assert {each.culprit for each in report.findings} == {"unknown"}


def test_a_requesters_copy_that_differs_is_a_fork() -> None:
    """The runner's batch covers the provider's record, so the copy is the requester's lie."""
    scenario, lending = signed(2)
    copy = lending.bodies[0].replace(b'"fuel":1000000', b'"fuel":1000001')
    scenario.log(ACME, "record", copy)
    scenario.publish(ACME, BOLT)
    found = only(scenario.verify(), "chain.fork")
    assert (found.culprit, found.subject) == (ACME, name_of(lending, 1))


def test_a_batch_of_another_key_is_refused() -> None:
    """Only the meter key it names may sign it."""
    scenario, lending = served()
    scenario.batch(lending)
    lines, line = tampered(
        scenario,
        BatchItem,
        lambda item: BatchItem(batch=countersign(item.batch, key("another meter"))),
    )
    assert only(verify_bundle(lines), "batch.signature").line == line


def test_a_batch_over_another_record_convicts_the_provider_that_logged_it() -> None:
    """The runner signed one thing, the provider logged another."""
    scenario, lending = served(3)
    scenario.batch(lending, head=Digest("00" * 32))
    scenario.publish(BOLT)
    found = only(scenario.verify(), "batch.head")
    assert (found.culprit, found.subject, found.step) == (BOLT, name_of(lending, 3), 6)


def test_a_batch_with_another_sum_convicts_the_provider() -> None:
    """The head is right, the running total is not that of the records."""
    scenario, lending = served(3)
    scenario.batch(lending, total_microcredits=lending.total + 1)
    found = only(scenario.verify(), "batch.total")
    assert (found.culprit, found.line) == (BOLT, len(scenario.items) + 1)


def test_a_batch_beyond_the_records_is_incomplete() -> None:
    """The runner signed for a record that the bundle does not hold."""
    scenario, lending = served(2)
    scenario.serve(lending, logged=False)
    scenario.batch(lending)
    scenario.publish(BOLT)
    assert only(scenario.verify(), "missing.record").subject == name_of(lending, 3)


def test_records_that_no_batch_covers_are_counted() -> None:
    """A runner that crashed signs nothing more; the requester's voucher still pays honestly."""
    scenario, lending = signed(3)
    scenario.serve(lending, 2)
    scenario.vouch(lending)
    report = finish(scenario, lending).verify()
    assert (report.status, report.counts.records, report.counts.records_unbatched) == (
        "proved",
        5,
        2,
    )
