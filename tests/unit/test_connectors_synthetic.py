import struct
from collections import Counter

import pytest

from mutualedge.connectors import Fault, FaultKind, Quantity, synthetic_signal
from mutualedge.errors import UsageError
from mutualedge.model import NS_PER_S, DeviceId
from mutualedge.signing import digest_of

HEIGHT_RESOLVED = {"temperature": 0.01, "vibration": 0.001}
NOISE = {"temperature": 0.3, "vibration": 0.08}


@pytest.mark.parametrize(
    ("quantity", "digest"),
    [("temperature", "8d47ee630cc2f5ce"), ("vibration", "5e57e5db1bcfff65")],
)
def test_a_seed_gives_these_very_readings(quantity: Quantity, digest: str) -> None:
    """Everywhere and always: results that name a seed can be repeated."""
    signal = synthetic_signal(seed=1, quantity=quantity)
    values = signal.series.values
    assert digest_of(struct.pack(f"<{len(values)}d", *values))[:16] == digest


def test_faults_of_every_kind_are_labelled_in_order() -> None:
    """As many as asked for, apart from each other, none on the first day."""
    signal = synthetic_signal(seed=7, faults_per_kind=3)
    assert Counter(fault.kind for fault in signal.faults) == {
        "spike": 3,
        "step": 3,
        "drift": 3,
        "stuck": 3,
    }
    edges = [edge for fault in signal.faults for edge in (fault.start_index, fault.end_index)]
    assert edges == sorted(edges)
    assert edges[0] >= 1_440
    assert edges[-1] <= len(signal.series.values)


def heights(fault: Fault, quantity: Quantity, seed: int) -> list[float]:
    """Return how far a fault's readings are from those of the sound machine, in noise."""
    faulty = synthetic_signal(seed=seed, quantity=quantity).series.values
    sound = synthetic_signal(seed=seed, quantity=quantity, faults_per_kind=0).series.values
    return [
        (faulty[index] - sound[index]) / NOISE[quantity]
        for index in range(fault.start_index, fault.end_index)
    ]


def first_fault(kind: FaultKind, quantity: Quantity, seed: int) -> Fault:
    faults = synthetic_signal(seed=seed, quantity=quantity).faults
    return next(fault for fault in faults if fault.kind == kind)


@pytest.mark.parametrize("quantity", ["temperature", "vibration"])
def test_each_kind_does_what_its_label_says(quantity: Quantity) -> None:
    """A spike is one reading, a step stays, a drift grows to its height."""
    rounding = 2 * HEIGHT_RESOLVED[quantity] / NOISE[quantity]
    spike, step, drift = (first_fault(kind, quantity, 3) for kind in ("spike", "step", "drift"))
    assert heights(spike, quantity, 3) == pytest.approx([spike.deviations], abs=rounding)
    assert heights(step, quantity, 3) == pytest.approx([step.deviations] * 180, abs=rounding)
    grown = [drift.deviations * number / 360 for number in range(1, 361)]
    assert heights(drift, quantity, 3) == pytest.approx(grown, abs=rounding)


def test_a_stuck_sensor_repeats_its_last_reading() -> None:
    """Its first reading is still a true one."""
    fault = first_fault("stuck", "temperature", 3)
    values = synthetic_signal(seed=3).series.values
    assert len(set(values[fault.start_index : fault.end_index])) == 1
    assert fault.end_index - fault.start_index == 90
    sound = synthetic_signal(seed=3, faults_per_kind=0).series.values
    assert values[fault.start_index] == sound[fault.start_index]


def test_a_short_signal_holds_short_faults() -> None:
    """The least length has a quiet start and faults that a detector can still find."""
    signal = synthetic_signal(seed=1, readings_count=640, faults_per_kind=1)
    assert signal.faults[0].start_index >= 128
    assert {fault.kind: fault.end_index - fault.start_index for fault in signal.faults} == {
        "spike": 1,
        "step": 64,
        "drift": 64,
        "stuck": 64,
    }


def test_a_series_says_whose_and_when() -> None:
    """Device and interval are the caller's; it begins on a Monday at midnight."""
    signal = synthetic_signal(
        seed=1, device=DeviceId("press"), readings_count=3, interval_s=10, faults_per_kind=0
    )
    assert signal.series.device == "press"
    assert signal.series.instants[-1] == "2026-01-05T00:00:20.000Z"
    assert signal.series.interval_ns == 10 * NS_PER_S


@pytest.mark.parametrize(
    ("readings_count", "interval_s", "faults_per_kind", "code"),
    [
        (639, 60, 1, "connectors.synthetic.room"),
        (0, 60, 0, "connectors.synthetic.room"),
        (100, 0, 0, "connectors.synthetic.range"),
        (100, 60, -1, "connectors.synthetic.range"),
    ],
)
def test_what_cannot_be_made_is_refused(
    readings_count: int, interval_s: int, faults_per_kind: int, code: str
) -> None:
    """Faults without room between them would be one fault."""
    with pytest.raises(UsageError, match=code.replace(".", r"\.")):
        synthetic_signal(
            seed=1,
            readings_count=readings_count,
            interval_s=interval_s,
            faults_per_kind=faults_per_kind,
        )
