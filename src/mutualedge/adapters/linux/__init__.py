"""What only the Linux kernel tells or does: who a process is, and who dies with whom."""

from mutualedge.adapters.linux.lifeline import die_with_parent
from mutualedge.adapters.linux.locks import is_locked, try_lock
from mutualedge.adapters.linux.processes import send_signal, start_ticks

__all__ = ["die_with_parent", "is_locked", "send_signal", "start_ticks", "try_lock"]
