"""The built-in function, streaming anomaly detection: its bytes, and its arithmetic in Python.

The function keeps nothing between calls. A request is parameters, the state the last response
carried (or ``INITIAL_STATE``) and readings; the response is the new state and, per reading, a
score and flags. ``wat/anomaly.wat`` computes the same bytes: both use only IEEE 754 double
``+ - * /``, square root and comparison, in the same order.

Method: exponentially weighted mean and variance, updated with readings winsorised at
``deviations_max`` standard deviations; the score is how many of those a reading lies from the
mean. Hard limits and a run of equal readings (a stuck sensor) are flagged besides.
Source: Lucas and Saccucci 1990 (EWMA charts); winsorising as in Huber's robust estimation.

Request, little endian::

     0 u32 magic      4 u32 readings   8 f64 weight     16 f64 deviations_max
    24 f64 deviation_floor            32 f64 lower     40 f64 upper
    48 u32 warm_up_count              52 u32 stuck_count
    56 state (32)                     88 f64 per reading

Response: ``0 u32 magic, 4 u32 readings, 8 state (32), 40 f64 per score, then u8 per flags``.
State: ``0 u32 readings seen, 4 u32 equal in a row, 8 f64 mean, 16 f64 variance, 24 f64 last``.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag

import msgspec

from mutualedge.errors import PeerError, UsageError

READINGS_MAX = 120
"""Readings of one request: two minutes at one a second, which makes a request about 1 KiB."""

VALUE_MAX = 1e100
"""Larger magnitudes are no reading of any sensor, and their square must stay finite."""

MEAN_MAX = 2e100
VARIANCE_MAX = 1.6e201
"""What the state may hold: readings never drive it there, whatever their order."""

FLOOR_MIN = 1e-100
"""Smallest ``deviation_floor``: a score of ``VALUE_MAX`` over it is still finite."""

COUNT_MAX = 1 << 30
"""Counters stop here, far from overflow; after 30 years of readings at one a second."""

STATE_BYTES = 32
INITIAL_STATE = bytes(STATE_BYTES)
"""What a device's first request carries."""

MAGIC = 0x3141454D
"""``MEA1``: this layout."""

_HEADER = struct.Struct("<II5dII")
_STATE = struct.Struct("<IIddd")
_RESPONSE = struct.Struct("<II")

REQUEST_BYTES_MAX = _HEADER.size + STATE_BYTES + 8 * READINGS_MAX
RESPONSE_BYTES_MAX = _RESPONSE.size + STATE_BYTES + 9 * READINGS_MAX


class Flag(IntFlag):
    """Why a reading deserves attention; none set means that it does not."""

    DEVIATION = 1
    """Further from the mean than ``deviations_max`` standard deviations."""
    LIMIT = 2
    """Below ``lower`` or above ``upper``."""
    STUCK = 4
    """At least ``stuck_count`` equal readings in a row; they stop entering the state."""
    INVALID = 8
    """No number, infinite or beyond ``VALUE_MAX``; it does not enter the state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """How sensitive the detector is.

    Attributes:
        weight: Share of a new reading in mean and variance; 0.05 remembers about 20 readings.
        deviations_max: Standard deviations from the mean that are still normal.
        deviation_floor: Smallest standard deviation assumed, in the readings' unit: the
            sensor's resolution.
        lower: Readings below are flagged whatever came before; minus infinity for none.
        upper: Readings above are flagged whatever came before; infinity for none.
        warm_up_count: Readings to learn from before any is scored.
        stuck_count: Equal readings in a row that make a stuck sensor; 0 for never.
    """

    weight: float = 0.05
    deviations_max: float = 5.0
    deviation_floor: float = 1e-6
    lower: float = -math.inf
    upper: float = math.inf
    warm_up_count: int = 60
    stuck_count: int = 30


DEFAULTS = Parameters()
"""Measured on the signals of ``tests/unit/test_anomaly_quality.py``."""


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """What the function says about a batch; ``state`` belongs into the next request."""

    state: bytes
    scores: tuple[float, ...]
    flags: tuple[int, ...]


def encode_request(
    state: bytes, readings: Sequence[float], parameters: Parameters = DEFAULTS
) -> bytes:
    """Return the request for a batch of consecutive readings.

    Args:
        state: From the last response, or ``INITIAL_STATE``.
        readings: 1 to 120 values, oldest first; NaN and infinities are allowed and flagged.
        parameters: The same for every batch of a device.

    Raises:
        UsageError: Wrong number of readings, a state of another length, or a parameter out of
            its range.
    """
    if not 1 <= len(readings) <= READINGS_MAX:
        sentence = f"A batch has 1 to {READINGS_MAX} readings, this one {len(readings)}; split it."
        raise UsageError("functions.anomaly.readings", sentence)
    if len(state) != STATE_BYTES:
        sentence = f"A detector state has {STATE_BYTES} bytes, this one {len(state)}; start anew."
        raise UsageError("functions.anomaly.state", sentence)
    if not _parameters_are_valid(parameters):
        sentence = "weight in (0, 1], deviations_max and deviation_floor above 0, lower <= upper."
        raise UsageError("functions.anomaly.parameters", f"Detector parameters need {sentence}")
    header = _HEADER.pack(
        MAGIC,
        len(readings),
        parameters.weight,
        parameters.deviations_max,
        parameters.deviation_floor,
        parameters.lower,
        parameters.upper,
        parameters.warm_up_count,
        parameters.stuck_count,
    )
    return b"".join((header, state, struct.pack(f"<{len(readings)}d", *readings)))


def decode_response(response: bytes) -> Scored:
    """Return what a response says.

    Raises:
        PeerError: It is none; whoever ran the function ran another one.
    """
    count = 0
    if len(response) >= _RESPONSE.size:
        magic, count = _RESPONSE.unpack_from(response)
        count = count if magic == MAGIC else 0
    length_bytes = _RESPONSE.size + STATE_BYTES + 9 * count
    if not 1 <= count <= READINGS_MAX or len(response) != length_bytes:
        sentence = f"{len(response)} bytes are no response of the anomaly function."
        raise PeerError("functions.anomaly.response", sentence)
    state_end = _RESPONSE.size + STATE_BYTES
    return Scored(
        state=response[_RESPONSE.size : state_end],
        scores=struct.unpack_from(f"<{count}d", response, state_end),
        flags=tuple(response[state_end + 8 * count :]),
    )


@dataclass(slots=True, kw_only=True)
class _State:
    seen_count: int
    equal_count: int
    mean: float
    variance: float
    last: float


def respond(request: bytes) -> bytes | None:
    """Return the response to a request, byte for byte what the wasm function returns.

    Nothing comes back for bytes that are no request: the function refuses them.
    """
    if len(request) < _HEADER.size + STATE_BYTES:
        return None
    magic, count, *fields = _HEADER.unpack_from(request)
    weight, deviations_max, floor, lower, upper, warm_up_count, stuck_count = fields
    parameters = Parameters(
        weight=weight,
        deviations_max=deviations_max,
        deviation_floor=floor,
        lower=lower,
        upper=upper,
        warm_up_count=warm_up_count,
        stuck_count=stuck_count,
    )
    length_bytes = _HEADER.size + STATE_BYTES + 8 * count
    if magic != MAGIC or not 1 <= count <= READINGS_MAX or len(request) != length_bytes:
        return None
    seen_count, equal_count, mean, variance, last = _STATE.unpack_from(request, _HEADER.size)
    state = _State(
        seen_count=seen_count, equal_count=equal_count, mean=mean, variance=variance, last=last
    )
    if not _parameters_are_valid(parameters) or not _state_is_valid(state):
        return None
    readings = struct.unpack_from(f"<{count}d", request, _HEADER.size + STATE_BYTES)
    scored = [_score(reading, state, parameters) for reading in readings]
    return b"".join(
        (
            _RESPONSE.pack(MAGIC, count),
            _STATE.pack(
                state.seen_count, state.equal_count, state.mean, state.variance, state.last
            ),
            struct.pack(f"<{count}d", *(score for score, _ in scored)),
            bytes(flags for _, flags in scored),
        )
    )


def _parameters_are_valid(parameters: Parameters) -> bool:
    return (
        0.0 < parameters.weight <= 1.0
        and 0.0 < parameters.deviations_max <= VALUE_MAX
        and FLOOR_MIN <= parameters.deviation_floor <= VALUE_MAX
        and parameters.lower <= parameters.upper
    )


def _state_is_valid(state: _State) -> bool:
    """Tell whether the arithmetic stays finite; twice the largest reading leaves room to round."""
    return (
        state.seen_count <= COUNT_MAX
        and state.equal_count <= COUNT_MAX
        and -MEAN_MAX <= state.mean <= MEAN_MAX
        and 0.0 <= state.variance <= VARIANCE_MAX
        and -VALUE_MAX <= state.last <= VALUE_MAX
    )


def _score(reading: float, state: _State, parameters: Parameters) -> tuple[float, int]:
    """Return score and flags of the next reading and move the state on."""
    if not -VALUE_MAX <= reading <= VALUE_MAX:
        return 0.0, int(Flag.INVALID)
    flags = 0
    if reading < parameters.lower or reading > parameters.upper:
        flags |= Flag.LIMIT
    is_repeat = state.equal_count > 0 and reading == state.last
    state.equal_count = min(state.equal_count + 1, COUNT_MAX) if is_repeat else 1
    state.last = reading
    is_stuck = 0 < parameters.stuck_count <= state.equal_count
    if is_stuck:
        flags |= Flag.STUCK
    warm = state.seen_count >= parameters.warm_up_count
    difference = reading - state.mean
    spread = math.sqrt(state.variance)
    deviation = max(spread, parameters.deviation_floor)
    score = 0.0
    if warm:
        score = difference / deviation
        bound = parameters.deviations_max * deviation
        if abs(score) > parameters.deviations_max:
            flags |= Flag.DEVIATION
            difference = bound if difference > 0.0 else -bound
    if not is_stuck:
        _learn(difference, state, parameters.weight)
    return score, int(flags)


def _learn(difference: float, state: _State, weight: float) -> None:
    """Move mean and variance; the first readings count equally (Welford), later ones by weight."""
    share = max(weight, 1.0 / (state.seen_count + 1.0))
    step = share * difference
    state.mean = state.mean + step
    state.variance = (1.0 - share) * (state.variance + difference * step)
    state.seen_count = min(state.seen_count + 1, COUNT_MAX)
