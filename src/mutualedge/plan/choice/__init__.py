"""The planner's arithmetic heart: one option for every group, under shared capacities, cheapest."""

from mutualedge.plan.choice.problem import (
    Choice,
    ChoiceProblem,
    NoChoice,
    Part,
    Watch,
    gap_between,
)
from mutualedge.plan.choice.solver import Chooser, choose, improve, prices_of

__all__ = [
    "Choice",
    "ChoiceProblem",
    "Chooser",
    "NoChoice",
    "Part",
    "Watch",
    "choose",
    "gap_between",
    "improve",
    "prices_of",
]
