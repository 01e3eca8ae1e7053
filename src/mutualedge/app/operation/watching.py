"""Prints the status of a consortium, once or again and again."""

import sys
import time
from pathlib import Path

from mutualedge.app.operation.queries import gather, view_json
from mutualedge.app.operation.status_text import status_facts, status_table
from mutualedge.app.settings import default_folder
from mutualedge.app.terminal import tell

EXIT_WELL, EXIT_NOT_WELL = 0, 3

WATCH_EVERY_S = 2.0
_CLEAR = "\x1b[H\x1b[2J"


def print_status(folder: Path | None, *, watch: bool, as_json: bool, plain: bool) -> int:
    """Print how the processes of a folder are and return 0 if all run, 3 if not.

    Args:
        folder: The consortium's; the user's own local one if not named.
        watch: Print again every two seconds until Ctrl-C.
        as_json: Print everything that is known, as one JSON object.
        plain: One fact per line; so also when the output is no terminal.

    Raises:
        UsageError: There is no consortium in the folder.
    """
    where = (folder or default_folder()).absolute()
    is_plain = plain or not sys.stdout.isatty()
    while True:
        text, status = _status(where, as_json=as_json, is_plain=is_plain)
        tell(f"{_CLEAR if watch and not (as_json or is_plain) else ''}{text}", is_data=as_json)
        if not watch:
            return status
        try:
            time.sleep(WATCH_EVERY_S)
        except KeyboardInterrupt:
            return status


def _status(folder: Path, *, as_json: bool, is_plain: bool) -> tuple[str, int]:
    now_ns = time.time_ns()
    view = gather(folder, now_ns)
    status = EXIT_WELL if view.is_well else EXIT_NOT_WELL
    if as_json:
        return view_json(view).decode(), status
    return (status_facts if is_plain else status_table)(view, now_ns), status
