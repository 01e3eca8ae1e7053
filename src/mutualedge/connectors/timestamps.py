"""The three spellings of an instant that readings may carry."""

import re
from datetime import UTC, datetime

from mutualedge.model import NS_PER_S

SECONDS_PER_DAY = 86_400
SECONDS_MAX = 253_402_300_799
"""The last second of the year 9999; milliseconds since 1970, taken for seconds, lie beyond it."""

_CALENDAR = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]((?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2})"
    r"(?:\.([0-9]{1,9})[0-9]*)?(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))?"
)
_SECONDS = re.compile(r"(-?)([0-9]{1,18})(?:\.([0-9]{1,9})[0-9]*)?")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp_ns(text: str) -> int | None:
    """Return nanoseconds since 1970 UTC, or nothing if the text is no instant we read.

    Read are RFC 3339 (``2026-11-21T08:00:00.5+01:00``), the same without offset and with a blank
    (``2026-11-21 08:00:00``), which is taken as UTC, and seconds since 1970 (``1795248000.25``).
    What is finer than a nanosecond is cut off. Leap seconds are not read.
    """
    calendar = _CALENDAR.fullmatch(text)
    if calendar is not None:
        return _calendar_ns(calendar)
    seconds = _SECONDS.fullmatch(text)
    return None if seconds is None else _seconds_ns(seconds)


def is_finer_than_seconds(text: str) -> bool:
    """Tell whether this may be a count of milli-, micro- or nanoseconds since 1970."""
    return text.isdecimal() and text.isascii() and len(text) > len(str(SECONDS_MAX))


def _calendar_ns(found: re.Match[str]) -> int | None:
    day, clock, fraction, sign, hours, minutes = found.groups()
    try:
        since = datetime.fromisoformat(f"{day}T{clock}+00:00") - _EPOCH
    except ValueError:
        return None
    offset_s = 0 if sign is None else int(f"{sign}{60 * (60 * int(hours) + int(minutes))}")
    seconds = since.days * SECONDS_PER_DAY + since.seconds - offset_s
    return seconds * NS_PER_S + _fraction_ns(fraction)


def _seconds_ns(found: re.Match[str]) -> int | None:
    sign, whole, fraction = found.groups()
    if int(whole) > SECONDS_MAX:
        return None
    instant_ns = int(whole) * NS_PER_S + _fraction_ns(fraction)
    return -instant_ns if sign else instant_ns


def _fraction_ns(digits: str | None) -> int:
    return int((digits or "").ljust(9, "0"))
