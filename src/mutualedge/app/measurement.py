"""The runner's measurement: what hardware would measure, computed over the same code."""

import hashlib
from functools import cache
from pathlib import Path

import mutualedge
from mutualedge.model import Digest

RUNNER_ROOMS = (
    "errors",
    "model",
    "signing",
    "identity",
    "market",
    "meter",
    "protocol",
    "attest",
    "session",
    "functions",
    "runner",
    "adapters/wasm",
    "adapters/isolation",
    "adapters/tee_sim",
)
"""Every room whose code runs in the runner's process: the trusted computing base."""


@cache
def runner_measurement() -> Digest:
    """Return the SHA-256 over names and contents of the runner's source files, in name order."""
    root = Path(mutualedge.__file__).parent
    files = [path for room in RUNNER_ROOMS for path in sorted((root / room).rglob("*.py"))]
    files.append(root / "app" / "runner_process.py")
    measured = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        name = path.relative_to(root).as_posix().encode()
        measured.update(b"%d %b %d " % (len(name), name, len(content)))
        measured.update(content)
    return Digest(measured.hexdigest())
