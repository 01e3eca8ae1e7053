"""Lines fit a terminal; what is for programs stays as it is."""

import io

import pytest

from mutualedge.app.terminal import fitted, wrapped


class Screen(io.StringIO):
    """A terminal, as far as one asks."""

    def isatty(self) -> bool:
        return True


def test_lines_break_between_words_and_go_on_indented() -> None:
    """So that a reader sees, and a screen reader says, what belongs together."""
    text = "candy: the runner lacks walls\n  short\n  look at: what is longer than it may be"
    assert wrapped(text, 24).split("\n") == [
        "candy: the runner lacks",
        "  walls",
        "  short",
        "  look at: what is",
        "    longer than it may",
        "    be",
    ]


def test_a_table_that_fits_keeps_its_columns() -> None:
    """Only what is too wide is touched."""
    table = "process     state\nhub         running"
    assert wrapped(table, 40) == table


def test_an_invitation_stays_one_word() -> None:
    """A broken one could not be copied."""
    assert wrapped("x" * 200, 80) == "x" * 200


@pytest.mark.parametrize(("stream", "lines"), [(io.StringIO(), 1), (Screen(), 2)])
def test_only_a_terminal_is_fitted(
    stream: io.StringIO, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a program reads, a sentence is one line."""
    monkeypatch.setenv("COLUMNS", "60")
    assert len(fitted("word " * 20, stream).split("\n")) == lines
