"""Laws of readings: what was written is read, whatever bytes come, and labels tell the truth."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutualedge.connectors import Series, parse_readings, synthetic_signal
from mutualedge.errors import UsageError
from mutualedge.model import NS_PER_S, format_instant

PLAIN = b"timestamp,value\n"

EARLIEST_NS = -62_135_596_800 * NS_PER_S
"""The year 1."""

values = st.floats(allow_nan=False, allow_infinity=False)
steps_ns = st.integers(1, 400 * 86_400 * NS_PER_S)
starts_ns = st.integers(EARLIEST_NS, 4_000_000_000 * NS_PER_S)


@st.composite
def readings(draw: st.DrawFn) -> list[tuple[int, float]]:
    """Return up to thirty readings in the order of time."""
    read = draw(st.lists(values, min_size=1, max_size=30))
    steps = draw(st.lists(steps_ns, min_size=len(read) - 1, max_size=len(read) - 1))
    return list(zip(accumulate(steps, initial=draw(starts_ns)), read, strict=True))


def calendar(instant_ns: int, mark: str, offset_minutes: int | None) -> str:
    """Write an instant as RFC 3339 says, or without offset."""
    shifted_ns = instant_ns + 60 * NS_PER_S * (offset_minutes or 0)
    text = format_instant(shifted_ns)
    fraction = f"{instant_ns % NS_PER_S:09d}".rstrip("0")
    clock = text[:10] + mark + text[11:19] + (f".{fraction}" if fraction else "")
    if offset_minutes is None:
        return clock
    hours, minutes = divmod(abs(offset_minutes), 60)
    return f"{clock}{'-' if offset_minutes < 0 else '+'}{hours:02d}:{minutes:02d}"


def seconds(instant_ns: int) -> str:
    """Write an instant as seconds since 1970."""
    whole, fraction = divmod(abs(instant_ns), NS_PER_S)
    return f"{'-' if instant_ns < 0 else ''}{whole}.{fraction:09d}"


def lines_of(
    read: list[tuple[int, float]], *, spelling: str, offset_minutes: int | None
) -> list[tuple[str, str]]:
    """Write readings as a logger might."""
    instants = [
        seconds(instant_ns) if spelling == "s" else calendar(instant_ns, spelling, offset_minutes)
        for instant_ns, _ in read
    ]
    return [(instant, repr(value)) for instant, (_, value) in zip(instants, read, strict=True)]


@given(
    read=readings(),
    spelling=st.sampled_from(["s", "T", " "]),
    # The year 1 has no day before it that an offset could lead to.
    offset_minutes=st.none() | st.integers(0, 23 * 60 + 59),
    separator=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quote=st.sampled_from(["", '"']),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_what_was_written_is_read(
    *,
    read: list[tuple[int, float]],
    spelling: str,
    offset_minutes: int | None,
    separator: str,
    end: str,
    quote: str,
    mark: str,
) -> None:
    """Instants to the nanosecond and values to the bit, however the file spells them."""
    rows = lines_of(read, spelling=spelling, offset_minutes=offset_minutes)
    cells = [("timestamp", "value"), *rows]
    written = end.join(separator.join(f"{quote}{cell}{quote}" for cell in row) for row in cells)
    series = parse_readings((mark + written).encode(), source="x.csv")
    assert series.instants == tuple(instant for instant, _ in rows)
    assert list(zip(series.instants_ns, series.values, strict=True)) == read


@given(read=readings())
def test_gaps_are_the_long_intervals(read: list[tuple[int, float]]) -> None:
    """At least half of the intervals are none, and each gap is longer than every other one."""
    rows = lines_of(read, spelling="s", offset_minutes=None)
    raw = PLAIN + "\n".join(map(",".join, rows)).encode()
    series = parse_readings(raw, source="x")
    lengths = [later - earlier for earlier, later in pairwise(series.instants_ns)]
    told = [gap.length_ns for gap in series.gaps]
    assert told == [length for length in lengths if length > 1.5 * series.interval_ns]
    assert not lengths or 2 * len(told) <= len(lengths)


UNUSABLE = ("", "NaN", "-inf", "No Data", "1e999", "12 C")


@given(
    read=readings(),
    faults=st.lists(st.tuples(st.integers(0, 29), st.sampled_from(UNUSABLE)), max_size=10),
    repeats=st.lists(st.integers(0, 29), max_size=5),
)
def test_what_is_left_out_is_counted(
    read: list[tuple[int, float]], faults: list[tuple[int, str]], repeats: list[int]
) -> None:
    """Among lines without number and repeated lines, all others are read, in full."""
    rows = lines_of(read, spelling="s", offset_minutes=None)
    written: list[tuple[str, str]] = []
    for index, row in enumerate(rows):
        # A fault stands before its reading, an instant earlier; a repeat after it.
        earlier = seconds(read[index][0] - 1)
        written += [(earlier, text) for place, text in faults if place == index]
        written += [row] * (1 + repeats.count(index))
    raw = PLAIN + "\n".join(map(",".join, written)).encode()
    series = parse_readings(raw, source="x", skip_invalid=True)
    assert list(zip(series.instants_ns, series.values, strict=True)) == read
    left_out = series.skipped_value_count + series.skipped_time_count
    assert left_out == len(written) - len(rows)


def outcome(raw: bytes, *, skip_invalid: bool) -> Series | UsageError:
    try:
        return parse_readings(raw, source="x", skip_invalid=skip_invalid)
    except UsageError as error:
        return error


BITS = st.sampled_from(
    b'timestamp|value|,|;|\t|\n|\r|"|1|2.5|nan|-|e|2026-11-21 08:00:00|T|Z|+01:00|\xef\xbb\xbf|'
    b"\xff|\0| |\\".split(b"|")
)


@given(
    raw=st.binary(max_size=200) | st.lists(BITS, max_size=30).map(b"".join),
    start=st.sampled_from([b"", PLAIN, b"value;timestamp\n"]),
    skip_invalid=st.booleans(),
)
def test_any_bytes_are_read_or_refused(raw: bytes, start: bytes, skip_invalid: bool) -> None:
    """Nothing but a refusal with our code and a sentence of plain characters comes of bytes."""
    found = outcome(start + raw, skip_invalid=skip_invalid)
    if isinstance(found, UsageError):
        assert found.code.startswith("connectors.readings.")
        assert found.sentence.isprintable()
    else:
        assert found.skipped_value_count == found.skipped_time_count == 0 or skip_invalid


@given(
    seed=st.integers(),
    quantity=st.sampled_from(["temperature", "vibration"]),
    faults_per_kind=st.integers(0, 3),
    spare_count=st.integers(0, 4_000),
)
def test_a_signal_is_sound_outside_its_faults(
    seed: int, quantity: str, faults_per_kind: int, spare_count: int
) -> None:
    """Labels hide nothing: elsewhere the readings are those of the machine without faults."""
    count = 128 * (1 + 4 * faults_per_kind) + spare_count
    faulty = synthetic_signal(
        seed=seed,
        quantity="vibration" if quantity == "vibration" else "temperature",
        readings_count=count,
        faults_per_kind=faults_per_kind,
    )
    sound = synthetic_signal(
        seed=seed, quantity=faulty.quantity, readings_count=count, faults_per_kind=0
    )
    labelled = {
        index for fault in faulty.faults for index in range(fault.start_index, fault.end_index)
    }
    changed = [
        index
        for index, (one, other) in enumerate(
            zip(faulty.series.values, sound.series.values, strict=True)
        )
        if one != other
    ]
    assert len(labelled) == sum(each.end_index - each.start_index for each in faulty.faults)
    assert labelled.issuperset(changed)
    assert len(faulty.faults) == 4 * faults_per_kind


@pytest.mark.parametrize("quantity", ["temperature", "vibration"])
def test_seeds_differ(quantity: str) -> None:
    """Another seed is another signal."""
    signals = [
        synthetic_signal(
            seed=seed,
            quantity="vibration" if quantity == "vibration" else "temperature",
            readings_count=200,
            faults_per_kind=0,
        ).series.values
        for seed in range(20)
    ]
    assert len(set(signals)) == len(signals)
