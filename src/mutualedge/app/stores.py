"""Opens a process's store, and refuses one that lost what it held."""

from pathlib import Path

from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.files import STORE_FILE
from mutualedge.app.status import STATUS_FILE
from mutualedge.errors import CorruptState


def open_store(folder: Path) -> SqliteStore:
    """Return the store of a process, new only if the process never ran.

    A node that went on from nothing would sign a second log under its name, and its partners could
    prove it.

    Raises:
        UsageError: Another process writes it, or it cannot be opened.
        CorruptState: It is damaged or gone.
    """
    path = folder / STORE_FILE
    is_there = path.exists() and path.stat().st_size > 0
    if not is_there and (folder / STATUS_FILE).exists():
        sentence = (
            f"{path} is empty or gone, but this process ran before ({STATUS_FILE}); restore it "
            f"from its backup. Only one that never served anybody may begin anew: delete "
            f"{folder / STATUS_FILE}."
        )
        raise CorruptState("store.file.lost", sentence)
    return SqliteStore(path)
