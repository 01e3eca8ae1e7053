"""The page about the detector says what was recorded, to the digit."""

from collections.abc import Iterator

import msgspec

from tests.tidy.reading import HOUSE

PAGE = HOUSE / "docs/explanation/what-the-detector-finds.md"
RESULTS = HOUSE / "benchmarks/results/anomaly.jsonl"

Detail = dict[str, str | int | float]


class Result(msgspec.Struct):
    """What of a line's result the page repeats."""

    metric: str
    n: int
    p50: float
    detail: Detail


class Line(msgspec.Struct):
    """A line of the results; a newer one of the same metric replaces it."""

    result: Result


def recorded(lines: bytes) -> dict[str, Result]:
    told = msgspec.json.Decoder(Line).decode_lines(lines)
    return {line.result.metric: line.result for line in told}


def file_rows(results: dict[str, Result]) -> Iterator[str]:
    """Yield the row of each file of the data set and the one of all."""
    for metric, result in results.items():
        name, _, detector = metric.partition(": ")
        if name.startswith("NAB") and detector == "default":
            limited = results[f"{name}: with limits"]
            cells = [
                name.removeprefix("NAB ").removeprefix("NAB, "),
                f"{result.n:,}",
                f"{result.detail['windows']}",
                f"{result.p50:.0f}",
                f"{float(result.detail['found_by_chance']):.1f}",
                f"{result.detail['false_episodes']}",
                f"{float(result.detail['flags_per_1000']):.1f}",
                f"{limited.p50:.0f}",
                f"{limited.detail['false_episodes']}",
            ]
            yield f"| {' | '.join(cells)} |"


def fault_rows(results: dict[str, Result]) -> Iterator[str]:
    """Yield the row of each kind of fault in each synthetic signal."""
    for metric, result in results.items():
        if "faults" in result.detail:
            name, _, kind = metric.removeprefix("synthetic ").partition(": ")
            cells = [
                name,
                kind,
                f"{result.detail['faults']}",
                f"{result.p50:.0f}",
                f"{result.detail['delay_readings_p50']}",
                f"{result.detail['ends_noticed']}",
            ]
            yield f"| {' | '.join(cells)} |"


def sentences(results: dict[str, Result]) -> Iterator[str]:
    """Yield the other figures of the page."""
    median = results["NAB, all files: rolling median"]
    yield (
        f"finds {median.p50:.0f} of the {median.detail['windows']} events, with "
        f"{median.detail['false_flags']:,} false flags in "
        f"{median.detail['false_episodes']} episodes"
    )
    sound = [result for name, result in results.items() if name.endswith("sound machine")]
    episodes = sum(int(each.detail["false_episodes"]) for each in sound)
    yield f"{sum(each.n for each in sound):,} readings of sound machines: {episodes} false alarm"


def test_the_page_repeats_the_results() -> None:
    """Each row and figure is that of the newest run; measure again, and the page must follow."""
    results = recorded(RESULTS.read_bytes())
    page = " ".join(PAGE.read_text("utf-8").split())
    told = [*file_rows(results), *fault_rows(results), *sentences(results)]
    assert len(told) >= 20
    assert not [row for row in told if row not in page]


def test_a_newer_line_counts() -> None:
    """A benchmark appends; the last line of a metric is what was measured."""
    line = b'{"result":{"metric":"a: default","n":%d,"p50":1.0,"detail":{}}}\n'
    assert recorded(line % 1 + line % 2)["a: default"].n == 2
