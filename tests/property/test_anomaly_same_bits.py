import math
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mutualedge.adapters.wasm import WasmFunction, WasmRuntime
from mutualedge.functions import anomaly, anomaly_bundle
from mutualedge.functions.anomaly import Parameters

FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=64)
FINITE = st.floats(min_value=-1e6, max_value=1e6)

LIMITS = (0.0, 1.0, anomaly.FLOOR_MIN, anomaly.VALUE_MAX, anomaly.MEAN_MAX, anomaly.VARIANCE_MAX)
EDGES = st.sampled_from(
    [
        sign * near
        for limit in LIMITS
        for sign in (-1.0, 1.0)
        for near in (limit, math.nextafter(limit, math.inf), math.nextafter(limit, 0.0))
    ]
)
"""On and beside every bound, where two comparisons could differ."""

COUNTS = st.sampled_from([0, 1, 2, 60, *range(anomaly.COUNT_MAX - 1, anomaly.COUNT_MAX + 2)])
SMALL = st.integers(-6, 6).map(float)
"""Whole numbers: distances and repetitions come out exactly equal to their bounds."""

PARAMETERS = st.builds(
    Parameters,
    weight=st.floats(min_value=1e-9, max_value=1.0),
    deviations_max=st.floats(min_value=1e-3, max_value=1e3),
    deviation_floor=st.floats(min_value=anomaly.FLOOR_MIN, max_value=1e3),
    lower=st.floats(max_value=0.0, allow_nan=False),
    upper=st.floats(min_value=0.0, allow_nan=False),
    warm_up_count=st.integers(0, 100),
    stuck_count=st.integers(0, 10),
)

READINGS = st.lists(FINITE | FLOATS, min_size=1, max_size=anomaly.READINGS_MAX)


@pytest.fixture(scope="module")
def compiled() -> WasmFunction:
    return WasmRuntime().load(anomaly_bundle())


@given(parameters=PARAMETERS, batches=st.lists(READINGS, min_size=1, max_size=3))
def test_wasm_and_python_agree_to_the_bit(
    compiled: WasmFunction, parameters: Parameters, batches: list[list[float]]
) -> None:
    """Over whole series with any readings, both give the same response bytes and states."""
    state = anomaly.INITIAL_STATE
    for readings in batches:
        request = anomaly.encode_request(state, readings, parameters)
        expected = anomaly.respond(request)
        assert expected is not None
        assert compiled.run(request).output == expected
        state = anomaly.decode_response(expected).state


@settings(max_examples=1_000)
@example(
    header=(0.5, 5.0, 1.0, -3.0, 3.0),
    counts=(0, 2, anomaly.COUNT_MAX, anomaly.COUNT_MAX),
    state=(0.0, 0.0, 1.0),
    readings=[1.0, 1.0],
)
@given(
    header=st.tuples(
        st.just(0.5) | EDGES,
        st.just(5.0) | EDGES,
        st.just(1.0) | EDGES,
        st.just(-3.0) | FLOATS,
        st.just(3.0) | FLOATS,
    ),
    counts=st.tuples(*[COUNTS] * 4),
    state=st.tuples(SMALL | EDGES, st.just(0.0) | EDGES, SMALL | EDGES | FLOATS),
    readings=st.lists(SMALL | EDGES | FLOATS, min_size=1, max_size=10),
)
def test_they_agree_at_every_bound(
    compiled: WasmFunction,
    header: tuple[float, ...],
    counts: tuple[int, ...],
    state: tuple[float, ...],
    readings: list[float],
) -> None:
    """On and beside every bound, both refuse, or both give the same bytes."""
    request = struct.pack(
        f"<II5d4I3d{len(readings)}d",
        anomaly.MAGIC,
        len(readings),
        *header,
        *counts,
        *state,
        *readings,
    )
    execution, expected = compiled.run(request), anomaly.respond(request)
    assert execution.status == ("refused" if expected is None else "ok")
    assert execution.output == (expected or b"")


@given(rubbish=st.binary(max_size=anomaly.REQUEST_BYTES_MAX))
def test_rubbish_is_refused_by_both(compiled: WasmFunction, rubbish: bytes) -> None:
    """Random bytes end in a refusal, never in a trap."""
    assert compiled.run(rubbish).status == "refused"
    assert anomaly.respond(rubbish) is None


@given(parameters=PARAMETERS, readings=st.lists(FLOATS, min_size=1, max_size=120))
def test_every_state_is_accepted_by_the_next_request(
    parameters: Parameters, readings: list[float]
) -> None:
    """No series of readings leads to a state that the function itself would refuse."""
    state = anomaly.INITIAL_STATE
    for _ in range(4):
        response = anomaly.respond(anomaly.encode_request(state, readings, parameters))
        assert response is not None
        scored = anomaly.decode_response(response)
        assert len(scored.scores) == len(scored.flags) == len(readings)
        state = scored.state
