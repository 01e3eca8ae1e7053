import struct

import pytest

from mutualedge.adapters.isolation.seccomp import AUDIT_ARCH, DENIED, X32_BIT, filter_program

ALLOW, KILL, EPERM = 0x7FFF0000, 0x80000000, 0x00050001

NEEDED = {
    "x86_64": {"read": 0, "mmap": 9, "clone": 56, "execve": 59, "recvfrom": 45, "clone3": 435},
    "aarch64": {"read": 63, "mmap": 222, "clone": 220, "execve": 221, "recvfrom": 207},
}
"""What the runner lives on, its threads included."""


def verdict(program: bytes, number: int, architecture: int) -> int:
    """Run the filter as the kernel would (linux/filter.h), on the few instructions it uses."""
    data = struct.pack("=II", number, architecture)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator, position = 0, 0
    while True:
        code, if_true, if_false, operand = instructions[position]
        position += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case 0x15:
                position += if_true if accumulator == operand else if_false
            case 0x35:
                position += if_true if accumulator >= operand else if_false
            case 0x06:
                return int(operand)
            case _:
                pytest.fail(f"instruction {code:#x} is none of ours")


@pytest.mark.parametrize("machine", sorted(AUDIT_ARCH))
def test_exactly_the_listed_calls_are_denied(machine: str) -> None:
    """Of all numbers, those on the list fail with EPERM and every other is allowed."""
    program = filter_program(machine)
    assert program is not None
    denied = {call[machine] for call in DENIED.values()}
    assert len(denied) == len(DENIED)
    for number in range(600):
        expected = EPERM if number in denied else ALLOW
        assert verdict(program, number, AUDIT_ARCH[machine]) == expected


@pytest.mark.parametrize("machine", sorted(AUDIT_ARCH))
def test_what_the_runner_lives_on_is_allowed(machine: str) -> None:
    """Reading, memory, threads and becoming the runner work under the filter."""
    program = filter_program(machine)
    assert program is not None
    for number in NEEDED[machine].values():
        assert verdict(program, number, AUDIT_ARCH[machine]) == ALLOW


def test_another_convention_is_no_way_around() -> None:
    """Calls of a foreign architecture end the process; x32 numbers are denied, all of them."""
    program = filter_program("x86_64")
    assert program is not None
    assert verdict(program, 41, AUDIT_ARCH["aarch64"]) == KILL
    assert verdict(program, 41, 0x40000003) == KILL
    for number in (X32_BIT, X32_BIT + 41, 0xFFFFFFFF):
        assert verdict(program, number, AUDIT_ARCH["x86_64"]) == EPERM


def test_an_unknown_processor_gets_no_filter() -> None:
    """Without a list of numbers there is no filter, rather than one for another processor."""
    assert filter_program("riscv64") is None
