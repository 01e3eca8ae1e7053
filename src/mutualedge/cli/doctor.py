"""``mutualedge doctor``: whether machine and consortium are as they should be."""

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of the consortium; your own local one if left out."),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> int:
    """Examine machine and consortium. Exit 0 sound or with warnings, 1 a problem."""
    from mutualedge.app.doctor import run_doctor

    return run_doctor(folder, as_json=as_json)
