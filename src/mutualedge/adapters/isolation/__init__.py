"""The runner's process: started behind as many walls as this machine has, and a report of them."""

from mutualedge.adapters.isolation.process import RunnerProcess, spawn_runner
from mutualedge.adapters.isolation.report import IsolationReport, MissingLayer
from mutualedge.adapters.isolation.sandbox import Resources, find_bubblewrap

__all__ = [
    "IsolationReport",
    "MissingLayer",
    "Resources",
    "RunnerProcess",
    "find_bubblewrap",
    "spawn_runner",
]
