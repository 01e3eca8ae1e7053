"""Units that must never be swapped, and the instants that stand in signed text."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, NewType

import msgspec

from mutualedge.errors import UsageError

Nanoseconds = NewType("Nanoseconds", int)
Milliseconds = NewType("Milliseconds", int)
Microcredits = NewType("Microcredits", int)

JSON_INTEGER_MAX = 2**53 - 1
"""Largest integer every JSON reader keeps exact (RFC 8259 section 6)."""

Count = Annotated[int, msgspec.Meta(ge=0, le=JSON_INTEGER_MAX)]
PositiveCount = Annotated[int, msgspec.Meta(ge=1, le=JSON_INTEGER_MAX)]
Amount = Annotated[Microcredits, msgspec.Meta(ge=0, le=JSON_INTEGER_MAX)]
DurationNs = Annotated[Nanoseconds, msgspec.Meta(ge=0, le=JSON_INTEGER_MAX)]
DurationMs = Annotated[Milliseconds, msgspec.Meta(ge=0, le=JSON_INTEGER_MAX)]

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
MS_PER_S = 1_000

INSTANT_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z\Z"
_INSTANT = re.compile(INSTANT_PATTERN)
Instant = NewType("Instant", str)
InstantText = Annotated[Instant, msgspec.Meta(pattern=INSTANT_PATTERN)]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def format_instant(now_ns: int) -> Instant:
    """Return the RFC 3339 UTC text, milliseconds kept, of nanoseconds since 1970.

    Fixed width, so that instants sort as text.

    Raises:
        UsageError: No calendar holds the instant; a sum that a peer chose may be too large.
    """
    try:
        moment = _EPOCH + (now_ns // NS_PER_MS) * _MILLISECOND
    except OverflowError as error:
        sentence = "The instant lies outside the years 1 to 9999; check what it was computed from."
        raise UsageError("model.instant.range", sentence) from error
    # Not strftime: whether its %Y has four digits before the year 1000 depends on the system.
    return Instant(moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z")


@lru_cache(maxsize=4096)
def parse_instant(text: str) -> int:
    """Return nanoseconds since 1970 of an RFC 3339 UTC text.

    Raises:
        UsageError: The text is not an instant with millisecond precision in UTC.
    """
    if not _INSTANT.match(text):
        raise _malformed(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _malformed(text) from error
    return (moment - _EPOCH) // _MILLISECOND * NS_PER_MS


def _malformed(text: str) -> UsageError:
    sentence = f"'{text}' is not an instant; write it as 2026-11-21T08:00:00.000Z."
    return UsageError("model.instant.malformed", sentence)
