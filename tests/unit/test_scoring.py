"""Readings typed at a terminal, and what is told about them."""

import msgspec
import pytest

from mutualedge.app.scoring import (
    AT_ONCE_MAX,
    FLAG_WORDS,
    Answer,
    answers_text,
    device_names,
    flag_words,
    parse_numbers,
)
from mutualedge.errors import UsageError
from mutualedge.functions import anomaly
from mutualedge.model import InvocationId
from mutualedge.protocol import READINGS_MAX, ReadingScored

SCORED = ReadingScored(
    invocation=InvocationId("0" * 32),
    scores=(0.0, 7.25),
    flags=(0, 3),
    placed="candy",
    assurance="simulated",
    timing="prioritised",
)


@pytest.mark.parametrize("text", ["1 -2.5 3e2", "1, -2.5, 3e2", " 1\n-2.5,\n\n3e2\n"])
def test_numbers_are_read_however_they_are_separated(text: str) -> None:
    """Spaces and lines do, and a comma before one of them."""
    assert parse_numbers(text) == (1.0, -2.5, 300.0)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "score.readings.count"),
        ("1 " * (READINGS_MAX + 1), "score.readings.count"),
        ("1 two", "score.readings.malformed"),
        ("--dedline", "score.readings.malformed"),
    ],
)
def test_what_is_no_reading_is_refused(text: str, code: str) -> None:
    """None, too many, no number; a misspelt option is no number either."""
    with pytest.raises(UsageError) as refused:
        parse_numbers(text)
    assert refused.value.code == code


def test_a_decimal_comma_is_not_two_readings() -> None:
    """Half of Europe writes so; the sentence says how to write it here."""
    with pytest.raises(UsageError) as refused:
        parse_numbers("20 1,5")
    assert refused.value.sentence == (
        "Reading 2: '1,5' is no number; write 21.5, -3 or 1e-4, and a space between two numbers."
    )


def test_a_wrong_line_of_a_file_is_named() -> None:
    """And where files with times are read."""
    with pytest.raises(UsageError) as refused:
        parse_numbers("20\n21\n2026-11-26,3\n", "r.csv")
    assert refused.value.sentence.startswith("r.csv, line 3: '2026-11-26,3' is no number; write")
    assert "mutualedge demo --input" in refused.value.sentence


def test_devices_at_once_are_numbered() -> None:
    """One keeps its name."""
    assert device_names("press", 1) == ["press"]
    assert device_names("press", 3) == ["press-1", "press-2", "press-3"]


@pytest.mark.parametrize(
    ("device", "at_once", "code"),
    [
        ("Press 7", 1, "score.device.malformed"),
        ("press", 0, "score.devices.count"),
        ("press", AT_ONCE_MAX + 1, "score.devices.count"),
    ],
)
def test_no_such_device_can_report(device: str, at_once: int, code: str) -> None:
    """Its name and number are bounded."""
    with pytest.raises(UsageError) as refused:
        device_names(device, at_once)
    assert refused.value.code == code


def test_an_answer_says_who_how_fast_and_what_to_look_at() -> None:
    """Each line is a sentence that stands alone."""
    answer = Answer(device="press", took_ns=12_340_000, scored=SCORED)
    assert answers_text([answer], (20.0, 95.0)) == (
        "press: scored by candy in 12.3 ms; assurance: simulated; timing: prioritised\n"
        "  scores: 0.0 7.2\n"
        "  look at: reading 2, 95: far from the mean, beyond a limit"
    )


def test_a_refusal_is_told_in_words() -> None:
    """A code that has words is told with them, another with its sentence."""
    known = Answer(device="press", took_ns=1_000_000, code="booking.job.deadline", sentence="X.")
    other = msgspec.structs.replace(known, code="node.device.busy", sentence="One is under way.")
    assert "no room at home" in answers_text([known], ())
    assert answers_text([other], ()) == (
        "press: not scored after 1.0 ms: One is under way [node.device.busy]"
    )


def test_every_flag_has_its_words() -> None:
    """A flag of the detector that nobody can read would be lost."""
    assert set(FLAG_WORDS) == set(anomaly.Flag)
    assert flag_words(int(anomaly.Flag.STUCK)) == "stuck"


def test_what_is_no_number_is_named_with_its_place() -> None:
    """Nobody has to know what a float is to find the mistake."""
    with pytest.raises(UsageError) as refused:
        parse_numbers("21.5 20.9 abc")
    assert refused.value.sentence.startswith("Reading 3: 'abc' is no number")
