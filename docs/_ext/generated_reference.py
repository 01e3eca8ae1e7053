"""Sphinx extension: writes errors, commands and one page per room before every build."""

import ast
from collections.abc import Mapping
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import TypedDict

from command_help import commands_page
from error_catalogue import Entry, error_catalogue
from sphinx.application import Sphinx

SOURCE = Path(__file__).parents[2] / "src"
REFERENCE = Path(__file__).parents[1] / "reference"


class Abilities(TypedDict):
    """What Sphinx asks an extension about itself."""

    parallel_read_safe: bool
    parallel_write_safe: bool


def setup(app: Sphinx) -> Abilities:
    """Write the pages when the builder is ready, before Sphinx looks for sources."""
    app.connect("builder-inited", write_reference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_reference(_app: Sphinx) -> None:
    """Write every generated page; a page whose room is gone disappears with it."""
    pages = {
        "errors.md": errors_page(error_catalogue(SOURCE)),
        "api/commands.md": commands_page(),
    } | room_pages(SOURCE / "mutualedge")
    for stale in REFERENCE.glob("api/*.md"):
        if f"api/{stale.name}" not in pages:
            stale.unlink()
    for name, text in pages.items():
        write_if_changed(REFERENCE / name, text)


def write_if_changed(path: Path, text: str) -> None:
    """Leave an unchanged page alone, so that Sphinx does not read it again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def errors_page(catalogue: list[Entry]) -> str:
    """Show what an operator may meet: one table per first part of the code."""
    lines = [
        "# Error codes",
        "",
        "Programs test the code, which stays; people read the sentence, which may improve.",
        "`{…}` stands for what is filled in. Where a sentence does not say what to do, it follows.",
        "`audit.` begins the rules of an auditor's [findings](../howto/read-a-report.md).",
    ]
    for area, group in groupby(catalogue, key=lambda entry: entry.code.partition(".")[0]):
        lines += [
            "",
            f"## {area}",
            "",
            "| code | raised as | sentence | from |",
            "|---|---|---|---|",
        ]
        lines += [error_row(entry) for entry in group]
    return "\n".join(lines) + "\n"


def error_row(entry: Entry) -> str:
    """Write one entry as a table row; a sentence is shown as it is, never read as markup."""
    text = entry.sentence.replace("|", "\\|").replace("`", "'").replace("\n", " ")
    shown = f"`{text}` {entry.advice}".strip() if text.strip() else "(see the source)"
    raised_as = f"`{entry.raised_as}`" if entry.raised_as else ""
    return f"| `{entry.code}` | {raised_as} | {shown} | `{entry.place}` |"


def room_pages(package: Path) -> dict[str, str]:
    """Return one page for each package that names its public names in `__all__`.

    A name that a package passes on from another room is described there, once.
    """
    inits = [init for init in sorted(package.rglob("__init__.py")) if public_names(init)]
    rooms = {".".join(init.relative_to(package.parent).parent.parts): init for init in inits}
    names = {room: public_names(init) for room, init in rooms.items()}
    return {f"api/{room}.md": room_page(room, names) for room in rooms}


def room_page(room: str, names: Mapping[str, list[str]]) -> str:
    """Return the page of one room, given the public names of all."""
    package = import_module(room)
    passed_on = [
        name
        for name in names[room]
        for owner in (getattr(getattr(package, name), "__module__", None) or room,)
        if any(owner.startswith(f"{other}.") and name in names[other] for other in names)
        and not owner.startswith(f"{room}.")
    ]
    lines = [f"# {room}", "", "```{eval-rst}", f".. automodule:: {room}", "   :members:"]
    lines += [f"   :exclude-members: {', '.join(passed_on)}"] if passed_on else []
    return "\n".join([*lines, "```", ""])


def public_names(init: Path) -> list[str]:
    """Read `__all__` without importing the package."""
    for node in ast.parse(init.read_text("utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return list(ast.literal_eval(value))
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.List() as value):
                return list(ast.literal_eval(value))
            case _:
                continue
    return []
