"""Earliest deadline first on one processor: does a set of tasks hold, and what happens when."""

from mutualedge.plan.edf.demand import (
    Overload,
    check_nonpreemptive,
    check_preemptive,
    demand_us,
)
from mutualedge.plan.edf.simulation import MISSES_MAX, Miss, Segment, Simulation, simulate
from mutualedge.plan.edf.tasks import PeriodicTask, TaskSet, execution_us
from mutualedge.plan.edf.utilisation import Load, compare_load, hyperperiod_us, utilisation

__all__ = [
    "MISSES_MAX",
    "Load",
    "Miss",
    "Overload",
    "PeriodicTask",
    "Segment",
    "Simulation",
    "TaskSet",
    "check_nonpreemptive",
    "check_preemptive",
    "compare_load",
    "demand_us",
    "execution_us",
    "hyperperiod_us",
    "simulate",
    "utilisation",
]
