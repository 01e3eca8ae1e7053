"""What we say about the house is short, complete and generated where it can be."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import pytest
from error_catalogue import composed_codes, error_catalogue
from generated_reference import errors_page

from mutualedge.audit.rules import RULE_CODES, RULES
from mutualedge.functions import STATUS_MEANINGS, ExecutionStatus
from mutualedge.functions.runtime import STATUS_UNKNOWN
from tests.tidy.reading import HOUSE

README_WORDS_MAX = 500
ARCHITECTURE_WORDS_MAX = 2500

DOTTED = re.compile(r"""["']([a-z]\w*(?:\.[a-z][\w-]*){2,})["']""")

QUOTED_RULE = re.compile(r"\"([a-z]+\.[a-z-]+)\"")
REFUSAL = re.compile(r"(?:Refused\(|_refuse_if\([^\n]*, )\"([a-z-]+)\"")
KIND_RULE = re.compile(r"f\"\{(?:word\.kind|body_kind|what)\}\.([a-z]+)\"")
KINDS = ("batch", "voucher", "statement")
"""How the auditor names a rule: in full, as a reason of the ledger's rules, after a document."""

REPORTED_FIELDS = frozenset({"header.exported", "header.items"})
"""No rules: fields of a bundle's first line."""


def words(text: str) -> int:
    return len(text.split())


def names(requirements: Iterable[str]) -> list[str]:
    return [re.split(r"[^\w.-]", requirement)[0] for requirement in requirements]


def undocumented(requirements: Iterable[str], page: str) -> list[str]:
    """Return the required libraries without a line in the table of dependencies."""
    return [name for name in names(requirements) if f"\n| `{name}` |" not in page]


def requirements() -> list[str]:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project.get("optional-dependencies", {})
    return [*project["dependencies"], *(line for extra in extras.values() for line in extra)]


def unlisted_codes(source: Path) -> list[str]:
    """Return texts in the source that look like codes of a known area and are in no catalogue."""
    listed = {entry.code for entry in error_catalogue(source)}
    areas = {code.partition(".")[0] for code in listed}
    texts = {text for path in source.rglob("*.py") for text in DOTTED.findall(path.read_text())}
    return sorted(text for text in texts - listed if text.partition(".")[0] in areas)


def rules_named(folder: Path) -> Iterator[str]:
    """Yield every rule the auditor's source names, also those it puts together."""
    texts = [path.read_text("utf-8") for path in folder.glob("*.py") if path.name != "rules.py"]
    areas = {code.split(".")[1] for code in RULE_CODES}
    for text in texts:
        for rule in QUOTED_RULE.findall(text):
            if rule.partition(".")[0] in areas and rule not in REPORTED_FIELDS:
                yield rule
        yield from (f"ledger.{reason}" for reason in REFUSAL.findall(text))
        for end in KIND_RULE.findall(text):
            yield from (f"{kind}.{end}" for kind in KINDS)


def test_the_readme_is_short() -> None:
    """What, for whom, one run, where next: no more."""
    assert 0 < words((HOUSE / "README.md").read_text("utf-8")) <= README_WORDS_MAX


def test_the_architecture_page_is_short() -> None:
    """The page a newcomer reads first fits into a quarter of an hour."""
    text = (HOUSE / "docs/architecture.md").read_text("utf-8")
    assert 0 < words(text) <= ARCHITECTURE_WORDS_MAX


def test_every_dependency_has_its_line() -> None:
    """A library nobody could justify is a library to leave out."""
    page = (HOUSE / "docs/dependencies.md").read_text("utf-8")
    assert not undocumented(requirements(), page)


def test_every_dependency_is_locked() -> None:
    """`make install` installs what pyproject.toml asks for, from the lock and with hashes."""
    lock = (HOUSE / "requirements/lock.txt").read_text("utf-8")
    assert not [name for name in names(requirements()) if f"\n{name}==" not in lock]
    assert lock.count("==") <= lock.count("--hash=sha256:")


def test_a_dependency_without_line_is_seen() -> None:
    """A name inside another line is no line of its own."""
    assert undocumented(["numpy>=2; python_version > '3'"], "\n| `numba` | faster `numpy` |") == [
        "numpy"
    ]


def test_every_error_code_is_listed() -> None:
    """An operator who meets a code finds it in the reference."""
    assert not unlisted_codes(HOUSE / "src")


def test_what_no_error_carries_is_listed_with_what_to_do() -> None:
    """Each rule of the auditor and each way a function ends is in the reference, and no other."""
    listed = {(each.code, each.sentence, each.advice) for each in error_catalogue(HOUSE / "src")}
    rows = [*RULES, *STATUS_MEANINGS.values(), STATUS_UNKNOWN]
    assert {(row.code, row.sentence, row.advice) for row in rows} == {
        (code, sentence, advice) for code, sentence, advice in listed if advice
    }
    assert all(row.sentence.endswith(".") and row.advice.endswith(".") for row in rows)


def test_every_status_of_a_function_has_its_meaning() -> None:
    """A device is never told a code that stands in no page."""
    statuses = set(get_args(ExecutionStatus)) - {"ok"}
    assert set(STATUS_MEANINGS) == statuses
    assert {row.code for row in STATUS_MEANINGS.values()} == {f"functions.{s}" for s in statuses}


def test_every_rule_of_the_auditor_has_its_row() -> None:
    """What its source calls a rule is in the table, and the table has nothing else."""
    told = set(rules_named(HOUSE / "src/mutualedge/audit"))
    assert {f"audit.{rule}" for rule in told} == RULE_CODES


def test_the_catalogue_finds_codes_however_they_are_raised(tmp_path: Path) -> None:
    """Codes are found in subclasses, functions, keywords and conditions, each with its sentence."""
    room = tmp_path / "house" / "ledger"
    room.mkdir(parents=True)
    (room / "x.py").write_text(
        "class Full(MutualEdgeError): ...\n"
        "def refuse(code, sentence): raise Full(code, sentence)\n"
        "raise Full('ledger.account.full', f'The account {name} is full.')\n"
        "code = 'ledger.lease.over' if late else 'ledger.lease.early'\n"
        "refuse(code, 'Wait.')\n"
        "Verdict(code='ledger.vote.late')\nTABLE = {1: 'ledger.a.table'}\n",
        "utf-8",
    )
    catalogue = error_catalogue(tmp_path)
    codes = [entry.code.removeprefix("ledger.") for entry in catalogue]
    assert codes == ["a.table", "account.full", "lease.early", "lease.over", "vote.late"]
    assert "The account {…} is full." in errors_page(catalogue)


def test_no_error_code_is_put_together() -> None:
    """A code in a message can be found in the source by searching for it."""
    assert not composed_codes(HOUSE / "src")


@pytest.mark.parametrize(
    ("code", "expected"), [("'ledger.' + kind", 1), ("f'ledger.{kind}'", 1), ("'ledger.a.b'", 0)]
)
def test_a_composed_code_is_seen(tmp_path: Path, code: str, expected: int) -> None:
    """Adding and formatting are both reported, a literal is not."""
    (tmp_path / "x.py").write_text(f"raise MutualEdgeError({code}, 's')\n", "utf-8")
    assert len(composed_codes(tmp_path)) == expected
