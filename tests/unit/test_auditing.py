"""Files given to the auditor by a person."""

from pathlib import Path

import pytest

from mutualedge.app.auditing import merge_bundles, verify_file
from mutualedge.audit import render_text, verify_bundle
from mutualedge.errors import UsageError
from tests.unit.audit_scenarios import honest


def without_trust(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if not line.startswith(b'{"trust":')]


@pytest.mark.parametrize("content", [b"", b"timestamp,value\n1,2\n", b'{"a":1}\n'])
def test_a_file_that_is_no_bundle_is_called_so(tmp_path: Path, content: bytes) -> None:
    """Not by eight findings about a trust file that nobody can expect in it."""
    path = tmp_path / "readings.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        verify_file(path)
    assert refused.value.code == "audit.file.foreign"


def test_a_bundle_that_lost_its_trust_file_is_judged(tmp_path: Path) -> None:
    """Whoever cuts a piece out does not turn a verdict into a slip of the keyboard."""
    path = tmp_path / "bundle.jsonl"
    path.write_bytes(b"".join(without_trust(honest().write())))
    assert verify_file(path).status != "proved"


def test_what_keeps_several_steps_from_a_verdict_is_told_once() -> None:
    """Without trust file eight steps are not checked, for one reason."""
    text = render_text(verify_bundle(without_trust(honest().write())))
    assert text.count("Not checked: without a valid trust file") == 1
    assert text.count("incomplete") >= 8


def halves(tmp_path: Path) -> tuple[Path, Path]:
    """Return two bundles that are one together; what both sides hold stands in both."""
    header, *lines = honest().write()
    shared = [line for line in lines if line.startswith((b'{"trust"', b'{"block"'))]
    entries = [line for line in lines if line not in shared]
    paths = (tmp_path / "acme.jsonl", tmp_path / "bolt.jsonl")
    for path, own in zip(paths, (entries[::2], entries[1::2]), strict=True):
        path.write_bytes(b"".join((header, *shared, *own)))
    return paths


@pytest.mark.parametrize("order", [1, -1])
def test_two_halves_are_proved_together(tmp_path: Path, order: int) -> None:
    """Neither alone; in any order, and what stands in both counts once."""
    parts = halves(tmp_path)[::order]
    assert [verify_file(part).status for part in parts] != ["proved", "proved"]
    whole = tmp_path / "both.jsonl"
    assert merge_bundles(parts, whole) == whole.stat().st_size
    report = verify_file(whole)
    assert report.status == "proved", report.findings
    assert len(whole.read_bytes().splitlines()) == len(honest().write())
    assert merge_bundles([whole, *parts], whole) == whole.stat().st_size
    assert verify_file(whole).counts == report.counts


def test_a_line_that_one_side_changed_is_found(tmp_path: Path) -> None:
    """The other side's copy of it stands beside it."""
    one, other = halves(tmp_path)
    whole, forged = tmp_path / "both.jsonl", tmp_path / "forged.jsonl"
    merge_bundles([one, other], whole)
    lines = whole.read_bytes().splitlines(keepends=True)
    index = next(i for i, line in enumerate(lines) if b'"type":"voucher"' in line)
    lines[index] = lines[index].replace(b'"payload":"ey', b'"payload":"eX', 1)
    forged.write_bytes(b"".join(lines))
    merge_bundles([whole, forged], whole)
    assert verify_file(whole).status == "violated"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"timestamp,value\n1,2\n", "export.bundle.malformed"),
        (b"", "export.bundle.trust"),
        (None, "audit.file.unreadable"),
    ],
)
def test_only_bundles_are_merged(tmp_path: Path, content: bytes | None, code: str) -> None:
    """The sentence names file and line; the target is not touched."""
    one, _ = halves(tmp_path)
    other, whole = tmp_path / "other", tmp_path / "both.jsonl"
    if content is not None:
        other.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        merge_bundles([one, other], whole)
    assert refused.value.code == code
    assert str(other) in refused.value.sentence
    assert not whole.exists()


@pytest.mark.parametrize("target", ["absent/both.jsonl", "folder"])
def test_a_bundle_that_cannot_be_written_is_said(tmp_path: Path, target: str) -> None:
    """Into a folder that is not there, onto a folder: a sentence, and nothing is left behind."""
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    parts = halves(tmp_path)
    with pytest.raises(UsageError) as refused:
        merge_bundles(parts, tmp_path / target)
    assert refused.value.code == "export.file.unwritable"
    assert sorted(tmp_path.rglob("*")) == sorted([*before, *parts])


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    """A slip of the keyboard costs no readings; a bundle of before is replaced."""
    parts = halves(tmp_path)
    readings = tmp_path / "readings.csv"
    readings.write_text("timestamp,value\n1,2\n")
    with pytest.raises(UsageError) as refused:
        merge_bundles(parts, readings)
    assert refused.value.code == "export.file.other"
    assert readings.read_text() == "timestamp,value\n1,2\n"
