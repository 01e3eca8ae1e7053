"""``mutualedge demo``: a day of three enterprises that lend to each other, on this machine."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--input", help="CSV file with readings; repeat for more devices."),
    ] = None,
    *,
    time_column: Annotated[str, typer.Option(help="Input column that says when.")] = "timestamp",
    value_column: Annotated[str, typer.Option(help="Input column that says what.")] = "value",
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave out readings that cannot be used.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of synthetic readings and of arrivals.")] = 1,
    invocations: Annotated[
        int | None, typer.Option(help="How many batches of readings are sent in all.")
    ] = None,
    load: Annotated[float, typer.Option(help="Factor on the rate at which they arrive.")] = 1.0,
    keep: Annotated[
        Path | None, typer.Option(help="Keep keys, stores and bundle in this new folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Show a day of three enterprises: lend, run, lose a node, settle, prove."""
    from mutualedge.app.demo import Wishes, run_rehearsal

    wishes = Wishes(
        inputs=tuple(inputs or ()),
        time_column=time_column,
        value_column=value_column,
        skip_invalid=skip_invalid,
        seed=seed,
        invocations=invocations,
        load=load,
        keep=keep,
        as_json=as_json,
    )
    return run_rehearsal(wishes)
