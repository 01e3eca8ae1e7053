"""SimSo, and what it answers."""

from pathlib import Path
from typing import Self

import msgspec

from benchmarks.alone import Alone
from mutualedge.plan.edf import TaskSet

REQUIREMENT = "simso==0.8.5"
PROGRAM = Path(__file__).with_name("simso_alone.py")


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """What SimSo answers about one set."""

    seconds: float
    completed: int
    late: int


class Simso:
    """A running SimSo."""

    def __init__(self, alone: Alone) -> None:
        self._alone = alone

    @classmethod
    def installed(cls) -> Self | None:
        """Return one, or None where it cannot be installed."""
        alone = Alone.installed(REQUIREMENT, PROGRAM)
        return None if alone is None else cls(alone)

    def simulate(self, tasks: TaskSet, horizon_us: int) -> Simulated:
        """Return what its EDF for one processor makes of the set."""
        rows = tasks.columns()[:3].T.tolist()
        return self._alone.ask({"horizon_us": horizon_us, "tasks": rows}, Simulated)

    def close(self) -> None:
        """End it."""
        self._alone.close()
