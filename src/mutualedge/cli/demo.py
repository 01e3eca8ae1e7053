"""``mutualedge demo``: the whole loop between two enterprises, on this machine."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    keep: Annotated[
        Path | None, typer.Option(help="Keep keys, stores and bundle in this new folder.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Found a consortium, borrow, execute, settle and prove; ends by itself in half a minute."""
    from mutualedge.app.demo import run_rehearsal

    return run_rehearsal(keep, as_json=as_json)
