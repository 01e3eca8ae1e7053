"""From a scenario to arithmetic: every option of every task, and the capacities they share."""

from mutualedge.plan.options.columns import CloudColumn, Column, NodeColumn, Row
from mutualedge.plan.options.loads import Load, Takers, Window, loads, parts, takers
from mutualedge.plan.options.money import fixed_memory_w
from mutualedge.plan.options.rows import (
    Subject,
    lent_shares,
    microcredits_processor_month,
    pose_problem,
    subjects,
)
from mutualedge.plan.options.table import Block, Cell, OptionTable, list_options

__all__ = [
    "Block",
    "Cell",
    "CloudColumn",
    "Column",
    "Load",
    "NodeColumn",
    "OptionTable",
    "Row",
    "Subject",
    "Takers",
    "Window",
    "fixed_memory_w",
    "lent_shares",
    "list_options",
    "loads",
    "microcredits_processor_month",
    "parts",
    "pose_problem",
    "subjects",
    "takers",
]
