"""The simulation's inner loop for numba: two heaps of keys ``instant << digits of an id | id``.

One comparison orders by instant and, at equal instants, by id. A task is in the ready heap once,
with its oldest unfinished job; later ones are only counted, so that memory does not grow.
To be imported only where numba is installed; `plain` is the form without it.
"""

import numpy as np

from mutualedge.plan.compiled import compiled
from mutualedge.plan.edf.rows import (
    COMPLETED,
    KEY_MAX,
    MISSED,
    PREEMPTED,
    RESPONSE_MAX,
    RESPONSE_SUM,
    ROW,
    STARTED,
    TALLY_COLUMNS,
    Counts,
    Rows,
)
from mutualedge.plan.edf.tasks import Microseconds


@compiled
def sink(heap: Microseconds, count: int, key: int) -> None:
    """Put a key into the root's place and let it sink to its own; writes ``heap[count]``."""
    heap[count] = KEY_MAX
    hole = 0
    child = 1
    while child < count:
        # Without a branch, which no processor could foresee.
        child += heap[child + 1] < heap[child]
        if key <= heap[child]:
            break
        heap[hole] = heap[child]
        hole = child
        child = 2 * hole + 1
    heap[hole] = key


@compiled
def rise(heap: Microseconds, count: int, key: int) -> None:
    """Append a key behind the last of ``count`` and let it rise to its place."""
    hole = count
    while hole > 0:
        parent = (hole - 1) >> 1
        if heap[parent] <= key:
            break
        heap[hole] = heap[parent]
        hole = parent
    heap[hole] = key


@compiled
def note(rows: Microseconds, count: int, row: tuple[int, int, int, int]) -> int:
    """Write a row if there is room, and return how many rows there would be."""
    at = count * ROW
    if at < rows.size:
        for column in range(ROW):
            rows[at + column] = row[column]
    return count + 1


@compiled
def first_keys(offset_us: Microseconds, digits: int) -> Microseconds:
    """Return a heap of the first releases."""
    coming = np.empty(offset_us.size + 1, np.int64)
    for task in range(offset_us.size):
        rise(coming, task, offset_us[task] << digits | task)
    return coming


@compiled
def finish(tally: Microseconds, row: int, response_us: int, deadline_us: int) -> bool:
    """Count a job that completes, and return whether it is late."""
    tally[row + COMPLETED] += 1
    tally[row + RESPONSE_SUM] += response_us
    if response_us > tally[row + RESPONSE_MAX]:  # noqa: PLR1730 - max() costs a call less here
        tally[row + RESPONSE_MAX] = response_us
    if response_us <= deadline_us:
        return False
    tally[row + MISSED] += 1
    return True


@compiled
def run_events(  # noqa: PLR0915 - nearly all state would travel into and out of a part of it
    columns: Microseconds, horizon_us: int, preemptive: bool, rows: Rows
) -> Counts:
    """Execute EDF until the horizon, and fill the rows.

    Args:
        columns: Execution times, periods, deadlines and offsets, shape (4, tasks).
        horizon_us: Where to stop; short enough for the keys.
        preemptive: Whether an earlier deadline interrupts a running job.
        rows: Room for the answer.
    """
    execution_us, period_us, deadline_us, offset_us = columns
    tally, misses, segments = rows
    digits = 1
    while 1 << digits < offset_us.size:
        digits += 1
    mask = (1 << digits) - 1
    coming = first_keys(offset_us, digits)
    ready = np.empty_like(coming)
    left_us = execution_us.copy()
    head_us = offset_us.copy()
    now_us = began_us = idle_us = ready_count = miss_count = segment_count = 0
    last = -1
    while now_us < horizon_us:
        release_us = coming[0] >> digits
        while release_us <= now_us:
            task = coming[0] & mask
            row = task * TALLY_COLUMNS
            if tally[row] == tally[row + COMPLETED]:
                rise(ready, ready_count, (release_us + deadline_us[task]) << digits | task)
                ready_count += 1
            tally[row] += 1
            sink(coming, offset_us.size, coming[0] + (period_us[task] << digits))
            release_us = coming[0] >> digits
        if ready_count == 0:
            idle_us += min(release_us, horizon_us) - now_us
            now_us = release_us
            continue
        task = ready[0] & mask
        row = task * TALLY_COLUMNS
        if task != last:
            if last >= 0:
                job = tally[last * TALLY_COLUMNS + COMPLETED]
                tally[last * TALLY_COLUMNS + PREEMPTED] += 1
                segment_count = note(segments, segment_count, (last, job, began_us, now_us))
            began_us = now_us
        end_us = now_us + left_us[task]
        now_us = min(end_us, release_us if preemptive else end_us, horizon_us)
        if now_us < end_us:
            left_us[task] = end_us - now_us
            last = task
            continue
        last = -1
        run = (task, tally[row + COMPLETED], began_us, end_us)
        segment_count = note(segments, segment_count, run)
        if finish(tally, row, end_us - head_us[task], deadline_us[task]):
            due_us = head_us[task] + deadline_us[task]
            miss_count = note(misses, miss_count, (task, head_us[task], due_us, end_us))
        left_us[task] = execution_us[task]
        head_us[task] += period_us[task]
        if tally[row] > tally[row + COMPLETED]:
            key = (head_us[task] + deadline_us[task]) << digits | task
        else:
            ready_count -= 1
            key = ready[ready_count]
        sink(ready, ready_count, key)
    if last >= 0:
        job = tally[last * TALLY_COLUMNS + COMPLETED]
        segment_count = note(segments, segment_count, (last, job, began_us, horizon_us))
    tally[STARTED::TALLY_COLUMNS] = execution_us - left_us
    return Counts(idle_us, miss_count, segment_count)
