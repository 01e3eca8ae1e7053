"""``mutualedge hub`` and ``mutualedge node``: one process each, from its folder."""

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(help="Folder that founding or joining made.")]


def hub(folder: Folder) -> int:
    """Serve the consortium's ledger and witness until told to stop."""
    from mutualedge.app.processes import run_hub, run_until_told

    run_until_told(run_hub, folder)
    return 0


def node(folder: Folder) -> int:
    """Serve one enterprise: its devices, its partners, its runner, until told to stop."""
    from mutualedge.app.processes import run_node, run_until_told

    run_until_told(run_node, folder)
    return 0
