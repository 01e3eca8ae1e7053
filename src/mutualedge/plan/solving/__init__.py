"""Finds a plan: options, choice, demand windows that were missed, and the answer's money."""

from mutualedge.plan.solving.assembling import assemble
from mutualedge.plan.solving.replay import NodeJobs, list_jobs
from mutualedge.plan.solving.solve import solve
from mutualedge.plan.solving.split import CostSplit, split_costs

__all__ = ["CostSplit", "NodeJobs", "assemble", "list_jobs", "solve", "split_costs"]
