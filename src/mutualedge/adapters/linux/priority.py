"""The priority of a process that others wait for, taken if the system grants it.

A runner takes real time first (``adapters/isolation/confine.py``, a script that imports nothing of
the project): it computes for as long as it was told, and is stopped then. A node is not.
"""

import os
from dataclasses import dataclass

NICE = -19
"""Beside programs that take every processor, readings kept their times with it as with real time
(``benchmarks/results/timing.jsonl``), and a process gone wild still leaves some to the others."""

REAL_TIME_PRIORITY = 1
"""The lowest of real time, where only that is granted (``LimitRTPRIO``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priority:
    """What a process was given.

    Attributes:
        is_raised: Whether it comes before ordinary programs.
        words: How, or why not.
    """

    is_raised: bool
    words: str


def raise_priority() -> Priority:
    """Put this process, and those it starts from now on, before ordinary programs."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    except OSError as no_nice:
        refused = f"nice refused ({no_nice.strerror})"
    else:
        return Priority(is_raised=True, words=f"nice {NICE}")
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REAL_TIME_PRIORITY))
    except OSError as no_real_time:
        words = f"{refused}, real time refused ({no_real_time.strerror}); grant LimitNICE=-19"
        return Priority(is_raised=False, words=words)
    return Priority(is_raised=True, words=f"SCHED_RR {REAL_TIME_PRIORITY}; {refused}")
