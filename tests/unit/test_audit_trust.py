"""The auditor follows the trust file: who may change it, and what each version is good for."""

from collections.abc import Callable

import msgspec
import pytest

from mutualedge.audit import BlockItem, CheckpointItem, TrustItem, render_text, verify_bundle
from mutualedge.ledger import AdoptTrust, Block, Executed
from mutualedge.model import Digest, EnterpriseId
from mutualedge.signing import Envelope, parse_canonical, sign_record
from tests.unit.audit_scenarios import (
    ACME,
    BOLT,
    CORD,
    DUNE,
    NAMES,
    Scenario,
    consortium,
    finish,
    honest,
    key,
    only,
    opening,
    served,
    signed,
    successor,
    tampered,
)
from tests.unit.test_audit_ledger import forged

Change = Callable[[], Envelope]


def settled() -> Scenario:
    """Return a lease that was lent, used, settled and logged."""
    return finish(*signed())


def test_a_version_that_the_blocks_adopt_is_followed() -> None:
    """A lease before the change and one after it are proved, each by its own version."""
    scenario = settled()
    scenario.adopt(*NAMES, DUNE)
    lending = scenario.lend()
    scenario.vouch(lending)
    scenario.serve(lending, 2)
    scenario.batch(lending)
    scenario.vouch(lending)
    finish(scenario, lending)
    report = scenario.verify()
    assert report.status == "proved", report.findings
    adopted = scenario.ledger.consortium
    assert (report.trust_version, report.trust_digest) == (2, adopted.digest)
    assert f"trust file {adopted.digest[:16]} (version 2)" in render_text(report)


def test_who_left_stays_provable() -> None:
    """Its log, its records, its signatures: everything it did as a member counts."""
    scenario = settled()
    scenario.adopt(ACME, CORD)
    scenario.order()
    report = scenario.verify()
    assert report.status == "proved", report.findings
    assert report.counts.ledger_sum_microcredits == 0
    assert report.counts.settled_microcredits > 0


def test_who_stays_alone_needs_the_hubs_cosignature_only() -> None:
    """Where no partner is left nobody but the hub can cosign; that one must."""
    report = _alone(by_hub=True).verify()
    assert report.status == "proved", report.findings
    assert "the hub" in only(_alone(by_hub=False).verify(), "missing.cosignature").sentence


def _alone(*, by_hub: bool) -> Scenario:
    """Return a consortium that all but Bolt left, whose log nobody else cosigned since."""
    scenario = settled()
    scenario.adopt(BOLT)
    scenario.order()
    scenario.items = [each for each in scenario.items if not isinstance(each, CheckpointItem)]
    scenario.publish(ACME)
    scenario.publish(BOLT, witnesses=(), by_hub=by_hub)
    return scenario


def test_any_version_known_from_elsewhere_pins_the_others() -> None:
    """Each names the digest of the one before."""
    scenario = settled()
    scenario.adopt(*NAMES, DUNE)
    lines = scenario.write()
    for known in (consortium().digest, scenario.ledger.consortium.digest):
        assert verify_bundle(lines, trust_digest=known).status == "proved"
    report = verify_bundle(lines, trust_digest=Digest("ab" * 32))
    assert only(report, "trust.pin").line == 2


def _unsigned() -> Envelope:
    return successor(consortium(), *NAMES, DUNE, signers=(ACME, BOLT))


def _by_a_stranger() -> Envelope:
    return successor(consortium(), *NAMES, DUNE, signers=(ACME, BOLT, DUNE))


def _skipping() -> Envelope:
    skipped = successor(consortium(), *NAMES).payload_digest
    record = msgspec.structs.replace(consortium().trust, version=3, previous=skipped)
    return sign_record(record, *(key(f"enterprise {name}") for name in NAMES))


def _of_another() -> Envelope:
    record = msgspec.structs.replace(consortium().trust, version=2, previous=Digest("ab" * 32))
    return sign_record(record, *(key(f"enterprise {name}") for name in NAMES))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_unsigned, "identity.trust.quorum"),
        (_by_a_stranger, "identity.trust.signature"),
        (_skipping, "identity.trust.version"),
        (_of_another, "identity.trust.previous"),
    ],
)
def test_a_forged_successor_is_named(change: Change, why: str) -> None:
    """A writer that adopts what the members did not sign is blamed, and nobody follows it."""
    scenario = settled()
    command = scenario.command(ACME, AdoptTrust(trust=change()))
    report = forged(scenario, command).verify()
    found = only(report, "ledger.trust")
    assert found.culprit == "ledger-writer"
    assert why in found.sentence
    assert report.trust_version == 1


def test_letting_go_of_an_open_lease_is_named() -> None:
    """Nobody is removed with a lease unresolved, whatever the writer says."""
    scenario, _ = served()
    leave = AdoptTrust(trust=successor(consortium(), ACME, CORD))
    found = only(forged(scenario, scenario.command(ACME, leave)).verify(), "ledger.removal")
    assert found.culprit == "ledger-writer"


def test_two_versions_in_one_block_are_named() -> None:
    """Both follow the same one; the second was not to be carried out."""
    scenario = settled()
    changes = [
        scenario.command(ACME, AdoptTrust(trust=successor(consortium(), *names)))
        for names in ((*NAMES, DUNE), (ACME, BOLT))
    ]
    found = only(forged(scenario, *changes).verify(), "ledger.trust-twice")
    assert found.culprit == "ledger-writer"


def test_a_lease_for_who_leaves_with_the_block_is_named() -> None:
    """It would outlive the membership of its requester."""
    scenario = settled()
    lending = scenario.lend(opened=False)
    leave = scenario.command(CORD, AdoptTrust(trust=successor(consortium(), BOLT, CORD)))
    late = scenario.command(BOLT, opening(lending.envelope))
    found = only(forged(scenario, leave, late).verify(), "ledger.leaving")
    assert found.culprit == "ledger-writer"


def test_a_change_refused_without_reason_is_named() -> None:
    """A writer that keeps somebody out against the members' signatures is blamed."""
    scenario = settled()
    joins = AdoptTrust(trust=successor(consortium(), *NAMES, DUNE))
    codes = ("ledger.trust.unsettled",)
    report = forged(scenario, scenario.command(ACME, joins), codes=codes).verify()
    assert only(report, "ledger.refused-wrongly").culprit == "ledger-writer"


def test_a_command_of_who_left_is_named() -> None:
    """From the next block on it commands nothing."""
    scenario = settled()
    scenario.adopt(ACME, BOLT)
    back = AdoptTrust(trust=successor(scenario.ledger.consortium, *NAMES))
    found = only(forged(scenario, scenario.command(CORD, back)).verify(), "ledger.command")
    assert "'cord' is not a member" in found.sentence


def test_a_block_countersigned_under_another_version_is_named() -> None:
    """Who left countersigns nothing after, and who joins nothing before; quorum goes by height."""
    scenario = settled()
    blocks = scenario.adopt(ACME, BOLT, DUNE), scenario.order()
    assert scenario.verify().status == "proved"
    for item, others in zip(blocks, ((ACME, BOLT, DUNE), NAMES), strict=True):
        scenario.items.remove(item)
        wrong = scenario.add_block(item.block, others)
        report = scenario.verify()
        height = parse_canonical(item.block.payload, Block).height
        assert only(report, "ledger.countersignature").subject == f"block {height}"
        assert only(report, "missing.countersignature").subject == f"block {height}"
        scenario.items[scenario.items.index(wrong)] = item


def exit_of(leaver: EnterpriseId, scenario: Scenario, **executed: object) -> AdoptTrust:
    """Return how a member leaves by its own signature, naming the head unless told."""
    before, ledger = scenario.ledger.consortium, scenario.ledger
    staying = [each.enterprise for each in before.members if each.enterprise != leaver]
    head = Executed(height=ledger.height, block=ledger.head_digest)
    return AdoptTrust(
        trust=successor(before, *staying, signers=(leaver,)),
        executed=msgspec.structs.replace(head, **executed),
    )


def test_a_silent_leaver_is_not_missed() -> None:
    """Its exit counts for what it executed; for the rest those count who stayed."""
    scenario = settled()
    (*_, last) = (each for each in scenario.items if isinstance(each, BlockItem))
    without(scenario, CORD, last)
    leave = exit_of(CORD, scenario)
    without(scenario, CORD, scenario.order())
    height = scenario.ledger.height
    missing = [each.subject for each in scenario.verify().findings]
    assert missing == [f"block {height - 1}", f"block {height}"]
    without(scenario, CORD, scenario.order(scenario.command(CORD, leave)))
    report = scenario.verify()
    assert report.status == "proved", report.findings
    scenario.order()
    assert scenario.verify().status == "proved"


def test_a_silent_leaver_excuses_nobody_else() -> None:
    """One of the two who stayed is not enough, with the leaver's countersignature or without."""
    for signers in ((ACME,), (ACME, CORD)):
        scenario = settled()
        leave = exit_of(CORD, scenario)
        item = scenario.order(scenario.command(CORD, leave))
        scenario.items.remove(item)
        scenario.add_block(item.block, signers)
        found = only(scenario.verify(), "missing.countersignature")
        assert found.subject == f"block {scenario.ledger.height}"


def without(scenario: Scenario, silent: EnterpriseId, item: BlockItem) -> None:
    """Take one member's countersignature off a block."""
    scenario.items.remove(item)
    scenario.add_block(item.block, [name for name in NAMES if name != silent])


@pytest.mark.parametrize("executed", [{"block": Digest("ab" * 32)}, {"height": 99}, {"height": 0}])
def test_an_exit_of_another_ledger_is_named(executed: dict[str, object]) -> None:
    """It excuses nobody: the block wants the leaver's countersignature all the same."""
    scenario = settled()
    leave = scenario.command(CORD, exit_of(CORD, scenario, **executed))
    forged(scenario, leave)
    item = scenario.items[-1]
    assert isinstance(item, BlockItem)
    without(scenario, CORD, item)
    report = scenario.verify()
    assert only(report, "ledger.exit-block").culprit == "ledger-writer"
    height = scenario.ledger.height + 1
    assert only(report, "missing.countersignature").subject == f"block {height}"


def test_letting_somebody_go_who_did_not_ask_itself_is_named() -> None:
    """By its own signature alone nobody leaves unless it says so, and which block it executed."""
    for unsaid, by in ((True, CORD), (False, ACME)):
        scenario = settled()
        leave = exit_of(CORD, scenario)
        action = msgspec.structs.replace(leave, executed=None) if unsaid else leave
        report = forged(scenario, scenario.command(by, action)).verify()
        assert only(report, "ledger.exit-alone").culprit == "ledger-writer"


def test_more_members_need_more_countersignatures() -> None:
    """Of four members three must have; of three all had to."""
    scenario = settled()
    scenario.adopt(*NAMES, DUNE)
    height = scenario.ledger.height + 1
    execution = scenario.ledger.execute([], scenario.now_ns, key("writer"))
    scenario.add_block(execution.block, (ACME, BOLT))
    assert only(scenario.verify(), "missing.countersignature").subject == f"block {height}"


def test_evidence_for_no_version_is_named() -> None:
    """A runner that believed another trust file took other keys for a requester's."""
    scenario = settled()
    scenario.adopt(*NAMES, DUNE)
    other = successor(consortium(), ACME, BOLT, signers=())
    scenario.ledger.consortium.digest, kept = (
        other.payload_digest,
        scenario.ledger.consortium.digest,
    )
    scenario.lend()
    scenario.ledger.consortium.digest = kept
    assert "attest.evidence.binding" in only(scenario.verify(), "attestation.evidence").sentence


def test_a_later_version_is_no_founding_one() -> None:
    """The bundle starts from the first trust file; the rest is in the blocks."""
    later = TrustItem(trust=successor(consortium(), *NAMES, DUNE))
    lines, _ = tampered(honest(), TrustItem, lambda _: later)
    assert "start from the founding one" in only(verify_bundle(lines), "trust.signature").sentence
