"""Load profiles as CSV: a column of times, and one for each member."""

import csv
import math
from collections.abc import Iterator

import numpy as np

from mutualedge.errors import UsageError
from mutualedge.plan.coalition.peaks import Profiles

ROWS_MAX = 1_000_000
MEMBERS_MIN = 2
MEMBERS_MAX = 1_000
TIMES_MIN = 2


def parse_profiles(content: bytes, *, source: str) -> Profiles:
    """Return the profiles that a CSV file holds.

    The first row names the columns; the first column is the time, as text. Loads are numbers,
    not negative, in one unit.

    Args:
        content: The bytes of the file, UTF-8.
        source: What to call it in errors.

    Raises:
        UsageError: It is not such a file; the sentence names line and column.
    """
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise _refused("plan.profiles.text", source, "is not UTF-8 text") from error
    rows = csv.reader(lines)
    members = _members(next(rows, []), source)
    times: list[str] = []
    loads: list[list[float]] = []
    for number, row in enumerate(rows, start=2):
        if row:
            times.append(row[0])
            loads.append(_loads(row[1:], members, number, source))
        if len(loads) > ROWS_MAX:
            raise _refused("plan.profiles.size", source, f"has more than {ROWS_MAX:,} rows")
    if len(loads) < TIMES_MIN:
        raise _refused("plan.profiles.size", source, "has fewer than two rows of loads")
    return Profiles(members=members, loads=np.array(loads).T.copy(), times=tuple(times))


def _members(header: list[str], source: str) -> tuple[str, ...]:
    members = tuple(name.strip() for name in header[1:])
    if not MEMBERS_MIN <= len(members) <= MEMBERS_MAX:
        bounds = f"{MEMBERS_MIN} to {MEMBERS_MAX}"
        cause = f"names {len(members)} members in line 1; {bounds} can be compared"
        raise _refused("plan.profiles.members", source, cause)
    for name in members:
        if not name or members.count(name) > 1:
            raise _refused(
                "plan.profiles.members", source, f"names a member '{name}' twice or not at all"
            )
    return members


def _loads(fields: list[str], members: tuple[str, ...], number: int, source: str) -> list[float]:
    if len(fields) != len(members):
        cause = f"has {len(fields)} loads in line {number}, but {len(members)} members"
        raise _refused("plan.profiles.row", source, cause)
    return [*_numbers(fields, members, number, source)]


def _numbers(
    fields: list[str], members: tuple[str, ...], number: int, source: str
) -> Iterator[float]:
    for member, field in zip(members, fields, strict=True):
        try:
            load = float(field)
        except ValueError:
            load = math.nan
        if not 0 <= load < math.inf:
            cause = f"has '{field}' for {member} in line {number}; a load is a number from 0"
            raise _refused("plan.profiles.load", source, cause)
        yield load


def _refused(code: str, source: str, cause: str) -> UsageError:
    return UsageError(code, f"{source} {cause}.")
