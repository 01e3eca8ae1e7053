"""A consortium is founded whole: whenever it is cut off, the same command begins again."""

from pathlib import Path

import pytest

from mutualedge.app.files import read_any_process_file
from mutualedge.app.founding import HUB, TRUST_FILE
from mutualedge.app.operation.queries import process_folders
from mutualedge.app.plant import CANDY, LOGISTICS, found_plant, founding
from mutualedge.app.whole_founding import DONE, STAGE, found_whole, is_unfinished
from mutualedge.errors import UsageError


class CutOff(BaseException):  # nothing in between may catch it, as nothing catches a kill
    """The process was killed here."""


def cut_at(count: int) -> type[Path]:
    """Return a kind of path whose so manieth change of the disk never happens."""
    left = [count]

    class Cut(type(Path())):  # type: ignore[misc]
        """A path that counts."""

        def replace(self, target: object) -> Path:
            left[0] -= 1
            if left[0] < 0:
                raise CutOff
            return Path(super().replace(target))

    return Cut


PROCESSES = (CANDY, HUB, LOGISTICS)
CHILDREN = {*PROCESSES, TRUST_FILE}
WRITTEN = 2 * len(PROCESSES) + len(PROCESSES) - 1
"""Moves before the first child has its place: each process's file and settings, and the enterprise
keys, which the hub has none of, are written beside their places."""


@pytest.mark.parametrize("moves", range(WRITTEN + len(CHILDREN) + 1))
def test_what_is_cut_off_is_begun_again(tmp_path: Path, moves: int) -> None:
    """After any number of moves nothing counts, and a second founding is whole."""
    folder = tmp_path / "plant"
    folder.mkdir()
    with pytest.raises(CutOff):
        found_whole(founding(), cut_at(moves)(folder))
    moved = {path.name for path in folder.iterdir()} - {STAGE}
    assert len(moved) == max(0, moves - WRITTEN)
    assert is_unfinished(folder)
    assert not process_folders(folder)
    found_plant(folder)
    assert {path.name for path in folder.iterdir()} == CHILDREN
    assert process_folders(folder).keys() == {*PROCESSES}
    told = {read_any_process_file(folder / name).trust.payload_digest for name in PROCESSES}
    assert len(told) == 1, "files of two foundings"


def test_what_is_left_of_a_whole_founding_means_nothing(tmp_path: Path) -> None:
    """Cut off after its last move it is founded; what remains beside it stops nobody."""
    folder = tmp_path / "plant"
    found_plant(folder)
    (folder / DONE).mkdir()
    assert process_folders(folder).keys() == {*PROCESSES}


def test_what_lies_in_the_folder_stays(tmp_path: Path) -> None:
    """Neither founding nor beginning again touches what it did not write."""
    folder = tmp_path / "plant"
    (folder / STAGE).mkdir(parents=True)
    (folder / "invoices.txt").write_text("mine", "utf-8")
    with pytest.raises(UsageError) as refused:
        found_plant(folder)
    assert refused.value.code == "app.consortium.unfounded"
    assert [path.name for path in folder.iterdir()] == ["invoices.txt"]


def test_a_file_in_the_place_of_a_folder_stays(tmp_path: Path) -> None:
    """It is refused in the same words, and is what it was."""
    file = tmp_path / "plant"
    file.write_text("mine", "utf-8")
    with pytest.raises(UsageError) as refused:
        found_plant(file)
    assert refused.value.code == "app.consortium.unfounded"
    assert file.read_text("utf-8") == "mine"
