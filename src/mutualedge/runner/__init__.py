"""The runner: session responder, function runtime and meter, and nothing else."""

from mutualedge.runner.runner import Attester, Runner

__all__ = ["Attester", "Runner"]
