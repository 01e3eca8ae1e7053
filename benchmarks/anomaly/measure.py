"""Put every labelled signal through the wasm function as the runner does, and compare."""

import sys
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence

from benchmarks.anomaly.judging import Verdict, Window, judge
from benchmarks.anomaly.nab import FOLDER, Labelled, labelled_files
from benchmarks.lines import Detail, Metric, quantile
from mutualedge.adapters.wasm import WasmRuntime
from mutualedge.connectors import Fault, FaultKind, Quantity, SyntheticSignal, synthetic_signal
from mutualedge.functions import anomaly, anomaly_bundle
from mutualedge.functions.anomaly import Parameters

SEEDS = 10
"""Signals of each quantity: fifty faults of each kind in twenty weeks of minutes."""

KINDS: tuple[FaultKind, ...] = ("spike", "step", "drift", "stuck")
QUANTITIES: tuple[Quantity, ...] = ("temperature", "vibration")

AFTERMATH_READINGS = 60
"""Three times what the mean remembers: the end of a fault is a change of its own."""

LEARNED_SHARE = 0.15
"""Of a file, from which limits are taken: what the data set calls its probationary period."""

LIMIT_MARGIN = 0.25
"""Of the span seen in it, added at either end."""

MEDIAN_READINGS = 240
MEDIAN_DEVIATIONS = 6.0
MAD_PER_DEVIATION = 1.4826
"""A rolling median and median absolute deviation, the usual robust alternative; bell-shaped
noise deviates by 1.4826 of the latter."""

Detector = Callable[[Sequence[float]], list[int]]


def run() -> list[Metric]:
    """Return what is found in the data set, by default and otherwise, and in synthetic signals."""
    files = list(labelled_files())
    if not files:
        sys.stderr.write(f"anomaly: no data set in {FOLDER}; only synthetic signals are judged.\n")
    return [*_on_files(files), *(line for each in QUANTITIES for line in _on_synthetic(each))]


def default_flags(values: Sequence[float]) -> list[int]:
    """Return the flags as a node asks for them."""
    return _flags(values, anomaly.DEFAULTS)


def limited_flags(values: Sequence[float]) -> list[int]:
    """Return the flags with limits as an operator may take them from a log that was sound."""
    known = values[: int(len(values) * LEARNED_SHARE)]
    margin = LIMIT_MARGIN * (max(known) - min(known))
    return _flags(values, Parameters(lower=min(known) - margin, upper=max(known) + margin))


def median_flags(values: Sequence[float]) -> list[int]:
    """Return the alarms of the rolling median, which is not ours."""
    window: list[float] = []
    ordered: list[float] = []
    flags: list[int] = []
    for value in values:
        flags.append(int(_is_far_from_median(value, ordered)))
        window.append(value)
        insort(ordered, value)
        if len(window) > MEDIAN_READINGS:
            ordered.pop(bisect_left(ordered, window.pop(0)))
    return flags


def _is_far_from_median(value: float, ordered: Sequence[float]) -> bool:
    if len(ordered) < anomaly.DEFAULTS.warm_up_count:
        return False
    median = quantile(ordered, 0.5)
    spread = MAD_PER_DEVIATION * quantile(sorted(abs(each - median) for each in ordered), 0.5)
    return abs(value - median) > MEDIAN_DEVIATIONS * max(spread, anomaly.DEFAULTS.deviation_floor)


DETECTORS: dict[str, Detector] = {
    "default": default_flags,
    "with limits": limited_flags,
    "rolling median": median_flags,
}


def _flags(values: Sequence[float], parameters: Parameters) -> list[int]:
    """Return the flags of a whole signal, batch by batch through the product's own module."""
    function = WasmRuntime().load(anomaly_bundle())
    state, flags = anomaly.INITIAL_STATE, list[int]()
    for start in range(0, len(values), anomaly.READINGS_MAX):
        batch = values[start : start + anomaly.READINGS_MAX]
        execution = function.run(anomaly.encode_request(state, batch, parameters))
        assert execution.status == "ok", execution.status
        scored = anomaly.decode_response(execution.output)
        state = scored.state
        flags += scored.flags
    return flags


def _on_files(files: Sequence[Labelled]) -> Iterator[Metric]:
    """Yield a line per file and detector, and one for all files after each detector."""
    for name, detector in DETECTORS.items() if files else ():
        verdicts = [judge(detector(each.series.values), each.windows) for each in files]
        for each, verdict in zip(files, verdicts, strict=True):
            yield _line(f"NAB {each.name}: {name}", len(each.series.values), [verdict])
        yield _line(
            f"NAB, all files: {name}", sum(len(each.series.values) for each in files), verdicts
        )


def _line(metric: str, readings_count: int, verdicts: Sequence[Verdict]) -> Metric:
    """Return the line of one file or of several."""
    delays = [delay for verdict in verdicts for delay in verdict.delays]
    alarms = sum(verdict.alarms for verdict in verdicts)
    detail: Detail = {
        "windows": len(delays),
        "found_by_chance": round(sum(verdict.by_chance for verdict in verdicts), 2),
        "delay_readings": ", ".join(_told(delay) for delay in delays),
        "flags": alarms,
        "flags_per_1000": round(1_000 * alarms / readings_count, 2),
        "false_flags": sum(verdict.false_alarms for verdict in verdicts),
        "false_episodes": sum(verdict.false_episodes for verdict in verdicts),
    }
    found = float(sum(verdict.found for verdict in verdicts))
    return Metric(metric=metric, n=readings_count, unit="windows found", p50=found, detail=detail)


def _told(delay: int | None) -> str:
    return "missed" if delay is None else str(delay)


def _on_synthetic(quantity: Quantity) -> Iterator[Metric]:
    """Yield a line per kind of fault and one for the sound machine."""
    signals = [synthetic_signal(seed=seed, quantity=quantity) for seed in range(SEEDS)]
    flags = [default_flags(each.series.values) for each in signals]
    for kind in KINDS:
        yield _kind_line(quantity, kind, signals, flags)
    verdicts = [
        judge(told, [_window(fault) for fault in signal.faults], AFTERMATH_READINGS)
        for signal, told in zip(signals, flags, strict=True)
    ]
    sound = [
        synthetic_signal(seed=seed, quantity=quantity, faults_per_kind=0) for seed in range(SEEDS)
    ]
    sound_verdicts = [judge(default_flags(each.series.values), ()) for each in sound]
    yield _false_line(f"synthetic {quantity}: between faults", signals, verdicts)
    yield _false_line(f"synthetic {quantity}: sound machine", sound, sound_verdicts)


def _window(fault: Fault) -> Window:
    return Window(start_index=fault.start_index, end_index=fault.end_index)


def _kind_line(
    quantity: Quantity,
    kind: FaultKind,
    signals: Sequence[SyntheticSignal],
    flags: Sequence[Sequence[int]],
) -> Metric:
    faults = [[fault for fault in each.faults if fault.kind == kind] for each in signals]
    verdicts = [
        judge(told, [_window(fault) for fault in each], AFTERMATH_READINGS)
        for told, each in zip(flags, faults, strict=True)
    ]
    deviations = [abs(fault.deviations) for each in faults for fault in each]
    delays = [delay for verdict in verdicts for delay in verdict.delays]
    missed = [size for size, delay in zip(deviations, delays, strict=True) if delay is None]
    found = sorted(delay for delay in delays if delay is not None)
    detail: Detail = {
        "faults": len(delays),
        "delay_readings_p50": quantile(found, 0.5) if found else "missed",
        "delay_readings_max": found[-1] if found else "missed",
        "largest_missed_deviations": round(max(missed, default=0.0), 1),
        "ends_noticed": sum(verdict.ends_noticed for verdict in verdicts),
    }
    return Metric(
        metric=f"synthetic {quantity}: {kind}",
        n=sum(len(told) for told in flags),
        unit="faults found",
        p50=float(len(found)),
        detail=detail,
    )


def _false_line(
    metric: str, signals: Sequence[SyntheticSignal], verdicts: Sequence[Verdict]
) -> Metric:
    count = sum(len(each.series.values) for each in signals)
    false = sum(verdict.false_alarms for verdict in verdicts)
    detail: Detail = {"false_episodes": sum(verdict.false_episodes for verdict in verdicts)}
    return Metric(
        metric=metric,
        n=count,
        unit="false flags per 1000 readings",
        p50=round(1_000 * false / count, 3),
        detail=detail,
    )
