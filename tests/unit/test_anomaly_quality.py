"""How well the default parameters detect, on a signal we make and on one from a real machine."""

import csv
import math
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from mutualedge.functions import anomaly
from mutualedge.functions.anomaly import Flag, Parameters

MACHINE = Path(__file__).parents[3] / "shared/data/nab/machine_temperature_system_failure.csv"

FAILURE_WINDOWS = (
    ("2013-12-10 06:25:00", "2013-12-12 05:35:00"),
    ("2013-12-15 17:50:00", "2013-12-17 17:00:00"),
    ("2014-01-27 14:20:00", "2014-01-29 13:30:00"),
    ("2014-02-07 14:55:00", "2014-02-09 14:05:00"),
)
"""Labels of the NAB data set (combined_windows.json)."""

NOISE = 0.5
SAMPLES = 20_000
DAY = 1_440


@dataclass(frozen=True, kw_only=True)
class Signal:
    readings: list[float]
    spikes: list[int]
    shifts: list[int]
    stuck_start: int


def daily_cycle(seed: int) -> Signal:
    """Make two weeks of minutes: 40 spikes, 7 level shifts and an hour of a stuck sensor."""
    source = random.Random(seed)
    readings = [
        20.0 + 10.0 * math.sin(2.0 * math.pi * index / DAY) + source.gauss(0.0, NOISE)
        for index in range(SAMPLES)
    ]
    places = source.sample(range(500, SAMPLES - 500, 100), 48)
    spikes, shifts, stuck_start = places[:40], places[40:47], places[47]
    for place in spikes:
        readings[place] += source.choice((-1.0, 1.0)) * NOISE * source.uniform(16.0, 40.0)
    for place in shifts:
        by = source.choice((-1.0, 1.0)) * NOISE * source.uniform(12.0, 24.0)
        readings[place:] = [reading + by for reading in readings[place:]]
    readings[stuck_start : stuck_start + 60] = [readings[stuck_start]] * 60
    return Signal(readings=readings, spikes=spikes, shifts=shifts, stuck_start=stuck_start)


def flags_of(readings: list[float], parameters: Parameters = anomaly.DEFAULTS) -> list[int]:
    state = anomaly.INITIAL_STATE
    flags: list[int] = []
    for start in range(0, len(readings), anomaly.READINGS_MAX):
        batch = readings[start : start + anomaly.READINGS_MAX]
        response = anomaly.respond(anomaly.encode_request(state, batch, parameters))
        assert response is not None
        scored = anomaly.decode_response(response)
        state = scored.state
        flags += scored.flags
    return flags


def test_a_daily_cycle_is_watched_well() -> None:
    """Of anomalies from 12 noise deviations up all but one in 35 are found; nobody is alarmed."""
    found = {"spikes": 0, "shifts": 0, "false alarms": 0}
    for seed in range(5):
        signal = daily_cycle(seed)
        flags = flags_of(signal.readings)
        found["spikes"] += sum(bool(flags[spike] & Flag.DEVIATION) for spike in signal.spikes)
        found["shifts"] += sum(any(flags[shift : shift + 5]) for shift in signal.shifts)
        excused = {*signal.spikes, *range(signal.stuck_start, signal.stuck_start + 90)}
        excused.update(index for shift in signal.shifts for index in range(shift, shift + 60))
        found["false alarms"] += sum(
            bool(flag) and index not in excused for index, flag in enumerate(flags)
        )
    assert found == {"spikes": 200, "shifts": 34, "false alarms": 0}


@pytest.mark.parametrize("seed", range(5))
def test_a_stuck_sensor_is_found_after_half_an_hour(seed: int) -> None:
    """A sensor that repeats itself is flagged from its 30th equal reading until it moves."""
    signal = daily_cycle(seed)
    flags = flags_of(signal.readings)
    stuck = [index for index, flag in enumerate(flags) if flag & Flag.STUCK]
    assert stuck == list(range(signal.stuck_start + 29, signal.stuck_start + 60))


@pytest.mark.skipif(not MACHINE.exists(), reason="needs NAB's machine temperature in ../shared")
def test_a_real_machine_fails_visibly_and_runs_quietly() -> None:
    """Defaults see one of four slow failures and raise no false alarm; a hard limit sees two."""
    with MACHINE.open(encoding="utf-8", newline="") as lines:
        rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(lines)]
    assert failures_and_alarms(rows, Parameters()) == (1, 0)
    assert failures_and_alarms(rows, Parameters(lower=45.0)) == (2, 5)


def failures_and_alarms(rows: list[tuple[str, float]], parameters: Parameters) -> tuple[int, int]:
    """Return how many failure windows hold an alarm, and how many alarms no window holds."""
    flags = flags_of([value for _, value in rows], parameters)
    alarms = [moment for (moment, _), flag in zip(rows, flags, strict=True) if flag]
    hits = [[start <= moment <= end for start, end in FAILURE_WINDOWS] for moment in alarms]
    return sum(any(window) for window in zip(*hits, strict=True)), sum(not any(hit) for hit in hits)
