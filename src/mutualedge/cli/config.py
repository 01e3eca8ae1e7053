"""``mutualedge config``: which settings count for a process, and choosing others."""

from pathlib import Path
from typing import Annotated

import typer

from mutualedge.app.terminal import tell
from mutualedge.cli.serve import Flags

config_app = typer.Typer(help="Settings of a process: see them, choose them.", no_args_is_help=True)


@config_app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="Folder of a hub or node process.")],
    flags: Flags = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Print every setting as it counts, and where it comes from."""
    from mutualedge.app.settings import explain_folder, explanation_text

    told = explanation_text(explain_folder(folder, flags or ()), as_json=as_json)
    tell(told, is_data=as_json)
    return 0


@config_app.command("set")
def choose(
    folder: Annotated[Path, typer.Argument(help="Folder of a hub or node process.")],
    settings: Annotated[list[str], typer.Argument(help="Each is SECTION.NAME=VALUE.")],
) -> int:
    """Write settings into the process's file; they count from its next start on."""
    from mutualedge.app.choosing import choose_settings

    for told in choose_settings(folder, settings):
        tell(f"{told} from the next start on")
    return 0
