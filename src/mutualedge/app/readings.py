"""Reading a file of readings: what can go wrong before its first byte is looked at."""

import stat
from pathlib import Path

from mutualedge.connectors import (
    READINGS_BYTES_MAX,
    TIME_COLUMN,
    VALUE_COLUMN,
    Series,
    parse_readings,
)
from mutualedge.errors import UsageError


def read_series(
    path: Path,
    *,
    time_column: str = TIME_COLUMN,
    value_column: str = VALUE_COLUMN,
    skip_invalid: bool = False,
) -> Series:
    """Return the readings of a CSV file; arguments as of ``connectors.parse_readings``.

    A file that is too large is refused before it is read.

    Raises:
        UsageError: There is no such file, it cannot be read (``app.readings``), or it does not
            hold what it should (``connectors.readings``).
    """
    return parse_readings(
        _content(path),
        source=str(path),
        time_column=time_column,
        value_column=value_column,
        skip_invalid=skip_invalid,
    )


def _content(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            sentence = f"{path} is not a file but a folder, pipe or device; name a CSV file."
            raise UsageError("app.readings.no-file", sentence)
        if status.st_size > READINGS_BYTES_MAX:
            raise _too_large(path, status.st_size)
        with path.open("rb") as file:
            # One byte more tells the parser that the file grew beyond the bound meanwhile.
            return file.read(READINGS_BYTES_MAX + 1)
    except FileNotFoundError as error:
        sentence = f"There is no file {path}; check its name and folder."
        raise UsageError("app.readings.missing", sentence) from error
    except PermissionError as error:
        sentence = f"You may not read {path}; ask its owner, or copy it to where you may."
        raise UsageError("app.readings.forbidden", sentence) from error
    except OSError as error:
        sentence = f"{path} cannot be read: {error.strerror}."
        raise UsageError("app.readings.unreadable", sentence) from error


def _too_large(path: Path, size_bytes: int) -> UsageError:
    sentence = (
        f"{path} has {size_bytes / 2**20:,.0f} MiB, more than the {READINGS_BYTES_MAX >> 20} MiB "
        "that are read; cut it into shorter files."
    )
    return UsageError("app.readings.size", sentence)
