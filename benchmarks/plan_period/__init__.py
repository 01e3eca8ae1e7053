"""How fast and how near the bound the slots of a day are planned that share one settlement."""

from benchmarks.plan_period.measure import run

__all__ = ["run"]
