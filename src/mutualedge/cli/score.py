"""``mutualedge score``: readings to a node, and what became of them."""

from pathlib import Path
from typing import Annotated

import typer


def score(
    own: Annotated[Path, typer.Argument(help="Folder of the node, which must be running.")],
    readings: Annotated[
        list[str] | None, typer.Argument(help="The numbers, oldest first; at most 120.")
    ] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option(
            help="File with just numbers instead, not a CSV file; '-' for standard input."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Name of the device that read them.")] = "terminal",
    at_once: Annotated[
        int, typer.Option(help="Ask as so many devices in the same moment, as at a peak.")
    ] = 1,
    deadline_ms: Annotated[
        int, typer.Option(help="Milliseconds within which the answer is of use.")
    ] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> int:
    """Have readings scored, here or at a partner. Exit 0 all were, 1 some were not."""
    from mutualedge.app.scoring import print_scores

    return print_scores(
        own,
        readings or (),
        file,
        device=device,
        at_once=at_once,
        deadline_ms=deadline_ms,
        as_json=as_json,
    )
