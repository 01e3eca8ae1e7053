"""``mutualedge audit``: export what happened, and prove it offline."""

from pathlib import Path
from typing import Annotated

import typer

from mutualedge.app.terminal import tell

audit_app = typer.Typer(help="Export what happened, and prove it offline.", no_args_is_help=True)


@audit_app.command()
def export(
    bundle: Annotated[Path, typer.Argument(help="File to write.")],
    folder: Annotated[list[Path], typer.Option("--from", help="Node folder; repeat for each.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Write one bundle from the stores of the enterprises that contribute."""
    from mutualedge.app.auditing import export_bundle, export_text

    size_bytes = export_bundle(folder, bundle)
    tell(export_text(bundle, size_bytes, as_json=as_json), is_data=as_json)
    return 0


@audit_app.command()
def merge(
    bundle: Annotated[Path, typer.Argument(help="File to write.")],
    parts: Annotated[list[Path], typer.Argument(help="Files made by 'audit export'.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Write one bundle from those that several enterprises exported, each at home."""
    from mutualedge.app.auditing import export_text, merge_bundles

    size_bytes = merge_bundles(parts, bundle)
    tell(export_text(bundle, size_bytes, as_json=as_json), is_data=as_json)
    return 0


@audit_app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="File made by 'audit export'.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Re-check every credit. Exit 0 proved, 1 violation, 2 evidence missing."""
    from mutualedge.app.auditing import report_text, verify_file

    report = verify_file(bundle)
    tell(report_text(report, as_json=as_json), is_data=as_json)
    return report.exit_code
