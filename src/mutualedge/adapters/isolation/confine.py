"""Runs first in the new process: takes rights away, says what is left, becomes the runner.

A script, started with ``python -I -S`` by its path, so that nothing of the environment or of the
project runs before the walls stand. It stops with a message rather than go on without one of
them; only real-time priority may be missing, and then the report says so.

Arguments: a ``Confinement`` as JSON, then the command to become.
"""

import json
import os
import resource
import sys

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
SIGKILL = 9
"""Numbers of prctl(2), linux/prctl.h."""

REAL_TIME_PRIORITY = 1
"""The lowest: above every ordinary process, below what else is real-time on the machine."""

NICE = -19
"""Second best where real time is not allowed: measured without a missed deadline as well."""

NAMESPACES = ("ipc", "mnt", "net", "pid", "uts")


def prioritise() -> tuple[str, str]:
    """Return ``prioritised`` or ``best-effort``, and how or why.

    Round robin rather than first-in-first-out: the watchdog thread must get its turn beside a
    call on a machine with a single processor.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REAL_TIME_PRIORITY))
    except OSError as no_real_time:
        refused = f"real time refused ({no_real_time.strerror})"
    else:
        return "prioritised", f"SCHED_RR {REAL_TIME_PRIORITY}"
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    except OSError as no_nice:
        advice = "grant CAP_SYS_NICE or LimitRTPRIO=1"
        return "best-effort", f"{refused}, nice refused ({no_nice.strerror}); {advice}"
    return "prioritised", f"nice {NICE}; {refused}"


def set_limits(limits: dict[str, int]) -> None:
    """Set resource limits by name (``AS``), soft and hard alike."""
    for name, limit in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))


def become_nobody(user_id: int) -> None:
    """Leave root for good: groups, group, user, in this order."""
    os.setgroups([])
    os.setresgid(user_id, user_id, user_id)
    os.setresuid(user_id, user_id, user_id)


def control(parent_pid: int, seccomp: str) -> None:
    """Die with the parent, never gain a privilege again, and lose system calls.

    After the change of user, which makes the kernel forget the first of these.
    """
    import ctypes  # noqa: PLC0415 - 5 ms that are not spent before the limits hold

    libc = ctypes.CDLL(None, use_errno=True)

    def prctl(option: int, argument: object) -> None:
        if libc.prctl(option, argument, 0, 0, 0) != 0:
            sys.exit(f"prctl {option}: {os.strerror(ctypes.get_errno())}")

    prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(SIGKILL))
    if parent_pid and os.getppid() != parent_pid:
        sys.exit("the node died before its runner started")
    prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))
    if seccomp:
        instructions = bytes.fromhex(seccomp)

        class Program(ctypes.Structure):
            """``struct sock_fprog`` of linux/filter.h: a count of instructions, and they."""

            _fields_ = (("count", ctypes.c_ushort), ("filter", ctypes.c_char_p))

        program = Program(len(instructions) // 8, instructions)
        if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
            sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")


def observed() -> dict[str, str]:
    """Return what the kernel says about this process: credentials, filter, namespaces."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:  # noqa: PTH123 - pathlib would double the start-up time
        fields = {name: text.strip() for name, _, text in (line.partition(":") for line in lines)}
    facts = {name: fields[name] for name in ("Uid", "CapPrm", "NoNewPrivs", "Seccomp")}
    for name in NAMESPACES:
        facts[name] = os.readlink(f"/proc/self/ns/{name}")  # noqa: PTH115 - as above
    return facts


def main() -> None:
    """Confine this process and become the command."""
    confinement = json.loads(sys.argv[1])
    timing, how = prioritise()
    set_limits(confinement["limits"])
    if confinement["user_id"] is not None:
        become_nobody(confinement["user_id"])
    control(confinement["parent_pid"], confinement["seccomp"])
    facts = observed() | {"timing": timing, "timing_reason": how}
    os.write(confinement["status_fd"], json.dumps(facts).encode() + b"\n")
    os.close(confinement["status_fd"])
    os.execve(sys.argv[2], sys.argv[2:], {})  # noqa: S606 - the command is our own runner


if __name__ == "__main__":
    main()
