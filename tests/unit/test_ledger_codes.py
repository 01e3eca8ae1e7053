"""Every refusal of the ledger has a test that provokes it, and a sentence that fits a block."""

import re
from pathlib import Path

from mutualedge.ledger import COMMANDS_MAX, Outcome
from mutualedge.ledger.blocks import OUTCOME_BYTES_MAX
from mutualedge.ledger.commands import SENTENCE_BYTES_MAX
from mutualedge.model import JSON_INTEGER_MAX, InvocationId
from mutualedge.signing import canonical_bytes

TESTS = Path(__file__).parent
SOURCE = TESTS.parent.parent / "src" / "mutualedge" / "ledger"
CODE = re.compile(r'"(ledger\.[a-z-]+\.[a-z-]+)"')


def test_every_code_is_provoked_by_a_test() -> None:
    """A code that stands in the source stands in a test's expectation as well."""
    raised = {code for path in SOURCE.glob("*.py") for code in CODE.findall(path.read_text())}
    tests = (path for path in TESTS.glob("test_ledger_*.py") if path.name != Path(__file__).name)
    expected = "".join(path.read_text() for path in tests).replace("\\", "")
    assert len(raised) > 30
    assert [code for code in sorted(raised) if code not in expected] == []


def test_the_largest_outcome_fits_its_allowance() -> None:
    """``fit`` counts this many bytes for each outcome, whatever it says."""
    largest = Outcome(
        id=InvocationId("f" * 32),
        code="l" * 64,
        sentence="s" * SENTENCE_BYTES_MAX,
        height=JSON_INTEGER_MAX,
    )
    assert len(canonical_bytes((largest,) * COMMANDS_MAX)) <= COMMANDS_MAX * OUTCOME_BYTES_MAX
