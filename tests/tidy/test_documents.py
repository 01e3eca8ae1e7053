"""What we say about the house is short, complete and generated where it can be."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from error_catalogue import composed_codes, error_catalogue
from generated_reference import errors_page

from tests.tidy.reading import HOUSE

README_WORDS_MAX = 500
ARCHITECTURE_WORDS_MAX = 2500

DOTTED = re.compile(r"""["']([a-z]\w*(?:\.[a-z][\w-]*){2,})["']""")


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
