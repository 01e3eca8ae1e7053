"""``mutualedge config``: which settings count for a process, and why."""

from pathlib import Path
from typing import Annotated

import typer

from mutualedge.cli.serve import Flags

config_app = typer.Typer(help="Which settings count for a process.", no_args_is_help=True)


@config_app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="Folder of a hub or node process.")],
    flags: Flags = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Print every setting as it counts, and where it comes from."""
    from mutualedge.app.settings import explain_folder, explanation_text

    typer.echo(explanation_text(explain_folder(folder, flags or ()), as_json=as_json))
    return 0
