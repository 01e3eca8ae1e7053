"""``mutualedge down``: end what ``up`` started; state stays."""

from pathlib import Path
from typing import Annotated

import typer


def down(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of the consortium; your own local one if left out."),
    ] = None,
) -> int:
    """Stop every process in order and wait until none runs."""
    from mutualedge.app.operation.switch import bring_down

    return bring_down(folder)
