import math
import re
import struct

import pytest

from mutualedge.errors import PeerError, UsageError
from mutualedge.functions import anomaly
from mutualedge.functions.anomaly import Flag, Parameters, Scored

QUIET = [20.0 + (-1) ** index * 0.5 for index in range(80)]
"""Mean 20, standard deviation 0.5, and longer than the warm-up."""


def score(readings: list[float], parameters: Parameters = anomaly.DEFAULTS) -> Scored:
    """Feed a series in batches, as a device does, and return all scores and flags."""
    state = anomaly.INITIAL_STATE
    scores: list[float] = []
    flags: list[int] = []
    for start in range(0, len(readings), anomaly.READINGS_MAX):
        batch = readings[start : start + anomaly.READINGS_MAX]
        response = anomaly.respond(anomaly.encode_request(state, batch, parameters))
        assert response is not None
        scored = anomaly.decode_response(response)
        state = scored.state
        scores += scored.scores
        flags += scored.flags
    return Scored(state=state, scores=tuple(scores), flags=tuple(flags))


def test_a_spike_is_flagged_by_its_distance() -> None:
    """A reading ten deviations up scores about ten and is flagged; its neighbours are not."""
    scored = score([*QUIET, 25.0, 20.5])
    assert scored.scores[-2] == pytest.approx(10.0, rel=0.1)
    assert scored.flags[-2:] == (Flag.DEVIATION, 0)


def test_nothing_is_scored_while_warming_up() -> None:
    """The first 60 readings teach: score 0 and no flag, however wild they are."""
    scored = score([float(index * index % 17) for index in range(60)])
    assert set(scored.scores) == {0.0}
    assert set(scored.flags) == {0}


def test_an_outlier_teaches_no_more_than_the_bound() -> None:
    """A reading of a million moves the mean by at most weight times five deviations."""
    before, after = (struct.unpack("<IIddd", score(r).state) for r in (QUIET, [*QUIET, 1e6]))
    bound = anomaly.DEFAULTS.weight * 5.0 * math.sqrt(before[3])
    assert after[2] - before[2] == pytest.approx(bound)


def test_a_new_level_becomes_normal() -> None:
    """After a level shift the detector complains, then adapts and is quiet again."""
    shifted = [reading + 10.0 for reading in QUIET]
    flags = score([*QUIET, *shifted, *shifted]).flags
    assert flags[80] == Flag.DEVIATION
    assert set(flags[-40:]) == {0}


def test_hard_limits_hold_from_the_first_reading() -> None:
    """A reading outside the limits is flagged in the warm-up too; the limits are allowed."""
    parameters = Parameters(lower=0.0, upper=50.0)
    assert score([-0.1, 0.0, 50.0, 50.1], parameters).flags == (Flag.LIMIT, 0, 0, Flag.LIMIT)


def test_a_stuck_sensor_is_flagged_and_not_learnt() -> None:
    """From the 30th equal reading on the sensor is stuck; learning stops and goes on after."""
    flags = score([*QUIET, *[20.0] * 40, *QUIET]).flags
    assert flags[80 + 28 : 80 + 31] == (0, Flag.STUCK, Flag.STUCK)
    assert flags[119] == Flag.STUCK
    assert set(flags[120:]) == {0}


def test_a_sensor_may_stand_still_when_the_rule_is_off() -> None:
    """With a stuck count of 0 equal readings are never suspicious."""
    assert set(score([20.0] * 100, Parameters(stuck_count=0)).flags) == {0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.1e100, -1.7e308])
def test_what_is_no_number_leaves_the_state_alone(value: float) -> None:
    """NaN, infinities and absurd magnitudes are their own class and teach nothing."""
    scored = score([*QUIET, value])
    assert (scored.scores[-1], scored.flags[-1]) == (0.0, Flag.INVALID)
    assert scored.state == score(QUIET).state


def test_the_largest_readings_keep_the_state_valid() -> None:
    """Readings at both ends of the range never lead to a state the next request refuses."""
    wild = [(-1.0) ** index * anomaly.VALUE_MAX for index in range(300)]
    steady = [anomaly.VALUE_MAX] * 300
    for readings in (wild, steady, [*steady, *wild]):
        assert all(math.isfinite(each) for each in score([*readings, 0.0]).scores)


@pytest.mark.parametrize("count", [0, anomaly.READINGS_MAX + 1])
def test_a_batch_has_its_bounds(count: int) -> None:
    """No reading and more than 120 are the caller's mistake."""
    with pytest.raises(UsageError, match=re.escape("functions.anomaly.readings")):
        anomaly.encode_request(anomaly.INITIAL_STATE, [1.0] * count)


@pytest.mark.parametrize(
    "parameters",
    [
        Parameters(weight=0.0),
        Parameters(weight=1.1),
        Parameters(weight=math.nan),
        Parameters(deviations_max=0.0),
        Parameters(deviation_floor=0.0),
        Parameters(lower=1.0, upper=0.0),
        Parameters(upper=math.nan),
    ],
)
def test_parameters_out_of_range_are_refused_on_both_sides(parameters: Parameters) -> None:
    """The encoder refuses them, and the function itself would, had another encoder sent them."""
    with pytest.raises(UsageError, match=re.escape("functions.anomaly.parameters")):
        anomaly.encode_request(anomaly.INITIAL_STATE, [1.0], parameters)
    fields = (parameters.weight, parameters.deviations_max, parameters.deviation_floor)
    request = bytearray(anomaly.encode_request(anomaly.INITIAL_STATE, [1.0]))
    struct.pack_into("<5d", request, 8, *fields, parameters.lower, parameters.upper)
    assert anomaly.respond(bytes(request)) is None


def test_a_state_of_another_length_is_refused() -> None:
    """A state that no response carried is the caller's mistake."""
    with pytest.raises(UsageError, match=re.escape("functions.anomaly.state")):
        anomaly.encode_request(b"", [1.0])


def test_a_response_of_something_else_is_refused() -> None:
    """Truncated, empty and foreign bytes are no response."""
    request = anomaly.encode_request(anomaly.INITIAL_STATE, [1.0, 2.0])
    response = anomaly.respond(request)
    assert response is not None
    for wrong in (b"", response[:-1], response + b"\0", b"\0" + response[1:], request):
        with pytest.raises(PeerError, match=re.escape("functions.anomaly.response")):
            anomaly.decode_response(wrong)


def test_a_full_batch_is_about_a_kibibyte() -> None:
    """120 readings make a request of 1048 and a response of 1120 bytes."""
    request = anomaly.encode_request(anomaly.INITIAL_STATE, [1.0] * anomaly.READINGS_MAX)
    response = anomaly.respond(request)
    assert response is not None
    assert (len(request), len(response)) == (1048, 1120)
    assert (anomaly.REQUEST_BYTES_MAX, anomaly.RESPONSE_BYTES_MAX) == (1048, 1120)
