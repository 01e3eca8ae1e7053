"""Figures about the detector are only as good as what counts them."""

import pytest

from benchmarks.anomaly.judging import MERGE_READINGS, Window, judge
from benchmarks.anomaly.measure import default_flags, limited_flags, median_flags
from mutualedge.connectors import synthetic_signal
from mutualedge.functions.anomaly import Flag


def flags(*alarms: int, readings_count: int = 1_000) -> list[int]:
    return [int(index in alarms) for index in range(readings_count)]


def window(start_index: int, end_index: int) -> Window:
    return Window(start_index=start_index, end_index=end_index)


def test_a_window_is_found_from_its_first_reading_to_its_last() -> None:
    """The delay counts from its start; the reading after its end is outside."""
    verdict = judge(flags(100, 219, 320), [window(100, 120), window(200, 220), window(300, 320)])
    assert verdict.delays == (0, 19, None)
    assert (verdict.found, verdict.alarms, verdict.false_alarms) == (2, 3, 1)


def test_alarms_close_together_are_one_episode() -> None:
    """Twenty readings apart still is, twenty-one is not; alarms in windows do not join others."""
    near = judge(flags(10, 10 + MERGE_READINGS, 31 + MERGE_READINGS), ())
    assert (near.false_alarms, near.false_episodes, near.episodes) == (3, 2, 2)
    through = judge(flags(10, 25, 40), [window(20, 30)])
    assert (through.false_alarms, through.false_episodes, through.episodes) == (2, 2, 1)


def test_the_aftermath_is_neither_right_nor_wrong() -> None:
    """An alarm at a fault's end does not find the fault and is not false."""
    verdict = judge(flags(30, 60), [window(10, 30)], aftermath_readings=30)
    assert (verdict.found, verdict.ends_noticed) == (0, 1)
    assert (verdict.false_alarms, verdict.false_episodes) == (1, 1)


def test_luck_finds_what_many_alarms_cannot_miss() -> None:
    """One episode meets a tenth of the readings in one case of ten, two in 19 of a hundred."""
    assert judge(flags(500), [window(0, 100)]).by_chance == pytest.approx(0.1)
    assert judge(flags(200, 500), [window(0, 100)]).by_chance == pytest.approx(0.19)
    assert judge(flags(), [window(0, 100)]).by_chance == 0.0


def test_detectors_see_what_they_are_for() -> None:
    """A spike for all, and a level outside the limits only for the one that knows them."""
    values = list(synthetic_signal(seed=1, readings_count=2_000, faults_per_kind=0).series.values)
    values[1_000] += 30.0
    assert default_flags(values)[1_000] == Flag.DEVIATION
    assert limited_flags(values)[1_000] == Flag.DEVIATION | Flag.LIMIT
    assert median_flags(values)[1_000] == 1
    assert sum(map(bool, default_flags(values))) == 1
