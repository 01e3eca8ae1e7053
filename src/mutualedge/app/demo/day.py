"""The day of the rehearsal: how many machines of which enterprise report at which moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from mutualedge.errors import UsageError
from mutualedge.model import EnterpriseId

HOURS = 24
TICK_S = 0.25
"""Machines report at these moments, those of one enterprise all at once, as cycles of one line do;
half an hour of the rehearsal's day."""

SPREAD_S = 0.003
"""Nobody presses the button at the same millisecond: how far apart those of one tick report."""

DAY_S_MIN = 6.0
"""A node must die, start again and be trusted again within the day, however few report."""

INVOCATIONS_MAX = 20_000
"""Ten minutes of it; whoever wants more has a plant, not a rehearsal."""

LOAD_MIN, LOAD_MAX = 0.1, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One machine reports.

    Attributes:
        at_s: Since the beginning of the day.
        hour: Of the rehearsal's day.
    """

    at_s: float
    hour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """When who reports.

    Attributes:
        length_s: How long 24 hours take.
        turns: Of each enterprise, in the order of time.
        together_max: Most machines of one enterprise that report in one tick.
        ticks: How many machines of each enterprise report in each tick.
    """

    length_s: float
    turns: Mapping[EnterpriseId, tuple[Turn, ...]]
    together_max: int
    ticks: Mapping[EnterpriseId, tuple[int, ...]]

    @property
    def invocations(self) -> int:
        """All of them."""
        return sum(map(len, self.turns.values()))

    def at_s(self, hour: int) -> float:
        """Return when an hour's first machines report, or when the day is over."""
        tick_count = round(self.length_s / TICK_S)
        return -(-hour * tick_count // HOURS) * TICK_S


def usual_invocations(reporting: Mapping[EnterpriseId, Sequence[int]], load: float) -> int:
    """Return how many invocations make a day of two ticks an hour, so many times as busy.

    Raises:
        UsageError: A load out of its range.
    """
    _verify_load(load)
    return max(1, round(2 * load * sum(map(sum, reporting.values()))))


def plan_day(
    reporting: Mapping[EnterpriseId, Sequence[int]], *, invocations: int, load: float, seed: int
) -> Day:
    """Spread so many invocations over a day in the shape of the profiles.

    The arrival rate is that of the profiles times ``load``; how long the day takes follows.

    Args:
        reporting: Machines that report in a tick, for each hour.
        invocations: In total.
        load: Factor on the rate.
        seed: Decides when within its tick each machine reports.

    Raises:
        UsageError: Less than one invocation, too many, or a load out of its range.
    """
    _verify_load(load)
    if not 1 <= invocations <= INVOCATIONS_MAX:
        sentence = f"The day has 1 to {INVOCATIONS_MAX} invocations, not {invocations}."
        raise UsageError("demo.invocations.range", sentence)
    rate_per_s = sum(map(sum, reporting.values())) / (HOURS * TICK_S)
    tick_count = round(max(DAY_S_MIN, invocations / (rate_per_s * load)) / TICK_S)
    hours = [tick * HOURS // tick_count for tick in range(tick_count)]
    weights = [profile[hour] for profile in reporting.values() for hour in hours]
    counts = apportion(weights, invocations)
    chance = Random(seed)  # noqa: S311 - when a machine reports is no secret
    ticks = {
        name: tuple(counts[place * tick_count : (place + 1) * tick_count])
        for place, name in enumerate(reporting)
    }
    return Day(
        length_s=tick_count * TICK_S,
        turns={name: _turns(ticks[name], hours, chance) for name in reporting},
        together_max=max(counts),
        ticks=ticks,
    )


def _verify_load(load: float) -> None:
    if not LOAD_MIN <= load <= LOAD_MAX:
        sentence = f"The load is a factor from {LOAD_MIN} to {LOAD_MAX:.0f}, not {load}."
        raise UsageError("demo.load.range", sentence)


def apportion(weights: Sequence[int], total: int) -> list[int]:
    """Return whole shares of a total in proportion to the weights; their sum is the total."""
    whole, before, taken, shares = sum(weights), 0, 0, []
    for weight in weights:
        before += weight
        until = (2 * total * before + whole) // (2 * whole)
        shares.append(until - taken)
        taken = until
    return shares


def _turns(counts: Sequence[int], hours: Sequence[int], chance: Random) -> tuple[Turn, ...]:
    return tuple(
        Turn(at_s=tick * TICK_S + offset_s, hour=hours[tick])
        for tick, count in enumerate(counts)
        for offset_s in sorted(chance.uniform(0.0, SPREAD_S) for _ in range(count))
    )


def first_batches(ticks: Sequence[int], batch_counts: Sequence[int]) -> list[int]:
    """Return how many batches of each series a day has room for, those series first in each tick.

    Args:
        ticks: Machines of the enterprise that report in each tick.
        batch_counts: Batches that each series holds.
    """
    sent = [0] * len(batch_counts)
    for count in ticks:
        waiting = [
            (taken, place)
            for place, (taken, held) in enumerate(zip(sent, batch_counts, strict=True))
            if taken < held
        ]
        for _, place in sorted(waiting)[:count]:
            sent[place] += 1
    return sent
