"""What a shell learns of a failure, without reading its sentence."""

import pytest

from mutualedge.cli.main import _status_of
from mutualedge.errors import (
    CorruptState,
    MutualEdgeError,
    PeerError,
    RefusedByPeer,
    RefusedByPolicy,
    ResourceMissing,
    Unreachable,
    UsageError,
)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("a.b", "Wrong folder."), 64),
        (PeerError("a.b", "It lies."), 70),
        (CorruptState("a.b", "It contradicts itself."), 70),
        (ResourceMissing("a.b", "No room."), 75),
        (Unreachable("a.b", "Nobody answers."), 75),
        (RefusedByPolicy("a.b", "Not here."), 77),
        (RefusedByPeer("a.b", "Not there.", "c.d"), 77),
    ],
)
def test_a_status_says_what_to_do_next(error: MutualEdgeError, status: int) -> None:
    """Look at the arguments, ask for help, try again later, or ask somebody else."""
    assert _status_of(error) == status
