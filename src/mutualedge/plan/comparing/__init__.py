"""Strategies side by side: the same tasks at many loads, in money for each enterprise."""

from mutualedge.plan.comparing.compare import Comparison, Planned, Share, Total, compare
from mutualedge.plan.comparing.pareto import Compromise, compromises
from mutualedge.plan.comparing.shapes import known_shape, shape_names
from mutualedge.plan.comparing.slots import Slot, at_load, with_copies

__all__ = [
    "Comparison",
    "Compromise",
    "Planned",
    "Share",
    "Slot",
    "Total",
    "at_load",
    "compare",
    "compromises",
    "known_shape",
    "shape_names",
    "with_copies",
]
