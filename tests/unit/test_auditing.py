"""Files given to the auditor by a person."""

from pathlib import Path

import pytest

from mutualedge.app.auditing import verify_file
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
