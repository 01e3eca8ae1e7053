import errno
import os
from pathlib import Path, PosixPath

import pytest

from mutualedge.app.readings import read_series
from mutualedge.connectors import READINGS_BYTES_MAX
from mutualedge.errors import UsageError

GIBIBYTE = 2**30
CONTENT = b"when;what\n10;1.5\n20;nan\n30;2.5\n"


class Refusing(PosixPath):
    """A path at which the system refuses whatever is asked, as it does not refuse root."""

    refusal: OSError

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        del follow_symlinks
        raise self.refusal


def refused(path: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read_series(path)
    return caught.value


def test_a_file_is_read(tmp_path: Path) -> None:
    """All that the parser can be told is handed on, and refusals name the path."""
    path = tmp_path / "motor.csv"
    path.write_bytes(CONTENT)
    series = read_series(path, time_column="when", value_column="what", skip_invalid=True)
    assert (series.device, series.values, series.skipped_value_count) == ("motor", (1.5, 2.5), 1)
    error = refused(path)
    assert error.code == "connectors.readings.column"
    assert error.sentence.startswith(f"{path}, line 1: ")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The most frequent mistake is a misspelt name."""
    path = tmp_path / "nowhere.csv"
    error = refused(path)
    assert error.code == "app.readings.missing"
    assert error.sentence == f"There is no file {path}; check its name and folder."


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    """A pipe that nobody writes to would keep us waiting, a folder cannot be read."""
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero")):
        error = refused(path)
        assert error.code == "app.readings.no-file"
        assert error.sentence == (
            f"{path} is not a file but a folder, pipe or device; name a CSV file."
        )


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    """A file of 50 GiB, all of it a hole, is judged by its length."""
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.truncate(50 * GIBIBYTE)
    error = refused(path)
    assert error.code == "app.readings.size"
    assert error.sentence == (
        f"{path} has 51,200 MiB, more than the 32 MiB that are read; cut it into shorter files."
    )


def test_the_largest_size_is_read(tmp_path: Path) -> None:
    """The bound itself passes, and the parser speaks."""
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(READINGS_BYTES_MAX)
    assert refused(path).code == "connectors.readings.zero-byte"


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (errno.EACCES, "app.readings.forbidden", "You may not read x.csv; ask its owner"),
        (errno.EIO, "app.readings.unreadable", "x.csv cannot be read: Input/output error"),
    ],
)
def test_what_the_system_refuses_is_told(number: int, code: str, words: str) -> None:
    """Missing rights and a broken disk reach the operator in words."""
    path = Refusing("x.csv")
    path.refusal = OSError(number, os.strerror(number))
    error = refused(path)
    assert error.code == code
    assert error.sentence.startswith(words)
