"""The system calls a runner never needs, as a filter program for the kernel.

Source: seccomp(2), linux/seccomp.h, linux/filter.h; numbers from the kernel's tables
``arch/x86/entry/syscalls/syscall_64.tbl`` and ``include/uapi/asm-generic/unistd.h``.
"""

import struct
from collections.abc import Mapping

AUDIT_ARCH: Mapping[str, int] = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}

X32_BIT = 0x4000_0000
"""Calls of the x32 convention have it set; none is needed, and they would slip past the list."""

DENIED: Mapping[str, Mapping[str, int]] = {
    # New sockets: the runner has the one it inherited.
    "socket": {"x86_64": 41, "aarch64": 198},
    "socketpair": {"x86_64": 53, "aarch64": 199},
    "connect": {"x86_64": 42, "aarch64": 203},
    "bind": {"x86_64": 49, "aarch64": 200},
    "listen": {"x86_64": 50, "aarch64": 201},
    # Other processes' memory.
    "ptrace": {"x86_64": 101, "aarch64": 117},
    "process_vm_readv": {"x86_64": 310, "aarch64": 270},
    "process_vm_writev": {"x86_64": 311, "aarch64": 271},
    "pidfd_getfd": {"x86_64": 438, "aarch64": 438},
    # Namespaces, mounts and roots.
    "unshare": {"x86_64": 272, "aarch64": 97},
    "setns": {"x86_64": 308, "aarch64": 268},
    "mount": {"x86_64": 165, "aarch64": 40},
    "umount2": {"x86_64": 166, "aarch64": 39},
    "move_mount": {"x86_64": 429, "aarch64": 429},
    "open_tree": {"x86_64": 428, "aarch64": 428},
    "fsopen": {"x86_64": 430, "aarch64": 430},
    "pivot_root": {"x86_64": 155, "aarch64": 41},
    "chroot": {"x86_64": 161, "aarch64": 51},
    "open_by_handle_at": {"x86_64": 304, "aarch64": 265},
    # Parts of the kernel with a history of holes and no use here.
    "bpf": {"x86_64": 321, "aarch64": 280},
    "perf_event_open": {"x86_64": 298, "aarch64": 241},
    "userfaultfd": {"x86_64": 323, "aarch64": 282},
    "io_uring_setup": {"x86_64": 425, "aarch64": 425},
    "add_key": {"x86_64": 248, "aarch64": 217},
    "request_key": {"x86_64": 249, "aarch64": 218},
    "keyctl": {"x86_64": 250, "aarch64": 219},
    # The machine itself.
    "init_module": {"x86_64": 175, "aarch64": 105},
    "finit_module": {"x86_64": 313, "aarch64": 273},
    "delete_module": {"x86_64": 176, "aarch64": 106},
    "kexec_load": {"x86_64": 246, "aarch64": 104},
    "reboot": {"x86_64": 169, "aarch64": 142},
    "settimeofday": {"x86_64": 164, "aarch64": 170},
    "clock_settime": {"x86_64": 227, "aarch64": 112},
    "swapon": {"x86_64": 167, "aarch64": 224},
    "acct": {"x86_64": 163, "aarch64": 89},
}

_LOAD_WORD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO_EPERM = 0x7FFF_0000, 0x8000_0000, 0x0005_0001
_OFFSET_OF_NUMBER, _OFFSET_OF_ARCHITECTURE = 0, 4


def filter_program(machine: str) -> bytes | None:
    """Return the filter for this processor (``uname -m``), or nothing for one we have no list of.

    A denied call fails with EPERM; a call in another processor's convention ends the process.
    """
    architecture = AUDIT_ARCH.get(machine)
    if architecture is None:
        return None
    numbers = sorted(call[machine] for call in DENIED.values())
    checks = [(_JUMP_IF_EQUAL, number) for number in numbers]
    if machine == "x86_64":
        checks.insert(0, (_JUMP_IF_AT_LEAST, X32_BIT))
    program = [
        _instruction(_LOAD_WORD, _OFFSET_OF_ARCHITECTURE),
        _instruction(_JUMP_IF_EQUAL, architecture, if_true=1),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD_WORD, _OFFSET_OF_NUMBER),
    ]
    # Each check jumps over the checks behind it and the ALLOW that ends them.
    program += [
        _instruction(kind, operand, if_true=len(checks) - index)
        for index, (kind, operand) in enumerate(checks)
    ]
    program += [_instruction(_RETURN, _ALLOW), _instruction(_RETURN, _ERRNO_EPERM)]
    return b"".join(program)


def _instruction(code: int, operand: int, *, if_true: int = 0) -> bytes:
    """Return one ``struct sock_filter``; a jump that is not taken goes to the next."""
    return struct.pack("=HBBI", code, if_true, 0, operand)
