"""How long an admission decision takes at 100 tasks, and how much it refuses needlessly."""

from benchmarks.admission.measure import run

__all__ = ["run"]
