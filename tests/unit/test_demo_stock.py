from dataclasses import replace
from pathlib import Path

import pytest

from mutualedge.app.demo.cast import CANDY, LOGISTICS, MACHINES, REPORTING
from mutualedge.app.demo.day import Day, first_batches, plan_day
from mutualedge.app.demo.stock import (
    DEVICES_MIN,
    Device,
    File,
    invocations_for_all,
    stock_devices,
    verify_files,
)
from mutualedge.connectors import Series, synthetic_signal
from mutualedge.errors import UsageError
from mutualedge.functions.anomaly import Flag
from mutualedge.model import DeviceId
from mutualedge.protocol import READINGS_MAX


def plan(invocations: int) -> Day:
    return plan_day(REPORTING, invocations=invocations, load=1.0, seed=1)


def series_of(count: int, device: str = "press") -> Series:
    signal = synthetic_signal(
        seed=1, device=DeviceId(device), readings_count=count, faults_per_kind=0
    )
    return signal.series


def file_of(count: int, device: str = "press") -> File:
    return File(path=Path(f"/data/{device}.csv"), series=series_of(count, device))


def device_of(count: int) -> Device:
    (device,) = (
        each
        for each in stock_devices(plan(430), [file_of(count)], 1)[CANDY]
        if not each.is_synthetic
    )
    return device


def answer(device: Device, flags: int = 0) -> int:
    """Score a device's next batch; return where it began."""
    batch = device.next_batch()
    device.take((1.5,) * len(batch.values), (flags,) * len(batch.values))
    return batch.start


def test_readings_are_sent_once_and_in_order() -> None:
    """Batches follow each other without gap, the last one is shorter, then the device is done."""
    device = device_of(2 * READINGS_MAX + 7)
    sent: list[float] = []
    while not device.is_done:
        sent += device.next_batch().values
        answer(device)
    assert tuple(sent) == device.series.values
    assert [len(each.scores) for each in device.scored] == [READINGS_MAX, READINGS_MAX, 7]


def test_what_got_no_result_is_the_same_question_again() -> None:
    """Until its result comes a batch is sent under one identity, so that it is charged once."""
    device = device_of(500)
    first = device.next_batch()
    assert device.next_batch() is first
    answer(device)
    assert device.next_batch().invocation != first.invocation


def test_anomalies_carry_the_instant_of_their_reading() -> None:
    """The timestamp is the file's own text, of the reading and not of its batch."""
    device = device_of(200)
    answer(device)
    batch = device.next_batch()
    flags = tuple(int(Flag.DEVIATION) if index == 3 else 0 for index in range(len(batch.values)))
    device.take(tuple(map(float, range(len(batch.values)))), flags)
    assert list(device.anomalies()) == [(device.series.instants[READINGS_MAX + 3], 3.0, 1)]
    assert device.flagged_within(READINGS_MAX + 3, READINGS_MAX + 4)
    assert not device.flagged_within(0, READINGS_MAX + 3)
    assert not device.flagged_within(READINGS_MAX + 4, 200)


def test_files_go_round_and_synthetic_devices_fill_up() -> None:
    """Each enterprise has its share of the files and enough devices for its peak."""
    files = [file_of(500, f"press-{number}") for number in range(4)]
    devices = stock_devices(plan(430), files, 1)
    real = {
        name: [each.label for each in own if not each.is_synthetic] for name, own in devices.items()
    }
    assert real == {CANDY: ["press-0", "press-3"], MACHINES: ["press-1"], LOGISTICS: ["press-2"]}
    assert all(len(own) == DEVICES_MIN for own in devices.values())
    names = [each.name for own in devices.values() for each in own]
    assert len(set(names)) == len(names)
    assert all("synthetic" in each.name for each in devices[CANDY][2:])


def test_a_long_file_is_cut_to_what_the_day_has_room_for() -> None:
    """One batch a tick of the usual day: 48 of them; the number that sends all is named."""
    assert device_of(7_000).readings_max == 48 * READINGS_MAX
    assert device_of(300).readings_max == 300
    enough = invocations_for_all([series_of(7_000)], plan)
    assert enough is not None
    batches = [-(-7_000 // READINGS_MAX)]
    assert first_batches(plan(enough).ticks[CANDY], batches) == batches
    assert first_batches(plan(enough - 20).ticks[CANDY], batches) != batches


def test_a_file_too_long_for_any_day_says_so() -> None:
    """No number is promised that does not do it."""
    short = series_of(10)
    values = short.values[:1] * 1_000_000
    endless = replace(
        short, instants=("",) * len(values), instants_ns=tuple(range(len(values))), values=values
    )
    assert invocations_for_all([endless], plan) is None


def test_synthetic_devices_have_more_than_their_share() -> None:
    """No turn of the day finds nothing to send."""
    day = plan(430)
    for name, own in stock_devices(day, [], 1).items():
        batches = [-(-each.readings_max // each.batch_readings) for each in own]
        assert sum(batches) >= len(day.turns[name]) + len(own)


def test_a_seed_decides_the_synthetic_readings() -> None:
    """The same seed gives the same signals; no two devices, and no two seeds, share one."""
    first, again, other = (stock_devices(plan(430), [], seed)[CANDY] for seed in (5, 5, 6))
    assert [each.series for each in first] == [each.series for each in again]
    assert len({each.series.values for each in (*first, *other)}) == len(first) + len(other)
    assert all(each.faults for each in first)


def test_two_files_of_one_device_are_refused() -> None:
    """Their readings would mix in one detector."""
    verify_files([file_of(10, "press"), file_of(10, "oven")])
    with pytest.raises(UsageError) as refused:
        verify_files([file_of(10, "press"), file_of(10, "press")])
    assert refused.value.code == "demo.input.same-device"
