"""Earliest deadline first on one processor: does a set of tasks hold, and what happens when."""

from mutualedge.plan.edf.demand import (
    Overload,
    check_nonpreemptive,
    check_preemptive,
    demand_us,
)
from mutualedge.plan.edf.energy import Power, PowerTable, average_power, power_table
from mutualedge.plan.edf.gantt import gantt_svg
from mutualedge.plan.edf.machine import Level, Machine, Memory, Placement, Work, placed_us
from mutualedge.plan.edf.policies import Decided, NotDecided, Policy, decide
from mutualedge.plan.edf.simulation import MISSES_MAX, Miss, Segment, Simulation, simulate
from mutualedge.plan.edf.tasks import PeriodicTask, TaskSet, execution_us
from mutualedge.plan.edf.trace import chrome_trace
from mutualedge.plan.edf.utilisation import Load, compare_load, hyperperiod_us, utilisation

__all__ = [
    "MISSES_MAX",
    "Decided",
    "Level",
    "Load",
    "Machine",
    "Memory",
    "Miss",
    "NotDecided",
    "Overload",
    "PeriodicTask",
    "Placement",
    "Policy",
    "Power",
    "PowerTable",
    "Segment",
    "Simulation",
    "TaskSet",
    "Work",
    "average_power",
    "check_nonpreemptive",
    "check_preemptive",
    "chrome_trace",
    "compare_load",
    "decide",
    "demand_us",
    "execution_us",
    "gantt_svg",
    "hyperperiod_us",
    "placed_us",
    "power_table",
    "simulate",
    "utilisation",
]
