"""Another library as a process and in an environment of its own: its libraries are not ours.

It answers a JSON line for each JSON line.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Self, TypeVar

import msgspec

Answer = TypeVar("Answer")


class Alone:
    """A running program that uses one library."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @classmethod
    def installed(cls, requirement: str, program: Path) -> Self | None:
        """Install a library if it is not, start its program, or say why not and return None."""
        name = f"mutualedge-benchmark-{requirement.replace('==', '-')}"
        environment = Path(tempfile.gettempdir()) / name
        python = environment / "bin" / "python"
        if not python.exists():
            venv.create(environment, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", requirement]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.stderr.write(f"{requirement} cannot be installed and is left out. {done.stderr}")
            return None
        process = subprocess.Popen(
            [str(python), str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return cls(process)

    def ask(self, question: object, kind: type[Answer]) -> Answer:
        """Return the program's answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(question) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=kind)

    def close(self) -> None:
        """End it by the end of its input."""
        self._process.communicate()
