"""``mutualedge logs``: what the processes noted, in one order of time."""

from pathlib import Path
from typing import Annotated

import typer


def logs(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of the consortium; your own local one if left out."),
    ] = None,
    *,
    of: Annotated[list[str] | None, typer.Option(help="Only this process; repeatable.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C.")] = False,
    since: Annotated[str | None, typer.Option(help="An instant, or 90s, 10m, 2h, 1d ago.")] = None,
    until: Annotated[
        str | None, typer.Option(help="Go on until an event of this name; at most 60 s.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object per event.")] = False,
) -> int:
    """Print what all processes noted, oldest first."""
    from mutualedge.app.operation.logs import print_logs

    return print_logs(folder, of=of or [], follow=follow, since=since, until=until, as_json=as_json)
