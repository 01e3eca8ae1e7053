"""Finds a plan: options, choice, demand windows that were missed, and the answer's money."""

from mutualedge.plan.solving.answer import fixed_costs
from mutualedge.plan.solving.assembling import assemble
from mutualedge.plan.solving.replay import NodeJobs, list_jobs, options_of
from mutualedge.plan.solving.solve import solve, solve_table
from mutualedge.plan.solving.split import CostSplit, split_costs

__all__ = [
    "CostSplit",
    "NodeJobs",
    "assemble",
    "fixed_costs",
    "list_jobs",
    "options_of",
    "solve",
    "solve_table",
    "split_costs",
]
