"""Step 1: the file itself, its header, and the trust file."""

import msgspec

from mutualedge.audit import HeaderItem, TrustItem, render_text, verify_bundle
from mutualedge.audit.bundle import LINE_BYTES_MAX
from mutualedge.identity import TrustFile
from mutualedge.model import Digest, EnterpriseId
from mutualedge.signing import canonical_bytes, countersign, parse_canonical, sign_record
from tests.unit.audit_scenarios import (
    Scenario,
    honest,
    key,
    only,
    tampered,
    trust_envelope,
    write_lines,
)


def test_an_honest_bundle_is_proved_in_all_ten_steps() -> None:
    """Exit 0, every step proved, and the sums are those of the five paid calls."""
    report = honest().verify()
    assert [step.verdict for step in report.steps] == ["proved"] * 10
    assert (report.exit_code, report.findings) == (0, ())
    assert (report.counts.records, report.counts.leases, report.counts.blocks) == (6, 1, 3)
    assert (report.counts.settled_microcredits, report.counts.ledger_sum_microcredits) == (200, 0)
    assert report.assurance == ("simulated",)


def test_the_order_of_lines_is_free() -> None:
    """The same evidence in reverse proves the same."""
    scenario = honest()
    report = verify_bundle(write_lines(reversed(scenario.items)))
    assert report.status == "proved"
    assert report.counts == scenario.verify().counts


def test_a_report_is_read_by_people_and_by_programs() -> None:
    """Text names verdict and free bytes; JSON decodes to the same report."""
    report = honest().verify()
    text = render_text(report)
    assert text.startswith("PROVED: consortium 'peak'")
    assert "Not covered by any signature: header.exported." in text
    assert msgspec.json.decode(canonical_bytes(report), type=type(report)) == report


def test_a_line_with_a_space_is_not_canonical() -> None:
    """JSON that means the same but is spelled otherwise is malformed, on its own line."""
    lines = honest().write()
    lines[4] = lines[4].replace(b",", b", ", 1)
    found = only(verify_bundle(lines), "line.malformed")
    assert (found.line, found.step, found.culprit) == (5, 1, "unknown")


def test_a_last_line_without_newline_is_malformed() -> None:
    """The file was cut; what is left of its last line is no line."""
    lines = honest().write()
    lines[-1] = lines[-1][:-1]
    assert only(verify_bundle(lines), "line.malformed").line == len(lines)


def test_a_line_beyond_the_bound_is_not_parsed() -> None:
    """Four MiB are the most a line may have."""
    lines = [*honest().write(), b" " * (LINE_BYTES_MAX + 1)]
    assert only(verify_bundle(lines), "line.malformed").line == len(lines)


def test_an_empty_file_misses_its_header_and_trust_file() -> None:
    """Nothing in, nothing proved: exit 2."""
    report = verify_bundle([])
    assert report.exit_code == 2
    assert only(report, "missing.header").line == 0
    assert {each.step for each in report.findings} == set(range(1, 10))


def test_fewer_lines_than_announced_are_missing() -> None:
    """A truncated file is incomplete, not proved, even where the rest stands."""
    report = verify_bundle(honest().write()[:-1])
    assert only(report, "missing.lines").line == 1
    assert report.exit_code == 2


def test_more_lines_than_announced_are_a_violation() -> None:
    """Somebody appended to the file."""
    scenario = honest()
    lines = [*scenario.write(), scenario.write()[-1]]
    assert only(verify_bundle(lines), "line.surplus").line == 1


def test_a_second_header_is_malformed() -> None:
    """Two files were joined."""
    lines = honest().write()
    assert only(verify_bundle([*lines, lines[0]]), "line.malformed").line == len(lines) + 1


def test_a_header_of_another_format_or_consortium_is_refused() -> None:
    """The header says what the file is, so it is held against what the file holds."""
    lines = honest().write()
    header = msgspec.json.decode(lines[0], type=HeaderItem)
    other = msgspec.structs.replace(header, consortium=EnterpriseId("elsewhere"))
    report = verify_bundle([canonical_bytes(other) + b"\n", *lines[1:]])
    assert only(report, "header.consortium").line == 1
    foreign = msgspec.structs.replace(header, format="mutualedge-bundle/9")
    report = verify_bundle([canonical_bytes(foreign) + b"\n", *lines[1:]])
    assert only(report, "line.malformed").line == 1


def test_a_pinned_trust_file_is_the_only_one_accepted() -> None:
    """An auditor who knows the digest is not fooled by a consortium made up for the bundle."""
    lines, known = honest().write(), trust_envelope().payload_digest
    assert verify_bundle(lines, trust_digest=known).status == "proved"
    report = verify_bundle(lines, trust_digest=Digest("00" * 32))
    assert only(report, "trust.pin").line == 2


def test_a_trust_file_without_quorum_ends_the_audit() -> None:
    """One signature of three is not two thirds; later steps say why they were not checked."""
    trust = parse_canonical(trust_envelope().payload, TrustFile)
    lines, line = tampered(
        honest(), TrustItem, lambda _: TrustItem(trust=sign_record(trust, key("enterprise acme")))
    )
    report = verify_bundle(lines)
    assert only(report, "trust.signature").line == line
    assert report.steps[8].verdict == "incomplete"


def test_a_strangers_signature_on_the_trust_file_is_reported() -> None:
    """Beyond the quorum, too, there is no byte that nobody looks at."""
    lines, line = tampered(
        honest(),
        TrustItem,
        lambda item: TrustItem(trust=countersign(item.trust, key("a stranger"))),
    )
    assert only(verify_bundle(lines), "trust.signature").line == line


def test_a_second_trust_file_is_reported() -> None:
    """Which members count must not be a choice."""
    scenario = honest()
    scenario.items.append(scenario.items[0])
    assert only(scenario.verify(), "trust.repeated").line == len(scenario.items) + 1


def test_a_bundle_without_claims_proves_nothing() -> None:
    """A trust file alone is valid and incomplete."""
    report = Scenario().verify()
    assert only(report, "missing.block").subject == "block 1"
    assert report.exit_code == 2
