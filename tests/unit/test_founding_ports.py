"""Ports that are kept: free, different, and none that the system lends to anybody's connection."""

import socket
from pathlib import Path

import pytest

from mutualedge.app.founding import KEPT_PORTS, LOOPBACK, free_ports
from mutualedge.errors import UsageError


def test_free_ports_are_different_and_bindable() -> None:
    """What was named is passed on; the others can be listened on at once."""
    first, named, third = free_ports(LOOPBACK, (0, 7422, 0))
    assert named == 7422
    assert first != third
    for port in (first, third):
        with socket.create_server((LOOPBACK, port)):
            pass


def test_no_connection_is_lent_a_kept_port() -> None:
    """The system's own range begins above them on a machine that did not widen it."""
    lent = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()
    if int(lent[0]) < KEPT_PORTS.stop:
        pytest.skip("this machine lends connections more ports than Linux does by itself")
    assert {*free_ports(LOOPBACK, [0] * 20)} <= {*KEPT_PORTS}


def test_another_machines_address_has_no_free_port() -> None:
    """Nothing can be bound there; the sentence says which host."""
    with pytest.raises(UsageError) as refused:
        free_ports("192.0.2.1", (0,))
    assert refused.value.code == "app.port.none"
    assert "192.0.2.1" in refused.value.sentence
