"""A consortium of one, which others join: how one starts for real."""

from pathlib import Path

from mutualedge.app.founding import OFFLINE_KEY_FILE, Founding, Place
from mutualedge.app.names import parse_enterprise
from mutualedge.app.options import BorrowingSettings, LendingSettings, TimingSettings
from mutualedge.app.whole_founding import found_whole, is_unfinished
from mutualedge.errors import UsageError


def found_alone(folder: Path, enterprise: str, consortium: str, place: Place) -> str:
    """Found a consortium with one member and return what to do next.

    Raises:
        UsageError: A name or a port is none, or the folder is not empty.
    """
    name = parse_enterprise(enterprise)
    if folder.exists() and not is_unfinished(folder) and not _is_empty(folder):
        sentence = f"{folder} is no empty folder; name a new one, so that nothing is overwritten."
        raise UsageError("membership.folder.used", sentence)
    founding = Founding(
        consortium=parse_enterprise(consortium),
        timing=TimingSettings(),
        lending=LendingSettings(),
        borrowers={name: BorrowingSettings()},
        members=(name,),
        place=place,
        are_ports_fixed=True,
    )
    found_whole(founding, folder)
    return (
        f"Founded '{consortium}' with its first member '{name}'. Start it:\n"
        f"  mutualedge up {folder}\n"
        f"Then invite others:\n"
        f"  mutualedge invite {folder / name} NAME\n"
        f"Then keep {folder / name / OFFLINE_KEY_FILE} offline, except to approve, renew or leave."
    )


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
