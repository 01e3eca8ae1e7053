"""A consortium is founded whole: whenever it is cut off, the same command begins again."""

from pathlib import Path

import pytest

from mutualedge.app.files import PROCESS_FILE
from mutualedge.app.founding import HUB
from mutualedge.app.operation.queries import process_folders
from mutualedge.app.plant import CANDY, LOGISTICS, found_plant, founding
from mutualedge.app.whole_founding import STAGE, found_whole, is_unfinished
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


@pytest.mark.parametrize("moves", range(5))
def test_what_is_cut_off_is_begun_again(tmp_path: Path, moves: int) -> None:
    """After any number of moves nothing counts, and a second founding is whole."""
    folder = tmp_path / "plant"
    folder.mkdir()
    total = 1 + 1 + len((CANDY, LOGISTICS))
    if moves < total:
        with pytest.raises(CutOff):
            found_whole(founding(), cut_at(moves)(folder))
        assert is_unfinished(folder)
        assert not process_folders(folder)
    found_plant(folder)
    assert {path.name for path in folder.iterdir()} == {HUB, CANDY, LOGISTICS, "trust.json"}
    assert process_folders(folder).keys() == {HUB, CANDY, LOGISTICS}


def test_what_lies_in_the_folder_stays(tmp_path: Path) -> None:
    """Neither founding nor beginning again touches what it did not write."""
    folder = tmp_path / "plant"
    (folder / STAGE).mkdir(parents=True)
    (folder / "invoices.txt").write_text("mine", "utf-8")
    with pytest.raises(UsageError) as refused:
        found_plant(folder)
    assert refused.value.code == "app.consortium.unfounded"
    assert [path.name for path in folder.iterdir()] == ["invoices.txt"]


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    """A file stands where a process's folder should be: all that was begun is taken away."""
    file = tmp_path / "plant"
    file.write_text("", "utf-8")
    with pytest.raises(UsageError):
        found_plant(file)
    assert not (tmp_path / "plant" / PROCESS_FILE).exists()
