"""Steps 2, 3 and 4: checkpoints, witnesses, forks, and logs rebuilt from their entries."""

import msgspec

from mutualedge.audit import CheckpointItem, EntryItem, SealedEntryItem, verify_bundle
from mutualedge.model import EnterpriseId
from mutualedge.tlog import NoteAlgorithm, NoteSigner, cosign, parse_note, with_signatures
from tests.unit.audit_scenarios import (
    ACME,
    BOLT,
    CORD,
    Scenario,
    finish,
    honest,
    key,
    only,
    served,
    signed,
    tampered,
)


def logged(calls: int = 4) -> Scenario:
    """Return a scenario whose provider logged calls but published no checkpoint."""
    return served(calls)[0]


def test_a_checkpoint_of_another_key_is_not_the_logs() -> None:
    """Cord's note does not speak for Bolt's log."""
    scenario = honest()
    note = next(each.note for each in scenario.items if isinstance(each, CheckpointItem))
    lines, line = tampered(scenario, CheckpointItem, lambda _: CheckpointItem(log=CORD, note=note))
    assert only(verify_bundle(lines), "checkpoint.signature").line == line


def test_a_signature_line_of_nobody_is_reported() -> None:
    """A line that no key of the consortium accounts for is a byte nobody looks at."""

    def add_line(item: CheckpointItem) -> CheckpointItem:
        stranger = NoteSigner(
            name="stranger/witness", key=key("x"), algorithm=NoteAlgorithm.COSIGNATURE_V1
        )
        line = cosign(parse_note(item.note).text, stranger, 1)
        return CheckpointItem(log=item.log, note=with_signatures(item.note, [line]))

    lines, line = tampered(honest(), CheckpointItem, add_line)
    found = only(verify_bundle(lines), "checkpoint.signature-unknown")
    assert (found.line, found.step) == (line, 2)


def test_a_witness_whose_time_goes_back_is_named() -> None:
    """Cord cosigned a larger log earlier than a smaller one."""
    scenario = logged()
    scenario.publish(BOLT, witnesses=(CORD,), time_s=2_000)
    scenario.log(BOLT, "sealed", b"more")
    scenario.publish(BOLT, witnesses=(CORD,), by_hub=False, time_s=1_000)
    found = only(scenario.verify(), "checkpoint.time")
    assert (found.culprit, found.line) == (CORD, len(scenario.items) + 1)


def test_a_log_without_partners_cosignature_is_incomplete() -> None:
    """The log's own witness and the hub are not enough; we count for ourselves."""
    scenario = logged()
    scenario.publish(BOLT, witnesses=())
    assert "any partner" in only(scenario.verify(), "missing.cosignature").sentence


def test_a_log_without_the_hubs_cosignature_is_incomplete() -> None:
    """Partners alone could be in league with the log."""
    scenario = logged()
    scenario.publish(BOLT, by_hub=False)
    found = only(scenario.verify(), "missing.cosignature")
    assert "the hub" in found.sentence
    assert found.step == 2


def test_two_roots_of_one_size_convict_the_log() -> None:
    """Equivocation needs no other evidence than both checkpoints."""
    scenario = honest()
    scenario.publish(BOLT, root=bytes(32))
    found = only(scenario.verify(), "log.equivocation")
    assert (found.culprit, found.step, found.last_line) == (BOLT, 3, len(scenario.items) + 1)


def test_a_root_that_is_no_prefix_convicts_the_log() -> None:
    """The smaller checkpoint's root is not that of the first entries of the larger one."""
    scenario = logged()
    scenario.publish(BOLT, root=bytes(32))
    scenario.log(BOLT, "sealed", b"more")
    scenario.publish(BOLT)
    found = only(scenario.verify(), "log.equivocation")
    assert found.culprit == BOLT
    assert "no prefix" in found.sentence


def test_an_empty_log_has_one_root_only() -> None:
    """A root signed for no entries at all is the digest of nothing, or a lie."""
    scenario = Scenario()
    scenario.publish(BOLT, root=bytes(32))
    assert only(scenario.verify(), "log.equivocation").culprit == BOLT


def test_an_altered_salt_is_found_between_two_checkpoints() -> None:
    """One root covers a group of entries, so the report gives the group's lines."""
    lines, line = tampered(
        honest(),
        EntryItem,
        lambda item: msgspec.structs.replace(item, salt=bytes(32)),
    )
    found = only(verify_bundle(lines), "log.root")
    assert found.line <= line <= found.last_line
    assert (found.step, found.culprit) == (4, "unknown")


def test_an_altered_sealed_entry_is_found() -> None:
    """Entries that concern others are hashed like the rest."""
    lines, line = tampered(
        honest(),
        SealedEntryItem,
        lambda item: msgspec.structs.replace(item, entry=item.entry[:-1] + b"!"),
    )
    found = only(verify_bundle(lines), "log.root")
    assert found.line <= line <= found.last_line


def test_an_absent_entry_is_missing_not_violated() -> None:
    """Who left it out of the file is not known."""
    lines, _ = tampered(honest(), SealedEntryItem, lambda _: None)
    report = verify_bundle(lines)
    assert only(report, "missing.entry").subject == "log bolt/2"
    assert report.exit_code == 2


def test_an_entry_given_twice_is_reported() -> None:
    """An index holds one entry."""
    scenario = honest()
    scenario.items.append(next(each for each in scenario.items if isinstance(each, EntryItem)))
    assert only(scenario.verify(), "log.entry-repeated").line == len(scenario.items) + 1


def test_entries_above_the_last_checkpoint_are_unproved() -> None:
    """Nobody signed for them yet."""
    scenario = honest()
    scenario.log(BOLT, "sealed", b"later")
    found = only(scenario.verify(), "missing.checkpoint")
    assert (found.line, found.subject) == (len(scenario.items) + 1, "log bolt/8")


def test_a_log_of_no_member_is_refused() -> None:
    """There is no key to hold it against."""
    scenario = honest()
    scenario.log(EnterpriseId("mallory"), "sealed", b"hello")
    found = only(scenario.verify(), "log.owner")
    assert (found.line, found.subject) == (len(scenario.items) + 1, "log mallory")


def test_records_in_the_requesters_log_too_change_nothing() -> None:
    """Both sides may log a record; it counts once, from the provider's log."""
    scenario, lending = signed()
    for body in lending.bodies:
        scenario.log(ACME, "record", body)
    report = finish(scenario, lending).verify()
    assert report.status == "proved"
    assert report.counts.settled_microcredits == lending.total
