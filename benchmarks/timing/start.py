"""Become a program with or without priority: ``python -m benchmarks.timing.start HOW ARGV``.

``ordinary`` gives up the right to any: the capability leaves the bounding set, so that no program
started from here has it again, and the limits leave no other way. ``real-time`` takes the lowest
real-time priority, as ``CPUSchedulingPolicy=rr`` does under systemd, or goes on without.
"""

import ctypes
import os
import resource
import sys
from contextlib import suppress

PR_CAPBSET_DROP = 24
CAP_SYS_NICE = 23
"""Numbers of linux/prctl.h and linux/capability.h."""

PRIORITY = 1


def _give_up_priority() -> None:
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(CAP_SYS_NICE), 0, 0, 0) != 0:
            sys.exit(f"CAP_SYS_NICE stays: {os.strerror(ctypes.get_errno())}")
    for limit in (resource.RLIMIT_RTPRIO, resource.RLIMIT_NICE):
        resource.setrlimit(limit, (0, 0))


def _take_priority() -> None:
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))


if __name__ == "__main__":
    _, how, *command = sys.argv
    {"ordinary": _give_up_priority, "real-time": _take_priority}[how]()
    os.execv(command[0], command)  # noqa: S606 - the command is the caller's
