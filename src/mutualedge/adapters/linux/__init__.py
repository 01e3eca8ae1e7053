"""What only Linux tells or does: who a process is, who dies with whom, what is granted."""

from mutualedge.adapters.linux.disk import disk_full, writing
from mutualedge.adapters.linux.lifeline import die_with_parent
from mutualedge.adapters.linux.locks import is_locked, try_lock
from mutualedge.adapters.linux.priority import Priority, raise_priority
from mutualedge.adapters.linux.processes import send_signal, start_ticks
from mutualedge.adapters.linux.trials import (
    is_clock_synchronised,
    program_version,
    try_bubblewrap,
    try_real_time,
    try_user_namespace,
)

__all__ = [
    "Priority",
    "die_with_parent",
    "disk_full",
    "is_clock_synchronised",
    "is_locked",
    "program_version",
    "raise_priority",
    "send_signal",
    "start_ticks",
    "try_bubblewrap",
    "try_lock",
    "try_real_time",
    "try_user_namespace",
    "writing",
]
