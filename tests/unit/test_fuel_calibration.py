import re
from collections.abc import Iterator

import pytest

from mutualedge.errors import UsageError
from mutualedge.functions import (
    PythonRuntime,
    anomaly_bundle,
    calibrate,
    fuel_for_budget,
)
from mutualedge.functions.runtime import FUEL_MARGIN_PERCENT

MS = 1_000_000


def clock_with(durations_ns: list[int]) -> Iterator[int]:
    """Yield start and end of each call; the durations repeat."""
    now_ns = 0
    while True:
        for duration_ns in durations_ns:
            yield now_ns
            now_ns += duration_ns
            yield now_ns


def fuel_per_ms(durations_ns: list[int]) -> int:
    bundle = anomaly_bundle()
    clock = clock_with(durations_ns)
    sample = bundle.calibration_request or b""
    return calibrate(PythonRuntime().load(bundle), sample, lambda: next(clock))


def test_the_margin_is_taken_off() -> None:
    """A call of one millisecond allows three quarters of its fuel per millisecond."""
    bundle = anomaly_bundle()
    fuel = PythonRuntime().load(bundle).run(bundle.calibration_request or b"").fuel
    assert fuel_per_ms([MS]) == fuel * (100 - FUEL_MARGIN_PERCENT) // 100


def test_single_interruptions_do_not_count() -> None:
    """The rate is the median's: one call in three a hundred times longer changes nothing."""
    assert fuel_per_ms([MS, MS, 100 * MS]) == fuel_per_ms([MS])


@pytest.mark.parametrize(
    ("duration_ns", "code"),
    [(0, "functions.calibration.clock"), (10**15, "functions.calibration.sample")],
)
def test_an_impossible_measurement_is_refused(duration_ns: int, code: str) -> None:
    """A clock that stands still, and a rate below one, give no rate at all."""
    with pytest.raises(UsageError, match=re.escape(code)):
        fuel_per_ms([duration_ns])


def test_a_sample_the_function_refuses_is_no_sample() -> None:
    """Calibrating with a request that does not succeed would measure the refusal."""
    function = PythonRuntime().load(anomaly_bundle())
    with pytest.raises(UsageError, match=re.escape("functions.calibration.sample")):
        calibrate(function, b"rubbish", lambda: 0)


def test_a_budget_becomes_fuel() -> None:
    """Fuel is proportional to the budget and at least one unit."""
    assert fuel_for_budget(3 * MS, 1_000) == 3_000
    assert fuel_for_budget(1, 1_000) == 1
