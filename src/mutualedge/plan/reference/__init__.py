"""The published planner: its files, its generator, and its model with every quirk."""

from mutualedge.plan.reference.config import ReferenceConfig, parse_config
from mutualedge.plan.reference.conversion import genes_of, scenario_of
from mutualedge.plan.reference.gene_files import format_genes, parse_genes
from mutualedge.plan.reference.generator import Generated, draw_published
from mutualedge.plan.reference.machine import machine_of, placements_of, works_of
from mutualedge.plan.reference.published import (
    Gene,
    Published,
    PublishedCost,
    TaskCost,
    evaluate,
)

__all__ = [
    "Gene",
    "Generated",
    "Published",
    "PublishedCost",
    "ReferenceConfig",
    "TaskCost",
    "draw_published",
    "evaluate",
    "format_genes",
    "genes_of",
    "machine_of",
    "parse_config",
    "parse_genes",
    "placements_of",
    "scenario_of",
    "works_of",
]
