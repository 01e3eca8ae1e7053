"""Runs `mutualedge` as its users do."""

import re
import subprocess
import sys
from dataclasses import dataclass

COMMAND_TIMEOUT_S = 120.0
"""No command here takes a third of it on an idle machine."""

SENTENCE = re.compile(
    r"mutualedge: (?P<sentence>.+) \[(?P<code>[a-z0-9-]+(\.[a-z0-9-]+)+)\]\n", re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def code(self) -> str:
        """The dotted code on standard error, where exactly one typed error must stand."""
        found = SENTENCE.fullmatch(self.err)
        assert found is not None, f"not one sentence with its code: {self.err!r}"
        assert found["sentence"].endswith((".", "?")) or "chmod" in found["sentence"]
        return found["code"]


def mutualedge(*arguments: object) -> Ended:
    """Run a command to its end."""
    ended = subprocess.run(
        [sys.executable, "-m", "mutualedge", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    return Ended(status=ended.returncode, out=ended.stdout, err=ended.stderr)
