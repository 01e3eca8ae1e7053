"""What a plan is made from: tasks, nodes, links, clouds, prices, and the files that hold them."""

from mutualedge.plan.scenario.files import format_scenario, parse_scenario
from mutualedge.plan.scenario.nodes import Cloud, Level, Link, Memory, Node, dvfs_levels
from mutualedge.plan.scenario.scenario import MONTH_S, Enterprise, Scenario, Tariff
from mutualedge.plan.scenario.tasks import Task

__all__ = [
    "MONTH_S",
    "Cloud",
    "Enterprise",
    "Level",
    "Link",
    "Memory",
    "Node",
    "Scenario",
    "Tariff",
    "Task",
    "dvfs_levels",
    "format_scenario",
    "parse_scenario",
]
