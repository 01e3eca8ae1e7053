"""A file that only grows at its end, and is put aside before it grows too large."""

from pathlib import Path
from types import TracebackType
from typing import IO, Self

from mutualedge.app.files import SECRET_MODE


class RotatingFile:
    """The newest lines stand under the path itself, older ones under ``.1``, ``.2`` and so on.

    Together at most ``keep + 1`` files of about ``bytes_max``; the oldest goes first.
    """

    def __init__(self, path: Path, *, bytes_max: int, keep: int) -> None:
        """Open the file, after what earlier processes wrote."""
        self._path = path
        self._bytes_max = bytes_max
        self._keep = keep
        self._file = self._open()

    def _open(self) -> IO[bytes]:
        self._path.touch(mode=SECRET_MODE)
        return self._path.open("ab", buffering=0)

    def write(self, lines: bytes) -> None:
        """Add whole lines; they stay together in one file.

        Raises:
            OSError: The disk is full or gone.
        """
        if self._file.tell() and self._file.tell() + len(lines) > self._bytes_max:
            self._rotate()
        self._file.write(lines)

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._keep, 0, -1):
            older = _numbered(self._path, number - 1)
            if older.exists():
                older.replace(_numbered(self._path, number))
        self._file = self._open()

    def __enter__(self) -> Self:
        """Return itself, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()


def _numbered(path: Path, number: int) -> Path:
    return path if not number else path.with_name(f"{path.name}.{number}")


def rotated_files(path: Path) -> list[Path]:
    """Return the files that exist under this path and its numbers, oldest first."""
    older: list[Path] = []
    while (put_aside := _numbered(path, len(older) + 1)).exists():
        older.append(put_aside)
    return [*reversed(older), *([path] if path.exists() else [])]
