"""SimSo as a process of its own, in an environment of its own: its libraries are not ours."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Self

import msgspec

from mutualedge.plan.edf import TaskSet

VERSION = "0.8.5"
ENVIRONMENT = Path(tempfile.gettempdir()) / f"mutualedge-benchmark-simso-{VERSION}"
PROGRAM = Path(__file__).with_name("simso_alone.py")


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """What SimSo answers about one set."""

    seconds: float
    completed: int
    late: int


class Simso:
    """A running SimSo."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @classmethod
    def installed(cls) -> Self | None:
        """Install it if it is not, start it, or say why it is left out and return None."""
        python = ENVIRONMENT / "bin" / "python"
        if not python.exists():
            venv.create(ENVIRONMENT, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", f"simso=={VERSION}"]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.stderr.write(f"plan_edf: SimSo cannot be installed and is left out. {done.stderr}")
            return None
        process = subprocess.Popen(
            [str(python), str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return cls(process)

    def simulate(self, tasks: TaskSet, horizon_us: int) -> Simulated:
        """Return what its EDF for one processor makes of the set."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        rows = tasks.columns()[:3].T.tolist()
        asked = msgspec.json.encode({"horizon_us": horizon_us, "tasks": rows})
        self._process.stdin.write(asked + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Simulated)

    def close(self) -> None:
        """End it by the end of its input."""
        self._process.communicate()
