"""A child that runs what it is told over its one socket, to try the walls from inside."""

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest

from mutualedge.adapters.isolation import (
    Resources,
    RunnerProcess,
    find_bubblewrap,
    spawn_runner,
)

PROGRAM = """
import json, socket, sys
node = socket.socket(fileno=int(sys.argv[1]))
for line in node.makefile("rb"):
    names = {}
    try:
        exec(json.loads(line), names)
        said = names["said"]
    except BaseException as error:
        said = type(error).__name__
    node.sendall(json.dumps(said).encode() + b"\\n")
"""

ARGV = (sys.executable, "-c", PROGRAM)

PATIENCE_S = 30.0
"""A loaded machine may be slow; a wall that does not stand answers long before."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    process: RunnerProcess
    node: socket.socket
    answers: BinaryIO

    def says(self, code: str) -> object:
        """Return what the code left in ``said``, or the name of the error it ended with."""
        self.node.sendall(json.dumps(code).encode() + b"\n")
        answer: object = json.loads(self.answers.readline())
        return answer


@contextmanager
def confined_probe(
    bubblewrap: Path | None = None, resources: Resources | None = None
) -> Iterator[Probe]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(PATIENCE_S)
        process = spawn_runner(ARGV, theirs.fileno(), bubblewrap=bubblewrap, resources=resources)
        theirs.close()
        with process, ours.makefile("rb") as answers:
            yield Probe(process=process, node=ours, answers=answers)


def bubblewrap_works() -> bool:
    if find_bubblewrap() is None:
        return False
    with confined_probe() as probe:
        return "bubblewrap" in probe.process.report.layers


needs_bubblewrap = pytest.mark.skipif(
    not bubblewrap_works(), reason="bubblewrap is not installed or may not make namespaces here"
)
