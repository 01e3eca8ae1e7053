"""``mutualedge status``: how the processes of a local consortium are."""

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[
    Path | None, typer.Argument(help="Folder of the consortium; your own local one if left out.")
]


def status(
    folder: Folder = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Print again every two seconds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Print one fact per line.")] = False,
) -> int:
    """Say how each process is. Exit 0 all run, 3 something does not or is silent."""
    from mutualedge.app.operation.watching import print_status

    return print_status(folder, watch=watch, as_json=as_json, plain=plain)
