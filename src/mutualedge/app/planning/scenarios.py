"""Scenarios from and to files."""

from pathlib import Path

from mutualedge.errors import UsageError
from mutualedge.plan.generation import Draw, generate
from mutualedge.plan.scenario import Scenario, format_scenario, parse_scenario

__all__ = ["Draw", "generate_scenario", "read_scenario", "write_new"]


def read_scenario(path: Path) -> Scenario:
    """Return the scenario of a file.

    Raises:
        UsageError: The file cannot be read (``app.scenario.unreadable``) or is no scenario
            (``plan.scenario``).
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        sentence = f"{path} cannot be read ({error.strerror}); name a scenario in TOML or JSON."
        raise UsageError("app.scenario.unreadable", sentence) from error
    return parse_scenario(content, source=str(path))


def generate_scenario(draw: Draw, path: Path) -> str:
    """Write a scenario drawn from a seed; return what was written, in words.

    Raises:
        UsageError: The file exists already, or cannot be written.
    """
    scenario = generate(draw)
    write_new(path, format_scenario(scenario))
    tasks = sum(len(each.tasks) for each in scenario.enterprises)
    return (
        f"{path}: {len(scenario.enterprises)} enterprises with {tasks} tasks, invented by seed "
        f"{draw.seed}. 'mutualedge plan solve {path}' plans them."
    )


def write_new(path: Path, content: bytes) -> None:
    """Write a file that does not exist yet.

    Raises:
        UsageError: It exists, or cannot be written.
    """
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError as error:
        sentence = f"{path} exists; name a new file, or remove this one."
        raise UsageError("app.planning.exists", sentence) from error
    except OSError as error:
        sentence = f"{path} cannot be written ({error.strerror})."
        raise UsageError("app.planning.unwritable", sentence) from error
