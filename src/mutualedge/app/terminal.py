"""Text for whoever reads it: lines that fit a terminal, untouched where a program reads."""

import shutil
import sys
import textwrap
from typing import TextIO

COLUMNS_MIN = 40
"""Narrower than this, lines are cut by the terminal itself."""

INDENT = "  "


def tell(text: str, *, is_data: bool = False) -> None:
    """Print text on the standard output, where it is read at once.

    Args:
        text: One or more lines, without the last line's end.
        is_data: It is for programs: leave it as it is, whoever reads it.
    """
    sys.stdout.write(f"{text if is_data else fitted(text, sys.stdout)}\n")
    sys.stdout.flush()


def fitted(text: str, stream: TextIO) -> str:
    """Return text for a stream: in a terminal no line is wider than that, if words allow it.

    Elsewhere each sentence keeps its one line, for ``grep`` and for programs.
    """
    if not stream.isatty():
        return text
    return wrapped(text, max(COLUMNS_MIN, shutil.get_terminal_size().columns))


def wrapped(text: str, columns: int) -> str:
    """Return text with its longer lines broken between words, what follows indented further."""
    return "\n".join(map("\n".join, (_wrapped(line, columns) for line in text.split("\n"))))


def _wrapped(line: str, columns: int) -> list[str]:
    if len(line) <= columns:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line.lstrip(),
        columns,
        initial_indent=indent,
        subsequent_indent=indent + INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
