"""A synthetic machine signal with faults whose places are known: to try out and to measure with.

Synthetic means that no machine made it, and whoever shows it says so. A temperature follows the
day in a smooth wave; a vibration is high while two shifts work and low at night. Both carry a
slow wave of the machine's own cycle and bell-shaped noise, and are rounded to what a sensor
resolves. Only ``+ - * /`` make it, so that a seed gives the same readings on every machine.

Faults are dealt out evenly: the signal after its first day is cut into as many slots as there are
faults, each begins in the first half of its slot, and a seeded shuffle says which is where.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from mutualedge.connectors.series import Series
from mutualedge.errors import UsageError
from mutualedge.model import NS_PER_S, DeviceId, format_instant

Quantity = Literal["temperature", "vibration"]
FaultKind = Literal["spike", "step", "drift", "stuck"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

SYNTHETIC_DEVICE = DeviceId("synthetic")

MINUTES_PER_DAY = 1_440
READINGS_COUNT = 14 * MINUTES_PER_DAY
INTERVAL_S = 60
START_NS = 1_767_571_200 * NS_PER_S
"""Monday, 2026-01-05, midnight UTC: any day would do, as long as it is always the same."""

FAULT_READINGS: dict[FaultKind, int] = {"spike": 1, "step": 180, "drift": 360, "stuck": 90}
"""How long each lasts at most: a jam of three hours, a bearing that wears for six."""

DEVIATIONS_MIN, DEVIATIONS_MAX = 8.0, 40.0
"""How far a spike, a step or the end of a drift leads, in standard deviations of the noise."""

SLOT_READINGS_MIN = 128
"""In half of it a stuck sensor repeats itself often enough to be told from chance."""

QUIET_READINGS_MIN = 128
"""Without a fault at the start, so that a detector can learn; a day where there is room for it."""

_UNIFORM_STEPS = 1 << 53


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What a quantity looks like, in its unit.

    Attributes:
        base: Around which it moves.
        day: How far it leads away from that in a day.
        works_in_shifts: The day is on or off, instead of a wave.
        cycle: How far in a cycle of the machine.
        noise: Standard deviation of what nobody can explain.
        decimals: That the sensor resolves.
    """

    base: float
    day: float
    works_in_shifts: bool
    cycle: float
    noise: float
    decimals: int


_SHAPES: dict[Quantity, _Shape] = {
    "temperature": _Shape(
        base=55.0, day=8.0, works_in_shifts=False, cycle=0.6, noise=0.3, decimals=2
    ),
    "vibration": _Shape(base=2.8, day=1.2, works_in_shifts=True, cycle=0.1, noise=0.08, decimals=3),
}
"""Degrees Celsius of a motor's winding; millimetres a second of a bearing."""

CYCLE_READINGS = 97
"""No divisor of a day, so that no two days are alike."""

_RAMP_MINUTES = 45
_SHIFT_MINUTES = (6 * 60, 22 * 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with the readings from ``start_index`` up to, without, ``end_index``.

    Attributes:
        kind: A spike leads away for one reading, a step for all, a drift further and further;
            a stuck sensor repeats its last reading.
        start_index: The first faulty reading.
        end_index: The first good one after it.
        deviations: How far it leads away at most, signed, in standard deviations of the noise;
            0 if stuck.
    """

    kind: FaultKind
    start_index: int
    end_index: int
    deviations: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSignal:
    """Readings that no machine made, and where the faults in them are, in order."""

    series: Series
    quantity: Quantity
    faults: tuple[Fault, ...]


def synthetic_signal(
    *,
    seed: int,
    device: DeviceId = SYNTHETIC_DEVICE,
    quantity: Quantity = "temperature",
    readings_count: int = READINGS_COUNT,
    interval_s: int = INTERVAL_S,
    faults_per_kind: int = 5,
) -> SyntheticSignal:
    """Return the signal of a seed; the same arguments give the same readings everywhere.

    Args:
        seed: Any integer.
        device: Whose readings these shall be.
        quantity: Motor temperature in degrees Celsius or bearing vibration in mm/s.
        readings_count: Two weeks of minutes by default.
        interval_s: Time between two readings, seconds.
        faults_per_kind: How many spikes, steps, drifts and stuck sensors; 0 for a sound machine.

    Raises:
        UsageError: Too few readings to hold the faults apart, or a number below its least.
    """
    _verify_room(readings_count, interval_s, faults_per_kind)
    chance = _Chance(seed)
    shape = _SHAPES[quantity]
    values = [
        _sound(shape, index * interval_s // 60, index, chance) for index in range(readings_count)
    ]
    faults = tuple(_faults(readings_count, faults_per_kind, chance))
    for fault in faults:
        _plant(fault, shape.noise, values)
    instants_ns = tuple(START_NS + index * interval_s * NS_PER_S for index in range(readings_count))
    series = Series(
        device=device,
        instants=tuple(map(format_instant, instants_ns)),
        instants_ns=instants_ns,
        values=tuple(round(value, shape.decimals) for value in values),
        interval_ns=interval_s * NS_PER_S,
        gaps=(),
    )
    return SyntheticSignal(series=series, quantity=quantity, faults=faults)


def _verify_room(readings_count: int, interval_s: int, faults_per_kind: int) -> None:
    faults_count = len(FAULT_KINDS) * faults_per_kind
    needed = max(1, QUIET_READINGS_MIN + SLOT_READINGS_MIN * faults_count if faults_count else 1)
    if interval_s < 1 or faults_per_kind < 0:
        sentence = "A synthetic signal needs interval_s of 1 and faults_per_kind of 0 or more."
        raise UsageError("connectors.synthetic.range", sentence)
    if readings_count < needed:
        sentence = (
            f"{readings_count} readings do not hold {faults_count} faults apart; "
            f"ask for {needed} or more, or for fewer faults."
        )
        raise UsageError("connectors.synthetic.room", sentence)


class _Chance:
    """A stream of numbers that a seed determines (SplitMix64, Steele, Lea and Flood 2014)."""

    def __init__(self, seed: int) -> None:
        self._state = seed & 0xFFFF_FFFF_FFFF_FFFF

    def below(self, bound: int) -> int:
        """Return an integer from 0 up to, without, a bound far below 2^64."""
        return self._next() % bound

    def uniform(self) -> float:
        """Return a number from 0 up to, without, 1."""
        return (self._next() >> 11) / _UNIFORM_STEPS

    def bell(self) -> float:
        """Return noise of mean 0 and deviation 1, never beyond 6: twelve uniform numbers added.

        Added as integers: how floats add up differs between versions of Python.
        """
        return sum(self._next() >> 11 for _ in range(12)) / _UNIFORM_STEPS - 6.0

    def _next(self) -> int:
        self._state = (self._state + 0x9E37_79B9_7F4A_7C15) & 0xFFFF_FFFF_FFFF_FFFF
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58_476D_1CE4_E5B9) & 0xFFFF_FFFF_FFFF_FFFF
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D0_49BB_1331_11EB) & 0xFFFF_FFFF_FFFF_FFFF
        return mixed ^ (mixed >> 31)


def _sound(shape: _Shape, minute: int, index: int, chance: _Chance) -> float:
    """Return what a sound machine reads."""
    own = _parabola((index % CYCLE_READINGS) / CYCLE_READINGS)
    minute %= MINUTES_PER_DAY
    day = _shifts(minute) if shape.works_in_shifts else _parabola(minute / MINUTES_PER_DAY)
    return shape.base + shape.day * day + shape.cycle * own + shape.noise * chance.bell()


def _shifts(minute: int) -> float:
    """Return how busy a minute of the day is, -1 to 1: two shifts, with a ramp at either end."""
    start, end = _SHIFT_MINUTES
    into = max(0.0, min(1.0, (minute - start) / _RAMP_MINUTES, (end - minute) / _RAMP_MINUTES))
    return into * 2.0 - 1.0


def _parabola(turn: float) -> float:
    """Return a wave of height 1 at a place in its turn (0 to 1): two parabolas, nearly a sine."""
    half = turn * 2.0 % 1.0
    height = 4.0 * half * (1.0 - half)
    return height if turn < 0.5 else -height


def _faults(readings_count: int, faults_per_kind: int, chance: _Chance) -> Iterator[Fault]:
    """Yield the faults from first to last."""
    kinds = list(FAULT_KINDS * faults_per_kind)
    for last in range(len(kinds) - 1, 0, -1):  # Fisher and Yates
        other = chance.below(last + 1)
        kinds[last], kinds[other] = kinds[other], kinds[last]
    if not kinds:
        return
    room = readings_count - SLOT_READINGS_MIN * len(kinds)
    quiet = min(MINUTES_PER_DAY, max(QUIET_READINGS_MIN, room))
    slot = (readings_count - quiet) // len(kinds)
    for number, kind in enumerate(kinds):
        start = quiet + number * slot + chance.below(slot // 2)
        length = min(FAULT_READINGS[kind], slot // 2)
        deviations = DEVIATIONS_MIN + (DEVIATIONS_MAX - DEVIATIONS_MIN) * chance.uniform()
        signed = deviations if chance.below(2) else -deviations
        yield Fault(
            kind=kind,
            start_index=start,
            end_index=start + length,
            deviations=0.0 if kind == "stuck" else signed,
        )


def _plant(fault: Fault, noise: float, values: list[float]) -> None:
    """Make readings faulty."""
    length = fault.end_index - fault.start_index
    height = fault.deviations * noise
    for index in range(fault.start_index, fault.end_index):
        match fault.kind:
            case "spike" | "step":
                values[index] += height
            case "drift":
                values[index] += height * (index - fault.start_index + 1) / length
            case "stuck":
                values[index] = values[fault.start_index]
