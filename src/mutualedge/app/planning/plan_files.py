"""Plans from and to files."""

from pathlib import Path

import msgspec

from mutualedge.app.planning.scenarios import write_new
from mutualedge.errors import UsageError
from mutualedge.model import UNREADABLE
from mutualedge.plan.plans import NoPlan, Plan


def plan_json(answer: Plan | NoPlan) -> str:
    """Return a plan, or why there is none, as one JSON object."""
    return msgspec.json.format(msgspec.json.encode(answer), indent=1).decode()


def read_plan(path: Path) -> Plan:
    """Return the plan of a file that ``plan solve`` wrote.

    Raises:
        UsageError: The file cannot be read, or holds no plan.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except OSError as error:
        sentence = f"{path} cannot be read ({error.strerror}); name a file that 'plan solve' wrote."
        raise UsageError("app.plan.unreadable", sentence) from error
    except UNREADABLE as error:
        sentence = f"{path} is no plan ({error}); 'plan solve --out' writes one."
        raise UsageError("app.plan.malformed", sentence) from error


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan as JSON.

    Raises:
        UsageError: The file exists already, or cannot be written.
    """
    write_new(path, plan_json(plan).encode() + b"\n")
