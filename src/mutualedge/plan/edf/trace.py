"""A simulation's trace for other programs: Chrome's trace format, which Perfetto opens too."""

import json
from collections.abc import Iterator, Mapping, Sequence

from mutualedge.errors import UsageError
from mutualedge.plan.edf.simulation import Simulation

Event = Mapping[str, object]


def chrome_trace(run: Simulation, names: Sequence[str] = ()) -> str:
    """Return the trace as JSON of the Trace Event Format: a row for each task, times in us.

    Args:
        run: Simulated with a trace.
        names: Of the tasks; numbered where there are none.

    Raises:
        UsageError: The trace is cut or was never asked for, or the names are too few or too many.
    """
    labels = task_labels(run, names)
    events = [*_rows(labels), *_runs(run), *_late(run)]
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}, separators=(",", ":"))


def task_labels(run: Simulation, names: Sequence[str]) -> list[str]:
    """Return a label for each task of a run whose trace is whole.

    Raises:
        UsageError: As `chrome_trace`.
    """
    count = len(run.released)
    if not run.trace_complete:
        sentence = (
            f"The trace ends after {len(run.segments)} segments, before the horizon; simulate "
            "with a larger segments_max or a nearer horizon."
        )
        raise UsageError("edf.trace.cut", sentence)
    if len(names) not in {0, count}:
        sentence = f"{len(names)} names were given for {count} tasks; give one for each or none."
        raise UsageError("edf.trace.names", sentence)
    return list(names) or [f"task {task_id}" for task_id in range(count)]


def _rows(labels: Sequence[str]) -> Iterator[Event]:
    yield {"name": "process_name", "ph": "M", "pid": 0, "args": {"name": "EDF"}}
    for task_id, label in enumerate(labels):
        yield {
            "name": "thread_name",
            "ph": "M",
            "pid": 0,
            "tid": task_id,
            "args": {"name": label},
        }


def _runs(run: Simulation) -> Iterator[Event]:
    for each in run.segments:
        yield {
            "name": f"job {each.job_index}",
            "ph": "X",
            "pid": 0,
            "tid": each.task_id,
            "ts": each.start_us,
            "dur": each.end_us - each.start_us,
        }


def _late(run: Simulation) -> Iterator[Event]:
    """Yield a mark at each deadline that was missed."""
    for each in run.misses:
        yield {
            "name": "deadline missed",
            "ph": "i",
            "s": "t",
            "pid": 0,
            "tid": each.task_id,
            "ts": each.deadline_us,
            "args": {"release_us": each.release_us},
        }
