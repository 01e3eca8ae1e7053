"""A machine's log as CSV: strict, and every refusal says where, what and what to do.

The first line names the columns, and it alone decides the separator: comma, semicolon or tab,
whichever makes both wanted columns stand in it. Numbers have a decimal point. One reading stands
on one line; empty lines are passed over. Text is UTF-8, with or without byte order mark.
"""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mutualedge.connectors.series import Series, device_named_after, gaps_of, usual_interval_ns
from mutualedge.connectors.timestamps import is_finer_than_seconds, timestamp_ns
from mutualedge.errors import UsageError

TIME_COLUMN = "timestamp"
VALUE_COLUMN = "value"

READINGS_ROWS_MAX = 500_000
"""Nearly six days at one a second, nearly five years at one every five minutes; parsed in
seconds and held in some 100 MB."""

READINGS_BYTES_MAX = 32 * 1024 * 1024
"""What that many lines of 64 bytes take, the longest that a timestamp and a few columns need."""

LINE_CHARACTERS_MAX = 65_536
"""Half of what the csv module takes as one cell; a line beyond it is no reading."""

SEPARATORS = ",;\t"
SHOWN_CHARACTERS_MAX = 32
SHOWN_COLUMNS_MAX = 8
"""What a refusal repeats of a file that may hold anything."""

_BOM = b"\xef\xbb\xbf"
_UTF16_STARTS = (b"\xff\xfe", b"\xfe\xff")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WITH_COMMA = re.compile(r"[+-]?[0-9.' ]*,[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)

Line = tuple[int, str]
"""Its number in the file, from 1, and its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """What the header said."""

    source: str
    separator: str
    columns: tuple[str, ...]
    time_index: int
    value_index: int


@dataclass(slots=True, kw_only=True)
class _Readings:
    """What was read so far."""

    instants: list[str] = field(default_factory=list)
    instants_ns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    skipped_value_count: int = 0
    skipped_time_count: int = 0


def parse_readings(
    raw: bytes,
    *,
    source: str,
    time_column: str = TIME_COLUMN,
    value_column: str = VALUE_COLUMN,
    skip_invalid: bool = False,
) -> Series:
    """Return the readings of a CSV file, which must be in the order of time.

    Args:
        raw: The file's bytes.
        source: What to call it in a refusal, such as its path; the device is named after it.
        time_column: Whose cells say when.
        value_column: Whose cells say what.
        skip_invalid: Leave out, and count, readings without a number and readings that are not
            later than the one before. Everything else is refused nevertheless.

    Raises:
        UsageError: The bytes are not such a file; the code begins with ``connectors.readings``.
    """
    lines = _lines(_text(raw, source), source)
    layout = _layout(lines, source, time_column, value_column)
    read = _Readings()
    for line in lines:
        _take(line, layout, read, skip_invalid=skip_invalid)
    if not read.values:
        raise _without_readings(source, read)
    interval_ns = usual_interval_ns(read.instants_ns)
    return Series(
        device=device_named_after(source),
        instants=tuple(read.instants),
        instants_ns=tuple(read.instants_ns),
        values=tuple(read.values),
        interval_ns=interval_ns,
        gaps=gaps_of(read.instants_ns, interval_ns),
        skipped_value_count=read.skipped_value_count,
        skipped_time_count=read.skipped_time_count,
    )


def refusal(code: str, sentence: str, source: str, line: int | None = None) -> UsageError:
    """Return the error that says where in a file something stands and what to do about it."""
    place = source if line is None else f"{source}, line {line}"
    return UsageError(code, f"{place}: {sentence}")


def _text(raw: bytes, source: str) -> str:
    """Return the file's text, its lines ended by one character."""
    if len(raw) > READINGS_BYTES_MAX:
        sentence = f"more than {READINGS_BYTES_MAX >> 20} MiB; cut the file into shorter ones."
        raise refusal("connectors.readings.bytes", sentence, source)
    if raw.startswith(_UTF16_STARTS) or (len(raw) > 1 and (raw[0] == 0) != (raw[1] == 0)):
        sentence = "the text is UTF-16; save the file as UTF-8 (a spreadsheet's 'CSV UTF-8')."
        raise refusal("connectors.readings.utf-16", sentence, source)
    if (place := raw.find(b"\0")) >= 0:
        sentence = "a zero byte, so this is not text; export the readings as CSV."
        raise refusal("connectors.readings.zero-byte", sentence, source, _line_of(raw, place))
    try:
        text = raw.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        sentence = f"byte 0x{byte:02X} is not UTF-8; save the file as UTF-8."
        line = _line_of(error.object, error.start)
        raise refusal("connectors.readings.encoding", sentence, source, line) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _line_of(raw: bytes, place: int) -> int:
    before = raw[:place].replace(b"\r\n", b"\n")
    return 1 + before.count(b"\n") + before.count(b"\r")


def _lines(text: str, source: str) -> Iterator[Line]:
    """Return an iterator over the lines that are not empty."""
    if text.rstrip("\n").count("\n") > READINGS_ROWS_MAX:
        sentence = f"more than {READINGS_ROWS_MAX:,} readings; cut the file into shorter ones."
        raise refusal("connectors.readings.rows", sentence, source)
    return (
        (number, line) for number, line in enumerate(text.split("\n"), 1) if line and line.strip()
    )


def _layout(lines: Iterator[Line], source: str, time_column: str, value_column: str) -> _Layout:
    """Return what the first line says about those to come."""
    number, line = next(lines, (0, ""))
    if not number:
        sentence = f"the file is empty; its first line must be {time_column},{value_column}."
        raise refusal("connectors.readings.empty", sentence, source)
    wanted = {time_column, value_column}
    if len(wanted) == 1:
        sentence = f"time and value cannot both be column {_shown(time_column)}; name two columns."
        raise refusal("connectors.readings.same-column", sentence, source)
    separator, columns = max(
        _headers(line, source, number), key=lambda each: (wanted <= {*each[1]}, len(each[1]))
    )
    return _Layout(
        source=source,
        separator=separator,
        columns=columns,
        time_index=_index_of(time_column, "--time-column", columns, source, number),
        value_index=_index_of(value_column, "--value-column", columns, source, number),
    )


def _headers(line: str, source: str, number: int) -> list[tuple[str, tuple[str, ...]]]:
    """Return each separator under which the first line can be read, with the columns it gives."""
    found: list[tuple[str, tuple[str, ...]]] = []
    refused: UsageError | None = None
    for separator in SEPARATORS:
        try:
            cells = _cells(line, separator, source, number)
        except UsageError as error:  # what is quoted for one separator is not for the others
            refused = error
        else:
            found.append((separator, tuple(map(str.strip, cells))))
    if refused is not None and not found:
        raise refused
    return found


def _index_of(name: str, option: str, columns: Sequence[str], source: str, line: int) -> int:
    if columns.count(name) > 1:
        sentence = f"two columns are called {_shown(name)}; rename one or choose with {option}."
        raise refusal("connectors.readings.column-twice", sentence, source, line)
    if name not in columns:
        there = ", ".join(map(_shown, columns[:SHOWN_COLUMNS_MAX]))
        more = ", ..." if len(columns) > SHOWN_COLUMNS_MAX else ""
        sentence = (
            f"no column {_shown(name)}. This first line names the columns {there}{more}; "
            f"choose one with {option}."
        )
        raise refusal("connectors.readings.column", sentence, source, line)
    return columns.index(name)


def _cells(line: str, separator: str, source: str, number: int) -> list[str]:
    """Return the cells of one line, which is read alone: no cell reaches into the next one."""
    if len(line) > LINE_CHARACTERS_MAX:
        sentence = f"{len(line):,} characters in one line; one reading stands on each."
        raise refusal("connectors.readings.long-line", sentence, source, number)
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error as error:
        sentence = "a quote without its partner; quote whole cells, and no line breaks in them."
        raise refusal("connectors.readings.quote", sentence, source, number) from error


def _take(line: Line, layout: _Layout, read: _Readings, *, skip_invalid: bool) -> None:
    """Read one line."""
    number, text = line
    cells = _cells(text, layout.separator, layout.source, number)
    if len(cells) != len(layout.columns):
        raise _ragged(cells, layout, number)
    instant = cells[layout.time_index].strip()
    instant_ns = _instant_ns(instant, layout.source, number)
    if read.instants_ns and instant_ns <= read.instants_ns[-1]:
        if not skip_invalid:
            raise _not_later(instant, instant_ns, read, layout.source, number)
        read.skipped_time_count += 1
        return
    value = _finite(cells[layout.value_index].strip())
    if value is None:
        refused = _no_value(cells[layout.value_index].strip(), layout.source, number)
        if not skip_invalid or refused.code == "connectors.readings.decimal-comma":
            raise refused
        read.skipped_value_count += 1
        return
    read.instants.append(instant)
    read.instants_ns.append(instant_ns)
    read.values.append(value)


def _instant_ns(text: str, source: str, line: int) -> int:
    instant_ns = timestamp_ns(text)
    if instant_ns is not None:
        return instant_ns
    if is_finer_than_seconds(text):
        sentence = f"{_shown(text)} is beyond the year 9999 in seconds since 1970; write seconds."
        raise refusal("connectors.readings.timestamp-unit", sentence, source, line)
    sentence = (
        f"{_shown(text)} is no time we read; write 2026-11-21T08:00:00Z, "
        "2026-11-21 08:00:00 (taken as UTC) or seconds since 1970."
    )
    raise refusal("connectors.readings.timestamp", sentence, source, line)


def _finite(text: str) -> float | None:
    """Return the number a cell holds, or nothing if it holds none that can be worked with."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _no_value(text: str, source: str, line: int) -> UsageError:
    """Return why a cell holds no number that can be worked with."""
    if not text:
        sentence = "the value is empty; fill it in, or leave out such lines with --skip-invalid."
        return refusal("connectors.readings.empty-cell", sentence, source, line)
    if _WITH_COMMA.fullmatch(text):
        sentence = f"{_shown(text)} has a comma; write numbers with a point only, like 1234.5."
        return refusal("connectors.readings.decimal-comma", sentence, source, line)
    if _NOT_FINITE.fullmatch(text) or _NUMBER.fullmatch(text):
        sentence = f"{_shown(text)} is no finite number; leave out such lines with --skip-invalid."
        return refusal("connectors.readings.not-finite", sentence, source, line)
    sentence = f"{_shown(text)} is not a number; leave out such lines with --skip-invalid."
    return refusal("connectors.readings.not-a-number", sentence, source, line)


def _ragged(cells: Sequence[str], layout: _Layout, line: int) -> UsageError:
    found, wanted = len(cells), len(layout.columns)
    cells_word = "cell" if found == 1 else "cells"
    hint = "give each line as many cells as the first."
    if found > wanted and layout.separator == ",":
        hint = "write numbers with a decimal point, and quote text that has a comma."
    sentence = f"{found} {cells_word} where the first line names {wanted} columns; {hint}"
    return refusal("connectors.readings.ragged", sentence, layout.source, line)


def _not_later(
    instant: str, instant_ns: int, read: _Readings, source: str, line: int
) -> UsageError:
    if instant_ns == read.instants_ns[-1]:
        sentence = (
            f"a second reading at {_shown(instant)}; keep one per instant, "
            "or the first of each with --skip-invalid."
        )
        return refusal("connectors.readings.duplicate", sentence, source, line)
    sentence = (
        f"{_shown(instant)} is before {_shown(read.instants[-1])}; sort the file by time "
        "(was a clock set back?), or leave out such lines with --skip-invalid."
    )
    return refusal("connectors.readings.backwards", sentence, source, line)


def _without_readings(source: str, read: _Readings) -> UsageError:
    if read.skipped_value_count:
        sentence = f"none of {read.skipped_value_count:,} lines holds a number; is it this column?"
        return refusal("connectors.readings.all-skipped", sentence, source)
    sentence = "only a first line with the names of columns; add readings below it."
    return refusal("connectors.readings.header-only", sentence, source)


def _shown(text: str) -> str:
    """Return a text of somebody else so that it can stand in a sentence and on a terminal."""
    cut = text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}..."
    return repr(cut)
