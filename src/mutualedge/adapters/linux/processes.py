"""Who a process is: its number is used again, its number and start together are not."""

import os
import signal
from pathlib import Path

_STATE_FIELD, _START_FIELD = 0, 19
"""Positions in /proc/PID/stat behind the name (proc_pid_stat(5): fields 3 and 22)."""

_GONE = frozenset({"Z", "X"})
"""States of a process that runs no more: a zombie waits to be reaped, a dead one is reaped."""


def start_ticks(process_id: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it runs no more."""
    try:
        text = Path(f"/proc/{process_id}/stat").read_text("utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[_STATE_FIELD] in _GONE else int(fields[_START_FIELD])


def send_signal(process_id: int, ticks: int, number: signal.Signals) -> bool:
    """Signal the process that started then, and no other that took its number; false if gone."""
    try:
        process = os.pidfd_open(process_id)
    except ProcessLookupError:
        return False
    try:
        if start_ticks(process_id) != ticks:
            return False
        signal.pidfd_send_signal(process, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(process)
    return True
