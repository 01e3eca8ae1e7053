"""Every command that a page shows is run, and answers what the page says."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import KeptDemo
from tests.e2e.pages import (
    BESIDE,
    INSTALLING,
    OWN,
    Reader,
    is_shown,
    pages,
    steps_of,
    strays,
    too_wide,
)
from tests.tidy.reading import HOUSE

pytestmark = pytest.mark.e2e

TUTORIAL = "docs/tutorial.md"
HOW_TO = sorted(set(pages()) - {TUTORIAL})
REHEARSAL = "mutualedge demo --keep rehearsal"
SETTLED = re.compile(r"(\d+) microcredits settled")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, as a reader's would be: a long one would not fit the lines of 80 columns."""
    with tempfile.TemporaryDirectory(prefix="me-") as name:
        yield Path(name)


def follow(page: str, folder: Path) -> Reader:
    reader = Reader(folder)
    try:
        reader.follow(page)
    finally:
        reader.leave()
    return reader


def test_the_tutorial_leads_to_a_proved_call(folder: Path) -> None:
    """From founding to a forgery that is caught; the partner was paid for what it computed."""
    follow(pages()[TUTORIAL], folder)
    verify = Reader(folder).start("mutualedge audit verify bundle.jsonl")
    assert verify.ended() == 0
    settled = SETTLED.search(verify.text())
    assert settled is not None
    assert int(settled[1]) > 0


@pytest.mark.parametrize("name", HOW_TO)
def test_a_page_does_what_it_says(name: str, folder: Path, demo: KeptDemo) -> None:
    """The rehearsal it begins with is run once for all pages, and its bundle lies ready."""
    page = pages()[name]
    assert demo.told.status == 0
    shutil.copytree(demo.folder, folder / "rehearsal")
    shutil.copy(demo.bundle, folder / "bundle.jsonl")
    follow(page.replace(f"$ {REHEARSAL}\n", ""), folder)


def test_no_page_shows_a_command_that_nobody_runs() -> None:
    """Commands stand in console blocks; one that is left out has its reason beside it."""
    assert not {name: found for name, page in pages().items() if (found := strays(page))}


def test_what_the_tutorial_installs_with_exists() -> None:
    """Cloning and installing are what the tests themselves stand on."""
    commands = [step.command for step in steps_of(pages()[TUTORIAL])]
    assert [each.split()[0] for each in commands if INSTALLING.fullmatch(each)] == [
        "git",
        "cd",
        "make",
        ".",
    ]
    assert re.search("^install:", (HOUSE / "Makefile").read_text("utf-8"), re.MULTILINE)


PAGE = """
```console
$ one
1 of 2
$ two
$ echo $?
3
```

In a second terminal:

```console
$ three
```

Each in a terminal of its own:

```console
$ four
```

Not run by the tests: it needs a holiday.

```console
$ five
```
"""


def test_a_page_is_read_as_its_reader_does() -> None:
    """Commands come with what they show, how they end and where they run."""
    told = [(step.command, step.shown, step.status, step.where) for step in steps_of(PAGE)]
    assert told == [
        ("one", "1 of 2\n", 0, ""),
        ("two", "", 3, ""),
        ("three", "", 0, BESIDE),
        ("four", "", 0, OWN),
    ]


@pytest.mark.parametrize(
    ("shown", "said", "expected"),
    [
        ("up 2s, 5 calls\n", "up 1m31s,\n  17 calls\n", True),
        ("one\n…\nthree\n", "one\ntwo\nthree\n", True),
        ("one\nthree\n", "one\ntwo\nthree\n", False),
        ("in /home/op/valley.\n", "in /tmp/me-1/valley.\n", True),
        ("by candy\n", "by logistics\n", False),
        ("heard just now\n", "heard 3s ago\n", True),
    ],
)
def test_what_differs_from_run_to_run_may_differ(shown: str, said: str, expected: bool) -> None:
    """Numbers and times are general, words are not, and a gap is only where the page has one."""
    assert is_shown(shown, said) is expected


def test_a_command_outside_a_console_block_is_seen() -> None:
    """So is a block that is left out without a reason."""
    page = "```text\n$ mutualedge demo\n```\n\nNot run by the tests: no.\n"
    assert strays(page) == ["$ mutualedge demo", "no."]


def test_a_line_that_could_fit_and_does_not_is_seen() -> None:
    """A word that nobody can break is no fault."""
    assert too_wide(f"{'a' * 200}\n{'short ' * 13}\n") == []
    assert too_wide("word " * 17 + "\n") == ["word " * 17]
