"""The command tree and what errors become: a sentence on stderr and a meaningful exit status."""

import sys
from typing import Annotated

import typer

from mutualedge.app.terminal import fitted, tell
from mutualedge.cli.audit import audit_app
from mutualedge.cli.config import config_app
from mutualedge.cli.demo import demo
from mutualedge.cli.doctor import doctor
from mutualedge.cli.down import down
from mutualedge.cli.logs import logs
from mutualedge.cli.membership import approve, init, invite, join, leave, renew
from mutualedge.cli.plan import plan_app
from mutualedge.cli.score import score
from mutualedge.cli.serve import hub, node
from mutualedge.cli.status import status
from mutualedge.cli.up import up
from mutualedge.errors import (
    MutualEdgeError,
    RefusedByPeer,
    RefusedByPolicy,
    ResourceMissing,
    Unreachable,
    UsageError,
)

EXIT_FAILED = 70
"""Something of ours or a peer's failed (sysexits EX_SOFTWARE); 1, 2 and 3 keep their meanings."""

EXIT_USAGE = 64
"""The command was used wrongly (sysexits EX_USAGE)."""

EXIT_LATER = 75
"""The machine lacks something, or nobody answers (sysexits EX_TEMPFAIL); the same command may
succeed later."""

EXIT_REFUSED = 77
"""A rule, ours or a partner's, says no (sysexits EX_NOPERM)."""

app = typer.Typer(
    name="mutualedge",
    help="Run each other's peak-time work on each other's idle edge nodes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(up)
app.command()(status)
app.command()(logs)
app.command()(doctor)
app.command()(down)
app.command()(hub)
app.command()(node)
app.command()(init)
app.command()(invite)
app.command()(join)
app.command()(approve)
app.command(context_settings={"ignore_unknown_options": True})(score)  # -3.5 is a reading
app.command()(leave)
app.command()(renew)
app.add_typer(audit_app, name="audit")
app.add_typer(config_app, name="config")
app.add_typer(plan_app, name="plan")


def main() -> None:
    """Run the command line; exits 0, or with the status that the command documents."""
    try:
        ended = app(standalone_mode=False)
    except MutualEdgeError as error:
        _say(error)
        sys.exit(_status_of(error))
    except typer.TyperException as error:
        _say(UsageError("cli.arguments.refused", _what_is_wrong(str(error))))
        sys.exit(EXIT_USAGE)
    except typer.Exit as leaving:
        sys.exit(leaving.exit_code)
    except typer.Abort:
        sys.exit(130)
    sys.exit(ended if isinstance(ended, int) else 0)


def _what_is_wrong(told: str) -> str:
    """Return a sentence about arguments; without any the parser tells the help text instead."""
    if "\n" in told:
        tell(told)
        told = "No command is named"
    return f"{told.rstrip('.')}; 'mutualedge --help' lists what there is."


def _status_of(error: MutualEdgeError) -> int:
    match error:
        case ResourceMissing() | Unreachable():
            return EXIT_LATER
        case UsageError():
            return EXIT_USAGE
        case RefusedByPolicy() | RefusedByPeer():
            return EXIT_REFUSED
    return EXIT_FAILED


def _tell_version(*, is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        tell(f"mutualedge {version('mutualedge')}")
        raise typer.Exit


@app.callback()
def _whole(
    *,
    is_asked: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and end.",
            is_eager=True,
            callback=lambda is_asked: _tell_version(is_asked=is_asked),
        ),
    ] = False,
) -> None:
    """Run each other's peak-time work on each other's idle edge nodes."""


def _say(error: MutualEdgeError) -> None:
    sentence = f"mutualedge: {error.sentence} [{error.code}]"
    sys.stderr.write(f"{fitted(sentence, sys.stderr)}\n")
