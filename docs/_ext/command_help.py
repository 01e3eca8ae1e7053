"""The help text of every command, taken from the program itself."""

from collections.abc import Iterator

from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from mutualedge.cli.main import app

PROGRAM = "mutualedge"
WIDTH_CHARACTERS = 88

Command = TyperCommand | TyperGroup

INTRODUCTION = """\
# Commands

The help texts, as the program prints them.

| exit status | meaning |
|---|---|
| 0 | done; for `audit verify` and `demo`: everything proved; for `up` and `status`: all run |
| 1, 2 | `audit verify` and `demo`: a violation, or evidence missing |
| 1 | `doctor`: a problem; `score`: some readings were not scored; `approve`: not confirmed |
| 3 | `up` and `status`: some process does not run, or is silent |
| 64 | used wrongly: an argument, a file, a folder |
| 70 | something of ours or a peer's failed |
| 75 | nobody answers, or the machine lacks a port or space on its disk; try again later |
| 77 | refused: a rule of the consortium, or a partner, says no |
"""


def commands() -> Iterator[tuple[str, Command]]:
    """Yield each command with its path, a group before its commands."""
    waiting: list[tuple[str, object]] = [(PROGRAM, get_command(app))]
    while waiting:
        path, command = waiting.pop(0)
        assert isinstance(command, TyperCommand | TyperGroup)
        yield path, command
        if isinstance(command, TyperGroup):
            below = [(f"{path} {name}", each) for name, each in command.commands.items()]
            waiting = [*below, *waiting]


def help_text(path: str, command: Command) -> str:
    """Return what `--help` prints."""
    context = command.make_context(
        path, [], resilient_parsing=True, terminal_width=WIDTH_CHARACTERS
    )
    return command.get_help(context)


def commands_page() -> str:
    """Return the page of all commands."""
    sections = [
        f"## {path}\n\n```text\n{help_text(path, command)}\n```\n" for path, command in commands()
    ]
    return "\n".join([INTRODUCTION, *sections])
