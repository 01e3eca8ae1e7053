"""Which deadlines a choice misses although no processor is asked for too much on the whole."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mutualedge.plan.edf import TaskSet, check_preemptive
from mutualedge.plan.options import Load, OptionTable, Window, loads

SEARCH_PERIODS_MAX = 2_000
"""Longest periods within which an overloaded window is looked for. A processor that is almost
full, with deadlines before the ends of their periods, would have to be searched much further."""

SHORTER_LOOKS_MAX = 500
"""Looks for a shorter window once one is known: any is enough, and short ones teach more."""

LENGTHS_MAX = 256
"""First deadlines that are looked at: each costs as many steps as there are tasks."""

WORST_MAX = 3
"""Windows learnt at once of each processor besides the shortest: it saves rounds."""


def overloaded_windows(table: OptionTable, options: NDArray[np.intp]) -> Iterator[Window]:
    """Yield windows of each processor that a choice asks for more than they last.

    Of each one the shortest, and those of the first deadlines that are asked for most.
    """
    for row, load in loads(table, options).items():
        overload = check_preemptive(task_set(load), shorter_looks_max=SHORTER_LOOKS_MAX)
        if overload is not None:
            lengths_us = {overload.length_us, *_worst_us(load)}
            yield from (Window(row=row, length_us=length_us) for length_us in sorted(lengths_us))


def _worst_us(load: Load) -> Iterator[int]:
    """Yield the lengths, up to first deadlines, with the most demand for their time."""
    lengths_us = np.unique(load.deadline_us)
    lengths_us = lengths_us[:: -(-len(lengths_us) // LENGTHS_MAX)]
    jobs = (lengths_us[:, None] - load.deadline_us) // load.period_us + 1
    demand_us = (np.maximum(jobs, 0) * load.execution_us).sum(axis=1)
    asked = demand_us / lengths_us
    for index in np.argsort(-asked, kind="stable")[:WORST_MAX]:
        if asked[index] > 1:
            yield int(lengths_us[index])


def reserves_needed(table: OptionTable, options: NDArray[np.intp]) -> dict[int, float]:
    """Return the share of each processor to keep free so that its deadlines can be proven.

    A window can be overloaded only up to a length that grows as the processor fills; processors
    for which that length is no trouble are left out.
    """
    needed = {}
    for row, load in loads(table, options).items():
        if not len(load.period_us):
            continue
        shares = load.execution_us / load.period_us
        late_us = float((shares * (load.period_us - load.deadline_us)).sum())
        reserve = late_us / (SEARCH_PERIODS_MAX * float(load.period_us.max()))
        if 1 - float(shares.sum()) < reserve:
            needed[row] = reserve
    return needed


def task_set(load: Load) -> TaskSet:
    """Return the jobs of a processor as the schedulability tests take them."""
    return TaskSet.from_columns(
        execution_us=load.execution_us,
        period_us=load.period_us,
        deadline_us=load.deadline_us,
    )
