"""The published planner's files at a terminal: its configs, plans, costs and drawn tasks."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from mutualedge.app.planning.plan_files import read_plan
from mutualedge.app.planning.scenarios import read_scenario, write_new
from mutualedge.errors import UsageError
from mutualedge.plan.generation import whole_numbers
from mutualedge.plan.reference import (
    Gene,
    Published,
    PublishedCost,
    ReferenceConfig,
    draw_published,
    evaluate,
    format_genes,
    genes_of,
    parse_config,
    parse_genes,
    scenario_of,
)
from mutualedge.plan.scenario import format_scenario


def import_file(config: Path, out: Path) -> str:
    """Write a config as a scenario; return what was written, in words.

    Raises:
        UsageError: The config cannot be read, or the scenario not written.
    """
    scenario = scenario_of(read_config(config))
    write_new(out, format_scenario(scenario))
    count = len(scenario.enterprises[0].tasks)
    return f"{out}: {count} tasks in the corrected model. 'mutualedge plan solve {out}' plans them."


def export_files(scenario_path: Path, plan_path: Path, out: Path) -> str:
    """Write a plan as ``task.txt``; return what was written, in words.

    Raises:
        UsageError: A file cannot be read or written, or the plan has what that format lacks.
    """
    genes = genes_of(read_scenario(scenario_path), read_plan(plan_path))
    write_new(out, format_genes(genes).encode())
    return f"{out}: {len(genes)} rows."


def reference_text(
    config_path: Path, genes_path: Path, strategy: str, *, offloads: bool | None, as_json: bool
) -> str:
    """Return what the published model makes of a plan, for a person or as JSON.

    Args:
        config_path: The published planner's config.
        genes_path: The plan, as ``task.txt``.
        strategy: Which published variant.
        offloads: Whether times and powers are those of offloading; as published if absent: in
            Public alone.
        as_json: Whether a program reads it.

    Raises:
        UsageError: A file cannot be read, or the plan does not belong to the config.
    """
    config, variant = read_config(config_path), Published(strategy)
    genes = read_genes(genes_path)
    is_remote = variant is Published.PUBLIC if offloads is None else offloads
    cost = evaluate(config, genes, variant, offloads=is_remote)
    if as_json:
        return msgspec.json.encode(cost).decode()
    return "\n".join(_lines(cost))


def draw_files(config_path: Path, folder: Path, seed: int) -> str:
    """Write the three files of the published generator; return what was written, in words.

    Raises:
        UsageError: The config lacks a section, or a file exists or cannot be written.
    """
    drawn = draw_published(read_config(config_path), whole_numbers(seed))
    files = {
        "task_generated.txt": drawn.task_text,
        "network_generated.txt": drawn.link_text,
        "network_commander_generated.txt": drawn.interception_text,
    }
    for name, text in files.items():
        write_new(folder / name, text.encode())
    return f"{', '.join(files)} in {folder}; full power utilization: {drawn.utilisation:.6f}"


def read_config(path: Path) -> ReferenceConfig:
    """Return the config of a file.

    Raises:
        UsageError: It cannot be read, or is malformed; the sentence names the line.
    """
    return parse_config(_text(path), source=str(path))


def read_genes(path: Path) -> tuple[Gene, ...]:
    """Return the plan of a ``task.txt``.

    Raises:
        UsageError: It cannot be read, or is malformed; the sentence names the line.
    """
    return parse_genes(_text(path), source=str(path))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        sentence = f"{path} is no text ({error.reason}); name a file of the published planner."
        raise UsageError("app.published.text", sentence) from error
    except OSError as error:
        sentence = f"{path} cannot be read ({error.strerror})."
        raise UsageError("app.published.unreadable", sentence) from error


def _lines(cost: PublishedCost) -> Iterator[str]:
    yield "As published, with its quirks; 'plan solve' plans by the corrected model."
    for name, value in msgspec.structs.asdict(cost).items():
        if name != "tasks":
            shown = f"{value:.9g}" if isinstance(value, float) else str(value)
            yield f"  {name:<24}{shown:>16}"
