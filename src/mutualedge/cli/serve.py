"""``mutualedge hub`` and ``mutualedge node``: one process each, from its folder."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(help="Folder that founding or joining made.")]
Flags = Annotated[
    list[str] | None,
    typer.Option("--set", help="Choose SECTION.NAME=VALUE for this start only; repeat for more."),
]


def hub(folder: Folder, flags: Flags = None) -> int:
    """Serve the consortium's ledger and witness until told to stop."""
    from mutualedge.app.hub_process import run_hub
    from mutualedge.app.processes import run_until_told

    run_until_told(partial(run_hub, folder, flags or ()))
    return 0


def node(folder: Folder, flags: Flags = None) -> int:
    """Serve one enterprise's devices and partners until told to stop."""
    from mutualedge.app.node_process import run_node
    from mutualedge.app.processes import run_until_told

    run_until_told(partial(run_node, folder, flags or ()))
    return 0
