"""Alarms beside the truth: windows found and how late, false alarms, and what luck would find."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MERGE_READINGS = 20
"""Alarms no further apart are one episode: the detector's mean remembers as many readings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Readings in which an alarm is right: from ``start_index`` up to, without, ``end_index``."""

    start_index: int
    end_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How alarms and windows meet.

    Attributes:
        delays: Readings from the start of each window to its first alarm; nothing if missed.
        alarms: Readings with an alarm.
        episodes: Groups of them.
        false_alarms: Those of the readings outside every window and its aftermath.
        false_episodes: Groups of these.
        ends_noticed: Windows with an alarm in their aftermath.
        by_chance: Windows found on average if the episodes fell anywhere.
    """

    delays: tuple[int | None, ...]
    alarms: int
    episodes: int
    false_alarms: int
    false_episodes: int
    ends_noticed: int
    by_chance: float

    @property
    def found(self) -> int:
        """Return how many windows hold an alarm."""
        return sum(delay is not None for delay in self.delays)


def judge(flags: Sequence[int], windows: Sequence[Window], aftermath_readings: int = 0) -> Verdict:
    """Return what the flags of a signal are worth.

    Args:
        flags: Of each reading, 0 for no alarm.
        windows: Where alarms are right.
        aftermath_readings: After each window an alarm is neither right nor wrong: that a fault
            ends is a change as well.
    """
    alarms = [index for index, flag in enumerate(flags) if flag]
    excused = [
        range(window.start_index, window.end_index + aftermath_readings) for window in windows
    ]
    false = [index for index in alarms if not any(index in each for each in excused)]
    episodes = _episodes(alarms)
    return Verdict(
        delays=tuple(_delay(window, alarms) for window in windows),
        alarms=len(alarms),
        episodes=episodes,
        false_alarms=len(false),
        false_episodes=_episodes(false),
        ends_noticed=sum(
            any(window.end_index <= index in each for index in alarms)
            for window, each in zip(windows, excused, strict=True)
        ),
        by_chance=sum(_luck(window, len(flags), episodes) for window in windows),
    )


def _delay(window: Window, alarms: Sequence[int]) -> int | None:
    inside = (index for index in alarms if window.start_index <= index < window.end_index)
    first = next(inside, None)
    return None if first is None else first - window.start_index


def _episodes(alarms: Sequence[int]) -> int:
    if not alarms:
        return 0
    gaps = (later - earlier for earlier, later in pairwise(alarms))
    return 1 + sum(gap > MERGE_READINGS for gap in gaps)


def _luck(window: Window, readings_count: int, episodes: int) -> float:
    """Return how likely one of so many episodes meets the window if each falls anywhere."""
    share = (window.end_index - window.start_index) / readings_count
    return 1.0 - (1.0 - share) ** episodes
