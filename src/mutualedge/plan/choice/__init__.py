"""The planner's arithmetic heart: one option for every group, under shared capacities, cheapest."""

from mutualedge.plan.choice.problem import Choice, ChoiceProblem

__all__ = ["Choice", "ChoiceProblem"]
