"""The rehearsal: a consortium on this machine, from founding to proved credits."""

from mutualedge.app.demo.screen import run_rehearsal

__all__ = ["run_rehearsal"]
