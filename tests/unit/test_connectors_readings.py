import pytest

from mutualedge.connectors import (
    READINGS_BYTES_MAX,
    READINGS_ROWS_MAX,
    Gap,
    Series,
    parse_readings,
    readings,
)
from mutualedge.errors import UsageError
from mutualedge.model import NS_PER_S, parse_instant

TWO_LINES_OF_A_TERMINAL = 2 * 80

EIGHT = parse_instant("2026-11-21T08:00:00.000Z")

PLAIN = b"timestamp,value\n"

REFUSED = {
    "empty": (b"", "readings.csv: the file is empty; its first line must be timestamp,value."),
    "header-only": (
        PLAIN,
        "readings.csv: only a first line with the names of columns; add readings below it.",
    ),
    "column": (
        b"time;temperature\n1;2\n",
        (
            "readings.csv, line 1: no column 'timestamp'. This first line names the columns "
            "'time', 'temperature'; choose one with --time-column."
        ),
    ),
    "column-twice": (
        b"timestamp,value,value\n1,2,3\n",
        (
            "readings.csv, line 1: two columns are called 'value'; rename one or choose with "
            "--value-column."
        ),
    ),
    "encoding": (
        PLAIN + b"1,2\r\n2,3 \xe9\r\n",
        "readings.csv, line 3: byte 0xE9 is not UTF-8; save the file as UTF-8.",
    ),
    "utf-16": (
        (PLAIN + b"1,2\n").decode().encode("utf-16"),
        "readings.csv: the text is UTF-16; save the file as UTF-8 (a spreadsheet's 'CSV UTF-8').",
    ),
    "zero-byte": (
        PLAIN + b"1,2\n2,\x00\n",
        "readings.csv, line 3: a zero byte, so this is not text; export the readings as CSV.",
    ),
    "ragged": (
        PLAIN + b"1,2\n2\n",
        (
            "readings.csv, line 3: 1 cell where the first line names 2 columns; give each line as "
            "many cells as the first."
        ),
    ),
    "decimal-comma": (
        b"timestamp;value\n1;12,5\n",
        "readings.csv, line 2: '12,5' has a comma; write numbers with a point only, like 1234.5.",
    ),
    "not-a-number": (
        PLAIN + b"1,No Data\n",
        (
            "readings.csv, line 2: 'No Data' is not a number; leave out such lines with "
            "--skip-invalid."
        ),
    ),
    "not-finite": (
        PLAIN + b"1,NaN\n",
        (
            "readings.csv, line 2: 'NaN' is no finite number; leave out such lines with "
            "--skip-invalid."
        ),
    ),
    "empty-cell": (
        PLAIN + b"1,2\n\n2, \n",
        (
            "readings.csv, line 4: the value is empty; fill it in, or leave out such lines with "
            "--skip-invalid."
        ),
    ),
    "timestamp": (
        PLAIN + b"21.11.2026 08:00,2\n",
        (
            "readings.csv, line 2: '21.11.2026 08:00' is no time we read; write "
            "2026-11-21T08:00:00Z, 2026-11-21 08:00:00 (taken as UTC) or seconds since 1970."
        ),
    ),
    "timestamp-unit": (
        PLAIN + b"1795248000000,2\n",
        (
            "readings.csv, line 2: '1795248000000' is beyond the year 9999 in seconds since 1970; "
            "write seconds."
        ),
    ),
    "backwards": (
        PLAIN + b"2,2\n1,2\n",
        (
            "readings.csv, line 3: '1' is before '2'; sort the file by time (was a clock set "
            "back?), or leave out such lines with --skip-invalid."
        ),
    ),
    "duplicate": (
        PLAIN + b"2,2\n2.0,3\n",
        (
            "readings.csv, line 3: a second reading at '2.0'; keep one per instant, or the "
            "first of each with --skip-invalid."
        ),
    ),
    "quote": (
        PLAIN + b'1,"2\n"\n',
        (
            "readings.csv, line 2: a quote without its partner; quote whole cells, and no line "
            "breaks in them."
        ),
    ),
    "long-line": (
        PLAIN + b"1," + b"2" * 70_000,
        "readings.csv, line 2: 70,002 characters in one line; one reading stands on each.",
    ),
    "rows": (
        PLAIN + b"1,2\n" * (READINGS_ROWS_MAX + 1),
        "readings.csv: more than 500,000 readings; cut the file into shorter ones.",
    ),
    "bytes": (
        b"1" * (READINGS_BYTES_MAX + 1),
        "readings.csv: more than 32 MiB; cut the file into shorter ones.",
    ),
}
"""What is wrong by the end of its code, a file of that kind, and what its owner reads."""


def parsed(raw: bytes, *, skip_invalid: bool = False) -> Series:
    return parse_readings(raw, source="readings.csv", skip_invalid=skip_invalid)


def refused(raw: bytes, *, skip_invalid: bool = False) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parsed(raw, skip_invalid=skip_invalid)
    return caught.value


@pytest.mark.parametrize("cause", REFUSED)
def test_a_bad_file_is_refused_in_words(cause: str) -> None:
    """Each cause has its code, and a sentence that says where, what and what to do."""
    raw, sentence = REFUSED[cause]
    error = refused(raw)
    assert (error.code, error.sentence) == (f"connectors.readings.{cause}", sentence)
    assert len(sentence) <= TWO_LINES_OF_A_TERMINAL


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_are_counted_however_they_end(end: bytes) -> None:
    """The line that is named is the one an editor shows, in bytes that are no text as well."""
    for cell, cause in ((b"\xe9", "encoding"), (b"\0", "zero-byte"), (b"x", "not-a-number")):
        error = refused(end.join([b"timestamp,value", b"1,2", b"2," + cell, b"3,4"]))
        assert error.code == f"connectors.readings.{cause}"
        assert error.sentence.startswith("readings.csv, line 3: ")


@pytest.mark.parametrize("spelling", ["nan", "NAN", "inf", "-Infinity", "1e999", "-1E400"])
def test_no_infinity_passes(spelling: str) -> None:
    """However it is written, and a number too large to be held as well."""
    assert refused(PLAIN + f"1,{spelling}\n".encode()).code == "connectors.readings.not-finite"


@pytest.mark.parametrize("spelling", ["1_000", "0x10", "١٢", "1 000", "--1", "1e", ".", "12.5C"])
def test_only_plain_decimal_numbers_pass(spelling: str) -> None:
    """Python reads more as a number than a log may mean."""
    assert refused(PLAIN + f"1,{spelling}\n".encode()).code == "connectors.readings.not-a-number"


@pytest.mark.parametrize("spelling", ["1.234,5", "1'234,5", "-0,5", "1,5e3", "1,234.5"])
def test_a_comma_in_a_number_is_never_left_out(spelling: str) -> None:
    """Leaving such lines out would leave out all of a file from another country."""
    error = refused(f"timestamp;value\n1;{spelling}\n".encode(), skip_invalid=True)
    assert error.code == "connectors.readings.decimal-comma"


def test_a_comma_in_a_number_between_commas_is_explained() -> None:
    """There the number falls into two cells; the sentence says what may have happened."""
    error = refused(PLAIN + b"1,12,5\n")
    assert error.code == "connectors.readings.ragged"
    assert "decimal point" in error.sentence


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_first_line_decides_the_separator(separator: str, end: str, mark: bytes) -> None:
    """Comma, semicolon and tab are read, whatever ends the lines, with or without BOM."""
    lines = ["note,timestamp,value", "a,1795248000,-1.5", "b,1795248000.25,2e1", ""]
    series = parsed(mark + end.join(lines).replace(",", separator).encode())
    assert series.instants_ns == (EIGHT, EIGHT + NS_PER_S // 4)
    assert series.values == (-1.5, 20.0)


def test_other_columns_may_hold_other_separators() -> None:
    """What the header says decides, not what stands often in the lines below."""
    series = parsed(b'"place, room";timestamp;value\na,b,c,d,e;1;2\n"x;y";2;3\n')
    assert series.values == (2.0, 3.0)


def test_the_separator_is_the_one_that_yields_the_columns() -> None:
    """Not the one that occurs most often in the first line."""
    series = parsed(b"x,y,z,w;timestamp;value\na,b;1;2\n")
    assert (series.instants, series.values) == (("1",), (2.0,))


def test_columns_are_chosen_by_name() -> None:
    """Any two columns of a wider file, in any order, blanks around the names aside."""
    raw = b"temperature , pressure, when\n1, 2, 10\n3, 4, 20\n"
    series = parse_readings(raw, source="x", time_column="when", value_column="pressure")
    assert (series.instants, series.values) == (("10", "20"), (2.0, 4.0))


def test_time_and_value_are_two_columns() -> None:
    """One column cannot be both, though seconds since 1970 are numbers."""
    with pytest.raises(UsageError, match=r"connectors\.readings\.same-column"):
        parse_readings(b"value\n1\n", source="x", time_column="value", value_column="value")


def test_a_file_without_names_of_columns_is_explained() -> None:
    """Its first reading is shown as what it was taken for."""
    error = refused(b"2026-11-21 08:00:00,12.5\n")
    assert error.code == "connectors.readings.column"
    assert "This first line names the columns '2026-11-21 08:00:00', '12.5'" in error.sentence


def test_what_is_repeated_of_a_file_is_short_and_harmless() -> None:
    """Nothing in a file reaches the terminal as a control character or fills it."""
    columns = ",".join(f"\x1b[2J{number:0500}" for number in range(50))
    error = refused(columns.encode() + b"\n")
    assert error.sentence.isprintable()
    assert len(error.sentence) <= 8 * TWO_LINES_OF_A_TERMINAL // 2


@pytest.mark.parametrize("quoted", [b'"1","2.5"', b'1, "2.5"', b'"1",2.5'])
def test_quoted_cells_are_read(quoted: bytes) -> None:
    """Programs that quote everything are common."""
    assert parsed(PLAIN + quoted).values == (2.5,)


def test_gaps_in_time_are_told_and_not_refused() -> None:
    """A gap is more than one and a half times the median interval: 16 s at one every 10 s."""
    series = parsed(PLAIN + b"0,1\n10,1\n20,1\n35,1\n45,1\n61,1\n")
    assert series.interval_ns == 10 * NS_PER_S
    assert series.gaps == (Gap(index=5, length_ns=16 * NS_PER_S),)


def test_of_two_intervals_the_shorter_is_the_usual_one() -> None:
    """A log that pauses after its second reading has a gap there."""
    series = parsed(PLAIN + b"0,1\n10,1\n40,1\n")
    assert series.gaps == (Gap(index=2, length_ns=30 * NS_PER_S),)


def test_a_single_reading_is_a_series() -> None:
    """It has no interval, so nothing is missing."""
    series = parsed(PLAIN + b"5,1\n")
    assert (series.interval_ns, series.gaps) == (0, ())


def test_unusable_readings_are_left_out_on_demand_and_counted() -> None:
    """No number, no later instant: both happen in real logs, and neither passes silently."""
    raw = PLAIN + b"1,1\n2,\n3,nan\n4,4\n4,5\n3,6\n5,Bad Input\n6,7\n"
    series = parsed(raw, skip_invalid=True)
    assert (series.instants, series.values) == (("1", "4", "6"), (1.0, 4.0, 7.0))
    assert (series.skipped_value_count, series.skipped_time_count) == (3, 2)


@pytest.mark.parametrize("cause", ["ragged", "timestamp", "column", "quote", "zero-byte"])
def test_other_faults_are_refused_nevertheless(cause: str) -> None:
    """What cannot be a reading at all says that the file is another one than thought."""
    error = refused(REFUSED[cause][0], skip_invalid=True)
    assert error.code == f"connectors.readings.{cause}"


def test_a_column_without_any_number_is_refused() -> None:
    """Nothing left is no series, and most likely the wrong column."""
    error = refused(PLAIN + b"1,on\n2,off\n", skip_invalid=True)
    assert error.code == "connectors.readings.all-skipped"
    assert "none of 2 lines" in error.sentence


def test_the_largest_file_is_read_to_its_end() -> None:
    """The bound itself is allowed: the refusal comes from its last line."""
    rows = b"".join(b"%d,1\n" % number for number in range(READINGS_ROWS_MAX // 100))
    assert len(parsed(PLAIN + rows).values) == READINGS_ROWS_MAX // 100
    last = PLAIN + b"\n" * (READINGS_ROWS_MAX - 1) + b"x,1\n"
    assert refused(last).code == "connectors.readings.timestamp"


def test_a_long_row_of_digits_takes_no_longer_than_it_is() -> None:
    """A cell that fills its line and is no number is looked at once."""
    cell = b"1" * (readings.LINE_CHARACTERS_MAX - 3) + b"x"
    assert refused(PLAIN + b"1," + cell).code == "connectors.readings.not-a-number"


@pytest.mark.parametrize(
    ("text", "after_s"),
    [
        ("2026-11-21T08:00:00Z", 0.0),
        ("2026-11-21t08:00:00z", 0.0),
        ("2026-11-21 08:00:00", 0.0),
        ("2026-11-21T08:00:00", 0.0),
        ("2026-11-21T09:30:00.5+01:30", 0.5),
        ("2026-11-21T03:00:00-05:00", 0.0),
        ("2026-11-21 08:00:00.000000000999", 0.0),
        ("1795248000", 0.0),
        ("1795248001.5", 1.5),
        ("-0.5", -1795248000.5),
    ],
)
def test_instants_are_read(text: str, after_s: float) -> None:
    """RFC 3339, the same without offset as UTC, and seconds since 1970."""
    series = parsed(PLAIN + f"{text},1\n".encode())
    assert series.instants_ns == (EIGHT + int(after_s * NS_PER_S),)
    assert series.instants == (text,)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30 08:00:00",
        "2026-11-21 24:00:00",
        "2026-11-21 08:00:60",
        "2026-11-21 08:00",
        "2026-11-21",
        "2026-11-21T08:00:00+24:00",
        "2026-11-21T08:00:00 Z",
        "0000-01-01 00:00:00",
        "21/11/2026 08:00:00",
        "٢٠٢٦-11-21 08:00:00",
        "1.7e9",
        "1795248000,5",
        "",
        "noon",
    ],
)
def test_no_instant_is_guessed(text: str) -> None:
    """A day that does not exist, a missing clock, another country's order: all refused."""
    error = refused(f'timestamp;value\n"{text}";1\n'.encode())
    assert error.code == "connectors.readings.timestamp"


@pytest.mark.parametrize(
    ("source", "device"),
    [
        ("/var/log/Press 4 (hall B).csv", "press-4-hall-b"),
        ("C:\\logs\\motor.2026.csv", "motor-2026"),
        ("logs.d/motor", "motor"),
        ("7.csv", "device-7"),
        ("Ä.csv", "device"),
        ("x" * 50 + ".csv", "x" * 32),
    ],
)
def test_a_device_is_named_after_its_file(source: str, device: str) -> None:
    """In the spelling that devices have everywhere else."""
    assert parse_readings(PLAIN + b"1,2\n", source=source).device == device
