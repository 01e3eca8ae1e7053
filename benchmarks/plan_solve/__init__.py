"""How fast and how near the best plans are found, and what evolution makes of the same problems."""

from benchmarks.plan_solve.campaign import run as run_campaign
from benchmarks.plan_solve.measure import run

__all__ = ["run", "run_campaign"]
