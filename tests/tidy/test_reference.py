"""What the documents name exists, and what exists is in the reference."""

import ast
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from command_help import commands, help_text
from generated_reference import room_pages

from mutualedge.app.operation.logs import PROCESS_WORDS
from mutualedge.app.words import WORDS
from mutualedge.plan.plans import Costs, Plan
from mutualedge.plan.scenario import (
    Cloud,
    Enterprise,
    Level,
    Link,
    Memory,
    Node,
    Scenario,
    Tariff,
    Task,
)
from tests.tidy.reading import HOUSE, Function, Module, functions, the_house

SETTINGS_MODULES = [HOUSE / f"src/mutualedge/app/{name}.py" for name in ("files", "options")]
SOURCE = HOUSE / "src/mutualedge"

NOTERS = frozenset({"note", "_note", "Note"})
"""What names an event; `report` and `_report` name one of the bus, which is prefixed `bus.`."""

BUS_REPORTERS = frozenset({"report", "_report"})

ROW = re.compile(r"^\| `([\w.]+)` \|", re.MULTILINE)
SECTION = re.compile(r"^## (\w+)$", re.MULTILINE)
PLACE = re.compile(r"`([\w/]+\.py):([\w.]+)`")
COMMAND_LINE = re.compile(r"^(?:\$ )?(mutualedge .*)$|`(mutualedge [^`\n]*)`", re.MULTILINE)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pages() -> dict[str, str]:
    """Return every hand-written page by its path."""
    paths = [
        HOUSE / "README.md",
        HOUSE / "CONTRIBUTING.md",
        *sorted((HOUSE / "docs").rglob("*.md")),
    ]
    generated = {HOUSE / "docs/reference/api", HOUSE / "docs/_build"}
    return {
        path.relative_to(HOUSE).as_posix(): path.read_text("utf-8")
        for path in paths
        if not generated & set(path.parents)
    }


def struct_fields(tree: ast.Module) -> dict[str, list[str]]:
    """Return the fields of each struct a module defines."""
    return {
        node.name: [
            each.target.id
            for each in node.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        ]
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


def documented_fields(page: str) -> dict[str, list[str]]:
    """Return the rows of each section of a page."""
    parts = SECTION.split(page)[1:]
    return {name: ROW.findall(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def noted_events(modules: Sequence[Module]) -> Iterator[str]:
    """Yield the names of all events that modules of the product note."""
    for module in (module for module in modules if module.room):
        for call in (node for node in ast.walk(module.tree) if isinstance(node, ast.Call)):
            called = ast.unparse(call.func).rpartition(".")[2]
            named = [each.value for each in call.keywords if each.arg == "name"]
            match [*call.args[:1], *named]:
                case [ast.Constant(value=str() as name), *_] if called in NOTERS:
                    yield name
                case [ast.Constant(value=str() as name), *_] if called in BUS_REPORTERS:
                    yield f"bus.{name}"


def absent_places(pages: Mapping[str, str], source: Path) -> list[str]:
    """Return the `file:name` mentions whose file or name does not exist."""
    return [
        f"{page}: {file}:{name}"
        for page, text in pages.items()
        for file, name in PLACE.findall(text)
        if name not in defined_names(source / file)
    ]


def defined_names(path: Path) -> set[str]:
    """Return functions, classes and methods of a file; none if there is no such file."""
    if not path.exists():
        return set()
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, Function | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{method.name}" for method in functions(node)}
    return found


def misspelt_commands(pages: Mapping[str, str]) -> list[str]:
    """Return the command lines in pages that name a command or option there is not."""
    helps = {path: help_text(path, command) for path, command in commands()}
    return [
        f"{page}: {line}"
        for page, text in pages.items()
        for pair in COMMAND_LINE.findall(text)
        for line in ("".join(pair),)
        if not is_command(line, helps)
    ]


def is_command(line: str, helps: Mapping[str, str]) -> bool:
    """Tell whether a command line names a command and only options that its help lists."""
    words = line.split("#", maxsplit=1)[0].split()
    lengths = [n for n in range(1, len(words) + 1) if " ".join(words[:n]) in helps]
    known = helps[" ".join(words[: lengths[-1]])]
    rest = words[lengths[-1] :]
    names_a_group = "Commands:" in known and bool(rest) and not rest[0].startswith("-")
    options = [word.partition("=")[0] for word in rest if word.startswith("--")]
    return not names_a_group and all(f"{option} " in f"{known} " for option in options)


def broken_imports(pages: Mapping[str, str]) -> list[str]:
    """Return what Python blocks in pages import of ours that does not exist."""
    return [
        f"{page}: {node.module}.{alias.name}"
        for page, text in pages.items()
        for block in PYTHON.findall(text)
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mutualedge")
        for alias in node.names
        if not hasattr(importlib.import_module(node.module or ""), alias.name)
    ]


def test_every_setting_is_documented() -> None:
    """Each field of a process's file has its row, and no row speaks of a field that is gone."""
    page = (HOUSE / "docs/reference/settings.md").read_text("utf-8")
    told = {name: sorted(rows) for name, rows in documented_fields(page).items()}
    trees = [ast.parse(module.read_text("utf-8")) for module in SETTINGS_MODULES]
    fields = {name: names for tree in trees for name, names in struct_fields(tree).items()}
    assert told == {name: sorted(names) for name, names in fields.items()}


def test_every_event_is_documented() -> None:
    """Each event a process notes has its row, and no row speaks of an event that is gone."""
    page = (HOUSE / "docs/reference/events.md").read_text("utf-8")
    assert sorted(ROW.findall(page)) == sorted(set(noted_events(the_house())))


def test_every_event_has_words() -> None:
    """`mutualedge logs` tells what happened; only the bus's own reports stand as they came."""
    page = (HOUSE / "docs/reference/events.md").read_text("utf-8")
    events = {name for name in ROW.findall(page) if not name.startswith("bus.")}
    assert events - {*WORDS, *PROCESS_WORDS} == set()


def test_every_command_says_what_it_does() -> None:
    """The generated page has a sentence for each command and for each argument and option."""
    texts = {path: help_text(path, command) for path, command in commands()}
    assert {"mutualedge demo", "mutualedge audit verify"} <= set(texts)
    lines = [line for text in texts.values() for line in text.splitlines() if "<" in line]
    assert lines
    assert not [line for line in lines if not re.search(r">\s+\w+ ", line)]


def test_every_place_in_a_page_exists() -> None:
    """Whoever follows a document into the code arrives."""
    assert not absent_places(pages(), SOURCE)


def test_every_room_is_in_the_code_map() -> None:
    """A newcomer can name each room's purpose."""
    page = (HOUSE / "docs/architecture.md").read_text("utf-8")
    assert {module.room for module in the_house() if module.room} <= set(ROW.findall(page))


def test_every_command_line_in_a_page_is_one() -> None:
    """Commands in documents name commands and options that exist."""
    assert not misspelt_commands(pages())


def test_every_import_in_a_page_works() -> None:
    """Python in documents imports what there is."""
    assert not broken_imports(pages())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mutualedge audit verify bundle.jsonl --json", []),
        (
            "mutualedge audit verify bundle.jsonl --quick",
            ["p: mutualedge audit verify bundle.jsonl --quick"],
        ),
        ("mutualedge audit prove bundle.jsonl", ["p: mutualedge audit prove bundle.jsonl"]),
        ("mutualedge start hub", ["p: mutualedge start hub"]),
    ],
)
def test_a_misspelt_command_is_seen(line: str, expected: list[str]) -> None:
    """Wrong options, subcommands and commands are reported, right ones are not."""
    assert misspelt_commands({"p": f"$ {line}\n"}) == expected


def test_an_absent_place_is_seen() -> None:
    """A missing file, a missing name and a method that moved are reported."""
    text = "`node/node.py:Node.handle` `node/node.py:Node.gone` `node/gone.py:Node`"
    assert absent_places({"p": text}, SOURCE) == [
        "p: node/node.py:Node.gone",
        "p: node/gone.py:Node",
    ]


def test_a_broken_import_is_seen() -> None:
    """A name that a package does not have is reported."""
    text = "```python\nfrom mutualedge.sdk import connect_device, connect_planet\n```\n"
    assert broken_imports({"p": text}) == ["p: mutualedge.sdk.connect_planet"]


def test_a_name_passed_on_is_described_once() -> None:
    """The page of a room leaves out what another room's page describes."""
    page = room_pages(SOURCE)["api/mutualedge.sdk.md"]
    assert ":exclude-members: ReadingScored" in page


def test_every_field_of_a_scenario_and_a_plan_is_explained() -> None:
    """The page about scenarios names each field that a file may hold."""
    page = (HOUSE / "docs" / "reference" / "scenarios.md").read_text()
    told = set(re.findall(r"`(?:\w+\.)?(\w+)`", page))
    structs = (Scenario, Enterprise, Task, Node, Level, Memory, Link, Cloud, Tariff, Plan, Costs)
    fields = {name for struct in structs for name in struct.__struct_encode_fields__}
    assert fields - told == set()
