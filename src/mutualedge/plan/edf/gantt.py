"""A simulation's trace as a figure: one self-contained SVG, readable in light and dark."""

from collections.abc import Iterator, Sequence
from html import escape

from mutualedge.errors import UsageError
from mutualedge.plan.edf.simulation import Segment, Simulation
from mutualedge.plan.edf.tasks import TaskSet
from mutualedge.plan.edf.trace import task_labels

MARKS_MAX = 20_000
"""Segments and deadlines drawn: some 2 MB of SVG, and more than a screen can show."""

LABEL_PX = 120
CHART_PX = 840
ROW_PX = 26
BAR_PX = 16
HEAD_PX = 34
FOOT_PX = 46
RIGHT_PX = 24

TICKS_ABOUT = 8
"""Labels along the axis of time."""

LABEL_CHARACTERS_MAX = 15

HUES = ("#2a6f97", "#e07a1f", "#3a8f5c", "#9b4f96", "#b23a48", "#7a6a3a")
"""Distinguishable from their neighbours in every common colour blindness; rows are labelled too."""

STYLE = (
    "svg{font:12px system-ui,sans-serif;background:#fff;color:#1c2430}"
    "text{fill:currentColor}.grid{stroke:currentColor;stroke-opacity:.14}"
    ".due{stroke:currentColor;stroke-opacity:.55}.late{stroke:#c1121f;stroke-width:2}"
    ".head{font-weight:600}.soft{fill-opacity:.7}"
    "@media(prefers-color-scheme:dark){svg{background:#151a21;color:#e6eaf0}"
    ".late{stroke:#ff6b6b}}"
)


def gantt_svg(
    tasks: TaskSet, run: Simulation, *, names: Sequence[str] = (), until_us: int | None = None
) -> str:
    """Return the figure: a row for each task, a bar for each run, a stroke at each deadline.

    Strokes of missed deadlines are red; hovering a bar tells job, start and end.

    Args:
        tasks: What was simulated.
        run: With a whole trace.
        names: Of the tasks; numbered where there are none.
        until_us: Where the figure ends; the horizon by default.

    Raises:
        UsageError: The trace is cut, the names do not fit, or there is more to draw than
            MARKS_MAX; then a nearer end helps.
    """
    labels = task_labels(run, names)
    end_us = run.horizon_us if until_us is None else min(until_us, run.horizon_us)
    _require_drawable(tasks, run, end_us)
    height = HEAD_PX + ROW_PX * len(labels) + FOOT_PX
    width = LABEL_PX + CHART_PX + RIGHT_PX
    headline = _headline(run, end_us)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{headline}">'
    )
    parts = [
        opening,
        f"<style>{STYLE}</style>",
        f'<text class="head" x="8" y="20">{headline}</text>',
        *_axis(end_us, len(labels)),
        *_labels(labels),
        *_bars(run.segments, end_us),
        *_deadlines(tasks, run, end_us),
        "</svg>",
    ]
    return "\n".join(parts)


def _require_drawable(tasks: TaskSet, run: Simulation, end_us: int) -> None:
    if end_us < 1:
        sentence = f"A figure that ends at {end_us} us shows nothing; choose a later end."
        raise UsageError("edf.gantt.empty", sentence)
    marks = sum(each.start_us < end_us for each in run.segments)
    marks += int((end_us // tasks.period_us).sum())
    if marks > MARKS_MAX:
        sentence = (
            f"Up to {end_us} us there are {marks} bars and deadlines to draw, and a figure holds "
            f"{MARKS_MAX}; choose a nearer end."
        )
        raise UsageError("edf.gantt.crowded", sentence)


def _headline(run: Simulation, end_us: int) -> str:
    kind = "preemptive" if run.preemptive else "non-preemptive"
    busy = 1 - run.idle_us / run.horizon_us
    missed = int(run.missed.sum())
    told = "no deadline missed" if not missed else f"{missed} deadlines missed"
    shown = "" if end_us == run.horizon_us else f", first {_told(end_us)}"
    return f"EDF, {kind}: {told} in {_told(run.horizon_us)}, {busy:.1%} busy{shown}"


def _told(time_us: int) -> str:
    """Return a duration in the unit that reads best, exact."""
    if not time_us:
        return "0"
    for unit, size_us in (("s", 1_000_000), ("ms", 1_000)):
        if time_us >= size_us:
            whole, rest = divmod(time_us, size_us)
            digits = f"{rest:0{len(str(size_us)) - 1}d}".rstrip("0")
            return f"{whole}{'.' + digits if digits else ''} {unit}"
    return f"{time_us} µs"


def _x(at_us: int, end_us: int) -> str:
    return f"{LABEL_PX + CHART_PX * at_us / end_us:.2f}"


def _axis(end_us: int, row_count: int) -> Iterator[str]:
    bottom = HEAD_PX + ROW_PX * row_count
    step_us = _step_us(end_us)
    for at_us in range(0, end_us + 1, step_us):
        x = _x(at_us, end_us)
        yield f'<path class="grid" d="M{x} {HEAD_PX}V{bottom + 4}"/>'
        yield f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{_told(at_us)}</text>'
    legend = "bar: the task runs · stroke: a deadline, red where it was missed"
    yield f'<text class="soft" x="{LABEL_PX}" y="{bottom + 38}">{legend}</text>'


def _step_us(end_us: int) -> int:
    """Return 1, 2 or 5 times a power of ten that gives about TICKS_ABOUT steps."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if end_us <= power * factor * TICKS_ABOUT:
                return power * factor
        power *= 10


def _labels(labels: Sequence[str]) -> Iterator[str]:
    for row, label in enumerate(labels):
        y = HEAD_PX + ROW_PX * row + ROW_PX // 2 + 4
        short = label
        if len(label) > LABEL_CHARACTERS_MAX:
            short = f"{label[: LABEL_CHARACTERS_MAX - 1]}…"
        yield (
            f'<text x="{LABEL_PX - 8}" y="{y}" text-anchor="end">{escape(short)}'
            f"<title>{escape(label)}</title></text>"
        )


def _bars(segments: Sequence[Segment], end_us: int) -> Iterator[str]:
    for each in segments:
        if each.start_us >= end_us:
            return
        stop_us = min(each.end_us, end_us)
        width = CHART_PX * (stop_us - each.start_us) / end_us
        y = HEAD_PX + ROW_PX * each.task_id + (ROW_PX - BAR_PX) // 2
        told = f"job {each.job_index}: {_told(each.start_us)} to {_told(each.end_us)}"
        yield (
            f'<rect x="{_x(each.start_us, end_us)}" y="{y}" width="{width:.2f}" '
            f'height="{BAR_PX}" rx="1.5" fill="{HUES[each.task_id % len(HUES)]}">'
            f"<title>{told}</title></rect>"
        )


def _deadlines(tasks: TaskSet, run: Simulation, end_us: int) -> Iterator[str]:
    late = {(each.task_id, each.deadline_us) for each in run.misses}
    for task_id in range(len(tasks)):
        task = tasks.task(task_id)
        y = HEAD_PX + ROW_PX * task_id
        for due_us in range(task.offset_us + task.deadline_us, end_us + 1, task.period_us):
            kind = "late" if (task_id, due_us) in late else "due"
            yield f'<path class="{kind}" d="M{_x(due_us, end_us)} {y + 2}v{ROW_PX - 4}"/>'
