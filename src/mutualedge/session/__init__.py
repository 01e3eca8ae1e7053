"""Sessions between requester and runner: attested handshake, records, replay window, digests."""

from mutualedge.session.digests import content_digest, content_salt
from mutualedge.session.noise import Initiator, Responder
from mutualedge.session.prologue import handshake_prologue
from mutualedge.session.records import (
    CONTENT_BYTES_MAX,
    Direction,
    Opened,
    Opener,
    RecordKind,
    Sealer,
    SessionKeys,
)

__all__ = [
    "CONTENT_BYTES_MAX",
    "Direction",
    "Initiator",
    "Opened",
    "Opener",
    "RecordKind",
    "Responder",
    "Sealer",
    "SessionKeys",
    "content_digest",
    "content_salt",
    "handshake_prologue",
]
