"""The runner's process: started behind as many walls as this machine has, and a report of them."""

from mutualedge.adapters.isolation.process import RunnerProcess
from mutualedge.adapters.isolation.report import IsolationReport, MissingLayer, Timing
from mutualedge.adapters.isolation.sandbox import Resources, find_bubblewrap
from mutualedge.adapters.isolation.spawn import spawn_runner
from mutualedge.adapters.isolation.spawner import RunnerSpawner

__all__ = [
    "IsolationReport",
    "MissingLayer",
    "Resources",
    "RunnerProcess",
    "RunnerSpawner",
    "Timing",
    "find_bubblewrap",
    "spawn_runner",
]
