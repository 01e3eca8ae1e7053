"""The part of the Numenta Anomaly Benchmark that lies beside the project, if it does."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.anomaly.judging import Window
from mutualedge.app.readings import read_series
from mutualedge.connectors import Series, parse_readings

FOLDER = Path(__file__).parents[3] / "shared/data/nab"
LABELS = "combined_windows.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One file of the data set and the windows that its authors drew around known events."""

    name: str
    series: Series
    windows: tuple[Window, ...]


def labelled_files() -> Iterator[Labelled]:
    """Yield the files in the order of their names; none if the data set is not here.

    Clocks are set back in two of the files, so readings that are not later than the one before
    are left out, as ``--skip-invalid`` does.
    """
    if not FOLDER.is_dir():
        return
    labels = msgspec.json.decode(
        (FOLDER / LABELS).read_bytes(), type=dict[str, list[tuple[str, str]]]
    )
    by_name = {Path(path).name: pairs for path, pairs in labels.items()}
    for path in sorted(FOLDER.glob("*.csv")):
        series = read_series(path, skip_invalid=True)
        windows = tuple(_window(series, *pair) for pair in by_name[path.name])
        yield Labelled(name=path.stem, series=series, windows=windows)


def _window(series: Series, first: str, last: str) -> Window:
    """Return a window by index; both instants belong to it."""
    rows = f"timestamp,value\n{first},0\n{last},0\n".encode()
    start_ns, end_ns = parse_readings(rows, source=LABELS).instants_ns
    return Window(
        start_index=bisect_left(series.instants_ns, start_ns),
        end_index=bisect_right(series.instants_ns, end_ns),
    )
