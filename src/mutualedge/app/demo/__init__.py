"""The rehearsal: a consortium of three on this machine, through one day, to proved credits."""

from mutualedge.app.demo.screen import Wishes, run_rehearsal

__all__ = ["Wishes", "run_rehearsal"]
