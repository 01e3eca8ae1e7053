"""Units, instants, names and the order of assurance."""

import msgspec
import pytest

from mutualedge.errors import PeerError, UsageError
from mutualedge.model import (
    JSON_INTEGER_MAX,
    NS_PER_MS,
    NS_PER_S,
    Amount,
    AssuranceLevel,
    DeviceName,
    HexDigest,
    format_instant,
    parse_instant,
)

INSTANT = "2026-11-21T08:00:00.250Z"


def accepts(kind: object, value: object) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=kind)
    except msgspec.ValidationError:
        return False
    return True


def test_an_instant_is_its_milliseconds() -> None:
    """Text and nanoseconds agree both ways; what is below a millisecond is dropped."""
    now_ns = parse_instant(INSTANT)
    assert now_ns == 1_795_248_000_250_000_000
    assert format_instant(now_ns) == format_instant(now_ns + 999_999) == INSTANT
    assert format_instant(0) == "1970-01-01T00:00:00.000Z"


def test_instants_sort_as_text() -> None:
    """The fixed width lets rows and signed records be compared as they stand."""
    year_one_ns = -62_135_596_800 * NS_PER_S
    times_ns = [year_one_ns, 0, 1_000_000, 10**18, 1_795_248_000_250_000_000, 4 * 10**18]
    texts = [format_instant(time_ns) for time_ns in times_ns]
    assert texts == sorted(texts)
    assert [parse_instant(text) for text in texts] == times_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21",
        "2026-11-21T08:00:00Z",
        "2026-11-21T08:00:00.250",
        "2026-11-21T08:00:00.250+01:00",
        "2026-11-21T08:00:00.250000Z",
        "2026-13-21T08:00:00.250Z",
        "2026-11-21T25:00:00.250Z",
        "2026-11-21T08:00:00.250Z\n",
        "٢٠٢٦-11-21T08:00:00.250Z",
    ],
)
def test_another_spelling_of_an_instant_is_refused(text: str) -> None:
    """One spelling only: another would sort or sign differently."""
    with pytest.raises(UsageError) as refused:
        parse_instant(text)
    assert refused.value.code == "model.instant.malformed"


@pytest.mark.parametrize("now_ns", [2**70, JSON_INTEGER_MAX * NS_PER_MS, -(2**70), 10**400])
def test_an_instant_no_calendar_holds_is_refused(now_ns: int) -> None:
    """A sum of two numbers that a peer chose may lie beyond the year 9999."""
    with pytest.raises(UsageError) as refused:
        format_instant(now_ns)
    assert refused.value.code == "model.instant.range"


def test_assurance_is_ordered() -> None:
    """Each level reaches itself and those below, and none above."""
    levels = tuple(AssuranceLevel)
    assert [level.rank for level in levels] == [0, 1, 2, 3]
    assert levels[0] is AssuranceLevel.SIMULATED
    assert levels[-1] is AssuranceLevel.ENCLAVE
    for mine in levels:
        assert [mine.reaches(asked) for asked in levels] == [
            index <= levels.index(mine) for index in range(len(levels))
        ]


@pytest.mark.parametrize("name", ["", "Candy", "1st", "a b", "a" * 33, "ä", "candy\n", "-a"])
def test_a_name_has_one_spelling(name: str) -> None:
    """Names stand in subjects, files and notes: lower case, digits, hyphens, at most 32."""
    assert accepts(DeviceName, "press-1")
    assert not accepts(DeviceName, name)


@pytest.mark.parametrize(
    "digest", ["", "ab" * 31, "AB" * 32, "ab" * 33, "zz" * 32, "ab" * 32 + "\n"]
)
def test_a_digest_has_one_spelling(digest: str) -> None:
    """64 lower-case hexadecimal digits."""
    assert accepts(HexDigest, "ab" * 32)
    assert not accepts(HexDigest, digest)


def test_an_amount_stays_exact_everywhere() -> None:
    """No fraction, no debt in disguise, nothing a JSON reader could round."""
    assert accepts(Amount, JSON_INTEGER_MAX)
    for wrong in (-1, JSON_INTEGER_MAX + 1, 0.5, "1", True):
        assert not accepts(Amount, wrong)


def test_an_error_says_code_and_sentence_and_survives_a_process() -> None:
    """Operators read the sentence, programs the code, also on the other side of a pickle."""
    error = PeerError("market.lease.unknown", "No such lease is lent here; propose one.")
    kind, arguments = error.__reduce__()
    again = kind(*arguments)
    assert isinstance(again, PeerError)
    assert (again.code, again.sentence) == (error.code, error.sentence)
    assert str(error) == "No such lease is lent here; propose one. [market.lease.unknown]"
