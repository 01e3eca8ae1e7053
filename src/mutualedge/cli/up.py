"""``mutualedge up``: a site's processes, kept running; without any, a local consortium."""

from pathlib import Path
from typing import Annotated

import typer


def up(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of the consortium; your own local one if left out."),
    ] = None,
    *,
    new: Annotated[
        bool, typer.Option("--new", help="Found a local consortium in FOLDER, which is empty.")
    ] = False,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Supervise here until told to stop (systemd).")
    ] = False,
) -> int:
    """Keep a site's processes running. Exit 0 all answer, 3 something does not."""
    from mutualedge.app.operation.switch import bring_up

    return bring_up(folder, new=new, foreground=foreground)
