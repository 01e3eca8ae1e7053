"""An independent check of a plan: recomputed from the scenario, in integers, without arrays.

It shares no code with the solvers, only what a scenario and a plan are.
"""

from mutualedge.plan.checking.verdict import check, check_period

__all__ = ["check", "check_period"]
