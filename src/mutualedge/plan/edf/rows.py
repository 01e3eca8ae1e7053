"""The flat rows of numbers in which both forms of the simulation's loop answer."""

from typing import NamedTuple

from mutualedge.plan.edf.tasks import Microseconds

RELEASED, COMPLETED, MISSED, PREEMPTED, RESPONSE_MAX, RESPONSE_SUM, STARTED = range(7)
"""Columns of the tally, a row for each task: jobs by fate, response times of the completed, and
what the oldest unfinished job has had of the processor; times in microseconds."""

TALLY_COLUMNS = 7

ROW = 4
"""Numbers of a late job (task, release, deadline, completion) or segment (task, job, from, to)."""

KEY_MAX = 2**63 - 1
"""Instants and ids share 64-bit keys: 2,200 years for 100 tasks, 2 for 100,000."""


class Rows(NamedTuple):
    """Room for the answer, flat; what does not fit is counted and not written.

    Attributes:
        tally: Zeros, TALLY_COLUMNS for each task.
        misses: ROW numbers for each late job.
        segments: ROW numbers for each segment.
    """

    tally: Microseconds
    misses: Microseconds
    segments: Microseconds


class Counts(NamedTuple):
    """What an execution came to, beside the rows.

    Attributes:
        idle_us: How long nobody had the processor.
        misses: Jobs that completed late.
        segments: Stretches without interruption.
    """

    idle_us: int
    misses: int
    segments: int
