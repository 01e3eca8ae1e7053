"""Load over a day or a year, for who has none measured: invented, and named as such.

A shape has a base and a bump: between them the load of industries differs most by when the bump
comes. Peaks are 1; what a shape is multiplied with says how high.
"""

from collections.abc import Sequence
from math import cos, pi

import msgspec

HOURS = 24
MONTHS = 12


class Bump(msgspec.Struct, frozen=True, kw_only=True):
    """A load that rises once in a turn and falls again.

    Attributes:
        peak: Where, in parts of the turn: an hour, or a month from 0.
        width: Of the whole bump, in the same parts.
        base: Load outside it, as a share of the peak.
    """

    peak: float
    width: float
    base: float


DAYS = {
    "bakery": Bump(peak=4, width=10, base=0.1),
    "assembly": Bump(peak=10, width=12, base=0.15),
    "office": Bump(peak=13, width=11, base=0.05),
    "logistics": Bump(peak=16, width=12, base=0.2),
    "evening": Bump(peak=20, width=10, base=0.15),
    "foundry": Bump(peak=23, width=12, base=0.3),
    "flat": Bump(peak=12, width=24, base=1.0),
}
"""By industry: when in the day it is busy."""

SEASONS = {
    "confectionery": Bump(peak=10, width=7, base=0.4),
    "beverages": Bump(peak=6, width=8, base=0.45),
    "heating": Bump(peak=0, width=8, base=0.3),
    "harvest": Bump(peak=8, width=5, base=0.15),
    "steady": Bump(peak=6, width=12, base=1.0),
}
"""By industry: when in the year it is busy."""


def shape(bump: Bump, parts: int) -> tuple[float, ...]:
    """Return the load in each part of a turn, as a share of the peak."""
    return tuple(_load(bump, part, parts) for part in range(parts))


def _load(bump: Bump, part: int, parts: int) -> float:
    away = abs((part - bump.peak + parts / 2) % parts - parts / 2)
    if away >= bump.width / 2:
        return bump.base
    return bump.base + (1 - bump.base) * (1 + cos(2 * pi * away / bump.width)) / 2


def known_shape(name: str) -> tuple[float, ...] | None:
    """Return the shape of this name, of a day or of a year; None if there is none."""
    if name in DAYS:
        return shape(DAYS[name], HOURS)
    return shape(SEASONS[name], MONTHS) if name in SEASONS else None


def shape_names() -> Sequence[str]:
    """Return all names, those of days first."""
    return (*DAYS, *SEASONS)
