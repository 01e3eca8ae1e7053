"""Slots of time that share one settlement: each enterprise is in balance by their end."""

from mutualedge.plan.period.solve import PeriodPlan, solve_period

__all__ = ["PeriodPlan", "solve_period"]
