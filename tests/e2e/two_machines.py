"""Two machines on one computer: network namespaces that see each other over one cable."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

COMMAND_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One end: what to put before a command to run it there, and its address."""

    under: tuple[str, ...]
    address: str


LOOPBACK = Machine(under=(), address="127.0.0.1")


def ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True, timeout=COMMAND_TIMEOUT_S)


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Join two new namespaces; nothing outside can reach them, nor they anything outside."""
    mark = f"{os.getpid()}"
    names = [f"me{mark}a", f"me{mark}b"]
    addresses = ["10.77.0.1", "10.77.0.2"]
    try:
        for name in names:
            ip("netns", "add", name)
        cable = ("link", "add", f"v{mark}a", "netns", names[0], "type", "veth")
        ip(*cable, "peer", "name", f"v{mark}b", "netns", names[1])
        for name, address, end in zip(names, addresses, "ab", strict=True):
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "address", "add", f"{address}/24", "dev", f"v{mark}{end}")
            ip("-n", name, "link", "set", f"v{mark}{end}", "up")
        one, other = (
            Machine(under=("ip", "netns", "exec", name), address=address)
            for name, address in zip(names, addresses, strict=True)
        )
        yield one, other
    finally:
        for name in names:
            subprocess.run(("ip", "netns", "delete", name), check=False, capture_output=True)


def why_not_two() -> str:
    """Return why this computer cannot be two machines; empty if it can."""
    try:
        with two_machines():
            return ""
    except FileNotFoundError:
        return "there is no 'ip' command"
    except subprocess.CalledProcessError as error:
        return f"network namespaces are not allowed here: {error.stderr.decode().strip()}"
