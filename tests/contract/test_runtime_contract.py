import math
import time
from collections.abc import Callable

import pytest

from mutualedge.adapters.wasm import WasmRuntime
from mutualedge.functions import (
    Execution,
    LoadedFunction,
    PythonRuntime,
    Runtime,
    anomaly,
    anomaly_bundle,
    calibrate,
    fuel_for_budget,
)

RUNTIMES: tuple[Callable[[], Runtime], ...] = (WasmRuntime, PythonRuntime)

READINGS = [20.0 + math.sin(index / 9.0) for index in range(anomaly.READINGS_MAX)]


@pytest.fixture(params=RUNTIMES, ids=lambda runtime: runtime.__name__)
def function(request: pytest.FixtureRequest) -> LoadedFunction:
    runtime: Runtime = request.param()
    return runtime.load(anomaly_bundle())


def without_time(execution: Execution) -> tuple[str, bytes, int, int]:
    return execution.status, execution.output, execution.fuel, execution.memory_bytes


def test_the_same_request_gives_the_same_everything(function: LoadedFunction) -> None:
    """Output, fuel and memory repeat exactly, whatever ran in between."""
    request = anomaly.encode_request(anomaly.INITIAL_STATE, READINGS)
    first = function.run(request)
    function.run(b"rubbish")
    function.run(request, 10)
    assert without_time(function.run(request)) == without_time(first)
    assert first.status == "ok"
    assert first.cpu_ns >= 0


def test_state_carries_from_batch_to_batch(function: LoadedFunction) -> None:
    """Two half batches, the state handed on, say what one whole batch says."""
    whole = anomaly.decode_response(
        function.run(anomaly.encode_request(anomaly.INITIAL_STATE, READINGS)).output
    )
    state = anomaly.INITIAL_STATE
    scores: tuple[float, ...] = ()
    for half in (READINGS[:60], READINGS[60:]):
        scored = anomaly.decode_response(function.run(anomaly.encode_request(state, half)).output)
        state, scores = scored.state, scores + scored.scores
    assert (state, scores) == (whole.state, whole.scores)


def test_fuel_needed_is_enough_and_one_less_is_not(function: LoadedFunction) -> None:
    """A call succeeds with the fuel it reported and ends with one unit less."""
    request = anomaly.encode_request(anomaly.INITIAL_STATE, READINGS)
    needed = function.run(request).fuel
    assert function.run(request, needed).status == "ok"
    starved = function.run(request, needed - 1)
    assert (starved.status, starved.output) == ("trap.fuel", b"")
    assert starved.fuel <= needed - 1


def test_more_readings_cost_more_fuel(function: LoadedFunction) -> None:
    """Fuel grows with the batch, so that it can stand for work done."""
    small, large = (
        function.run(anomaly.encode_request(anomaly.INITIAL_STATE, READINGS[:count])).fuel
        for count in (10, 100)
    )
    assert 0 < small < large


def test_the_manifest_caps_the_callers_fuel(function: LoadedFunction) -> None:
    """Asking for more fuel than the manifest grants changes nothing."""
    request = anomaly.encode_request(anomaly.INITIAL_STATE, READINGS)
    limit = anomaly_bundle().manifest.limits.fuel_max
    generous = function.run(request, 1000 * limit)
    assert without_time(generous) == without_time(function.run(request))


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"", "refused"),
        (b"rubbish", "refused"),
        (bytes(1048), "refused"),
        (bytes(1049), "refused.input"),
    ],
)
def test_what_is_no_request_is_refused(
    function: LoadedFunction, request_bytes: bytes, status: str
) -> None:
    """Rubbish is refused without output; what is too long never enters the function."""
    execution = function.run(request_bytes)
    assert (execution.status, execution.output) == (status, b"")


def test_calibration_leaves_room_for_the_sample(function: LoadedFunction) -> None:
    """Given twice the time its sample takes, a calibrated function has fuel for the sample."""
    sample = anomaly_bundle().calibration_request
    assert sample is not None
    ticks = iter(range(0, 10**12, 1_000_000))
    fuel_per_ms = calibrate(function, sample, lambda: next(ticks))
    needed = function.run(sample).fuel
    assert fuel_for_budget(1_000_000, fuel_per_ms) < needed
    assert function.run(sample, fuel_for_budget(2_000_000, fuel_per_ms)).status == "ok"


def test_calibration_by_a_real_clock_gives_a_rate(function: LoadedFunction) -> None:
    """Measured with the thread's processor time, the rate lies between idle and impossible."""
    sample = anomaly_bundle().calibration_request
    assert sample is not None
    assert 100 < calibrate(function, sample, time.thread_time_ns) < 10**8


def test_engines_have_different_names() -> None:
    """A usage record tells which engine counted its fuel."""
    names = [make().name for make in RUNTIMES]
    assert sorted(set(names)) == sorted(names)
    assert all(0 < len(name) <= 64 for name in names)
