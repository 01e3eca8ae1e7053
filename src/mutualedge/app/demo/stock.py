"""What each device of the rehearsal has to report: batches of a file's or a synthetic signal's."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from mutualedge.app.demo.day import INVOCATIONS_MAX, Day, first_batches
from mutualedge.app.devices import new_invocation
from mutualedge.connectors import Fault, Series, synthetic_signal
from mutualedge.errors import UsageError
from mutualedge.model import DeviceId, EnterpriseId, InvocationId
from mutualedge.protocol import READINGS_MAX

DEVICES_MIN = 8
"""Devices of an enterprise; more where more report at once."""

SYNTHETIC_READINGS = 60
"""In a batch of a synthetic device: an hour of one a minute."""

SYNTHETIC_READINGS_MIN = 720
"""Readings of a signal at least: room for one fault of each kind."""

SPARE_TURNS = 2
"""Batches made beyond a device's share: it also reports for others that are busy."""

STEP_INVOCATIONS = 10
"""How exactly we say what number of invocations sends a whole file."""

READINGS_PER_FAULT = 4_032
"""A fault of each kind in less than three days of minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Consecutive readings that are scored together; its identity makes a repeat the same question.

    Attributes:
        start: Index of its first reading in the series.
    """

    invocation: InvocationId
    start: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What became of a batch."""

    batch: Batch
    scores: tuple[float, ...]
    flags: tuple[int, ...]


@dataclass(slots=True, kw_only=True, eq=False)
class Device:
    """One device, its readings, and how far they are scored: in order, one batch at a time.

    Attributes:
        label: Name of the file, or of the synthetic machine.
        readings_max: How many of its readings are sent at most.
        faults: Labels of a synthetic signal; none for a file.
        last_turn: When it reported last; who waited longest is next.
    """

    label: str
    series: Series
    is_synthetic: bool
    batch_readings: int
    readings_max: int
    faults: tuple[Fault, ...] = ()
    scored: list[Scores] = field(default_factory=list)
    last_turn: int = 0
    is_busy: bool = False
    _waiting: Batch | None = None

    @property
    def name(self) -> DeviceId:
        """How its node knows it."""
        return self.series.device

    @property
    def scored_readings(self) -> int:
        """How many of its readings have a result."""
        return sum(len(each.scores) for each in self.scored)

    @property
    def is_done(self) -> bool:
        """Whether it has nothing left to send."""
        return self.scored_readings >= self.readings_max

    def next_batch(self) -> Batch:
        """Return what is to be sent now: a batch without result again, with the same identity."""
        if self._waiting is None:
            start = self.scored_readings
            end = min(start + self.batch_readings, self.readings_max)
            self._waiting = Batch(
                invocation=new_invocation(), start=start, values=self.series.values[start:end]
            )
        return self._waiting

    def take(self, scores: tuple[float, ...], flags: tuple[int, ...]) -> None:
        """Keep the result of the batch sent last; the next one may follow."""
        assert self._waiting is not None, "only what was sent has a result"
        self.scored.append(Scores(batch=self._waiting, scores=scores, flags=flags))
        self._waiting = None

    def flagged_within(self, start: int, end: int) -> bool:
        """Tell whether any of these readings was flagged."""
        return any(
            any(each.flags[max(0, start - each.batch.start) : max(0, end - each.batch.start)])
            for each in self.scored
        )

    def anomalies(self) -> Iterator[tuple[str, float, int]]:
        """Yield instant, score and flags of each reading that was flagged."""
        for each in self.scored:
            for offset, (score, flags) in enumerate(zip(each.scores, each.flags, strict=True)):
                if flags:
                    yield self.series.instants[each.batch.start + offset], score, flags


Devices = Mapping[EnterpriseId, Sequence[Device]]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A series and the file it comes from."""

    path: Path
    series: Series


def verify_files(files: Sequence[File]) -> None:
    """Refuse files whose devices could not be told apart.

    Raises:
        UsageError: Two of them name the same device.
    """
    known: dict[DeviceId, Path] = {}
    for file in files:
        other = known.setdefault(file.series.device, file.path)
        if other is not file.path:
            sentence = (
                f"{other} and {file.path} would both be device '{file.series.device}'; "
                "rename one of them."
            )
            raise UsageError("demo.input.same-device", sentence)


def stock_devices(day: Day, files: Sequence[File], seed: int) -> dict[EnterpriseId, list[Device]]:
    """Return each enterprise's devices: the files go round, synthetic ones fill up."""
    chance = Random(seed)  # noqa: S311 - which synthetic readings are made is no secret
    devices: dict[EnterpriseId, list[Device]] = {}
    for place, name in enumerate(day.turns):
        own = files[place :: len(day.turns)]
        quotas = first_batches(day.ticks[name], [_batches(each.series) for each in own])
        real = [_from_file(file, quota) for file, quota in zip(own, quotas, strict=True)]
        wanted = max(DEVICES_MIN, day.together_max) - len(real)
        turns = len(day.turns[name]) - sum(quotas)
        synthetic = [
            _synthetic(name, number, -(-turns // wanted), chance.getrandbits(64))
            for number in range(wanted)
        ]
        devices[name] = real + synthetic
    return devices


def _batches(series: Series) -> int:
    return -(-len(series.values) // READINGS_MAX)


def _from_file(file: File, quota: int) -> Device:
    return Device(
        label=file.path.stem,
        series=file.series,
        is_synthetic=False,
        batch_readings=READINGS_MAX,
        readings_max=min(len(file.series.values), quota * READINGS_MAX),
    )


def _synthetic(enterprise: EnterpriseId, number: int, turns: int, seed: int) -> Device:
    readings_count = max(SYNTHETIC_READINGS_MIN, (turns + SPARE_TURNS) * SYNTHETIC_READINGS)
    name = DeviceId(f"synthetic-{enterprise}-{number + 1}")
    signal = synthetic_signal(
        seed=seed,
        device=name,
        quantity="vibration" if number % 2 else "temperature",
        readings_count=readings_count,
        faults_per_kind=max(1, readings_count // READINGS_PER_FAULT),
    )
    return Device(
        label=name,
        series=signal.series,
        is_synthetic=True,
        batch_readings=SYNTHETIC_READINGS,
        readings_max=readings_count,
        faults=signal.faults,
    )


def invocations_for_all(series: Sequence[Series], plan: Callable[[int], Day]) -> int | None:
    """Return about the least number of invocations of a day that has room for all readings.

    Args:
        series: Of the files, in their order.
        plan: Returns the day of so many invocations.

    Returns:
        The number, or nothing if no day is long enough.
    """
    if not _has_room(plan(INVOCATIONS_MAX), series):
        return None
    too_few, enough = 0, INVOCATIONS_MAX
    while enough - too_few > STEP_INVOCATIONS:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if _has_room(plan(middle), series) else (middle, enough)
    return enough


def _has_room(day: Day, series: Sequence[Series]) -> bool:
    for place, name in enumerate(day.ticks):
        batches = [_batches(each) for each in series[place :: len(day.ticks)]]
        if first_batches(day.ticks[name], batches) != batches:
            return False
    return True
