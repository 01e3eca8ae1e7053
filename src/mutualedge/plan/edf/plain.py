"""The simulation's loop in plain Python, for machines without numba: the same answers, slower."""

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace

from mutualedge.plan.edf.rows import (
    COMPLETED,
    MISSED,
    PREEMPTED,
    RELEASED,
    RESPONSE_MAX,
    RESPONSE_SUM,
    ROW,
    STARTED,
    TALLY_COLUMNS,
    Counts,
    Rows,
)
from mutualedge.plan.edf.tasks import Microseconds


def run_plain(columns: Microseconds, horizon_us: int, preemptive: bool, rows: Rows) -> Counts:
    """Execute EDF until the horizon; arguments and answer as `loop.run_events`."""
    execution_us, period_us, deadline_us, offset_us = columns.tolist()
    run = _Run(
        execution_us=execution_us,
        period_us=period_us,
        deadline_us=deadline_us,
        horizon_us=horizon_us,
        preemptive=preemptive,
        coming=[(at_us, task) for task, at_us in enumerate(offset_us)],
        head_us=offset_us,
        miss_room=rows.misses.size // ROW,
        segment_room=rows.segments.size // ROW,
    )
    run.events()
    for row, all_us, left_us in zip(run.tally, execution_us, run.left_us, strict=True):
        row[STARTED] = all_us - left_us
    rows.tally[:] = [number for row in run.tally for number in row]
    rows.misses[: len(run.misses)] = run.misses
    rows.segments[: len(run.segments)] = run.segments
    return Counts(run.idle_us, run.miss_count, run.segment_count)


@dataclass(slots=True, kw_only=True)
class _Run:
    """One execution; the heaps hold (instant, task), the ready one with the job's deadline."""

    execution_us: list[int]
    period_us: list[int]
    deadline_us: list[int]
    horizon_us: int
    preemptive: bool
    coming: list[tuple[int, int]]
    head_us: list[int]
    miss_room: int
    segment_room: int
    ready: list[tuple[int, int]] = field(default_factory=list)
    left_us: list[int] = field(init=False)
    tally: list[list[int]] = field(init=False)
    misses: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    idle_us: int = 0
    miss_count: int = 0
    segment_count: int = 0

    def __post_init__(self) -> None:
        heapify(self.coming)
        self.left_us = list(self.execution_us)
        self.tally = [[0] * TALLY_COLUMNS for _ in self.execution_us]

    def events(self) -> None:
        """Go from event to event: a release, a completion or the horizon."""
        now_us = 0
        running: int | None = None
        began_us = 0
        while now_us < self.horizon_us:
            self._release(now_us)
            if not self.ready:
                until_us = min(self.coming[0][0], self.horizon_us)
                self.idle_us += until_us - now_us
                now_us = until_us
                continue
            task = self.ready[0][1]
            if task != running:
                if running is not None:
                    self.tally[running][PREEMPTED] += 1
                    self._segment(running, began_us, now_us)
                began_us = now_us
            end_us = now_us + self.left_us[task]
            stop_us = min(end_us, self.horizon_us)
            if self.preemptive:
                stop_us = min(stop_us, self.coming[0][0])
            self.left_us[task] = end_us - stop_us
            now_us, running = stop_us, task
            if stop_us == end_us:
                running = None
                self._segment(task, began_us, end_us)
                self._complete(task, end_us)
        if running is not None:
            self._segment(running, began_us, self.horizon_us)

    def _release(self, now_us: int) -> None:
        while self.coming[0][0] <= now_us:
            release_us, task = self.coming[0]
            tally = self.tally[task]
            if tally[RELEASED] == tally[COMPLETED]:
                heappush(self.ready, (release_us + self.deadline_us[task], task))
            tally[RELEASED] += 1
            heapreplace(self.coming, (release_us + self.period_us[task], task))

    def _complete(self, task: int, end_us: int) -> None:
        due_us, _ = heappop(self.ready)
        release_us = self.head_us[task]
        tally = self.tally[task]
        tally[COMPLETED] += 1
        tally[RESPONSE_MAX] = max(tally[RESPONSE_MAX], end_us - release_us)
        tally[RESPONSE_SUM] += end_us - release_us
        if end_us > due_us:
            tally[MISSED] += 1
            if self.miss_count < self.miss_room:
                self.misses += (task, release_us, due_us, end_us)
            self.miss_count += 1
        self.left_us[task] = self.execution_us[task]
        self.head_us[task] += self.period_us[task]
        if tally[RELEASED] > tally[COMPLETED]:
            heappush(self.ready, (self.head_us[task] + self.deadline_us[task], task))

    def _segment(self, task: int, from_us: int, to_us: int) -> None:
        if self.segment_count < self.segment_room:
            self.segments += (task, self.tally[task][COMPLETED], from_us, to_us)
        self.segment_count += 1
