"""Scenarios as text: TOML for people, JSON for programs; the same fields in both."""

import tomllib

import msgspec

from mutualedge.errors import UsageError
from mutualedge.model import UNREADABLE
from mutualedge.plan.scenario.scenario import Scenario

SCENARIO_BYTES_MAX = 256 << 20
"""About a million tasks."""


def parse_scenario(content: bytes, *, source: str) -> Scenario:
    """Return the scenario that a file holds; JSON if it begins with a brace, else TOML.

    Args:
        content: The bytes of the file.
        source: What to call it in errors.

    Raises:
        UsageError: It is too large, neither JSON nor TOML, or its fields are not a scenario's.
    """
    if len(content) > SCENARIO_BYTES_MAX:
        raise _refused(
            "plan.scenario.size", source, f"has more than {SCENARIO_BYTES_MAX >> 20} MiB"
        )
    try:
        return msgspec.convert(_plain(content), Scenario, strict=False)
    except msgspec.ValidationError as error:
        raise _refused("plan.scenario.field", source, f"is no scenario: {error}") from error
    except (*UNREADABLE, tomllib.TOMLDecodeError) as error:
        raise _refused(
            "plan.scenario.text", source, f"is neither JSON nor TOML: {error}"
        ) from error


def format_scenario(scenario: Scenario) -> bytes:
    """Return a scenario as JSON, indented, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(scenario), indent=1) + b"\n"


def _plain(content: bytes) -> object:
    if content.lstrip()[:1] == b"{":
        return msgspec.json.decode(content)
    return tomllib.loads(content.decode("utf-8"))


def _refused(code: str, source: str, cause: str) -> UsageError:
    sentence = f"{source} {cause}; docs/reference/scenarios.md lists what may stand there."
    return UsageError(code, sentence)
