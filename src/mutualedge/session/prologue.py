"""What both ends must hold alike before the first handshake byte."""

import msgspec

from mutualedge.model import AssuranceLevel, Bytes32, HexDigest, HexLeaseId
from mutualedge.signing import canonical_bytes

PROTOCOL = "me-session/1"


class _Prologue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    protocol: str
    assurance: AssuranceLevel
    lease: HexLeaseId
    function: HexDigest
    trust: HexDigest
    nonce: Bytes32


def handshake_prologue(
    *,
    assurance: AssuranceLevel,
    lease: HexLeaseId,
    function: HexDigest,
    trust_digest: HexDigest,
    nonce: bytes,
) -> bytes:
    """Return the bytes whose every difference makes the handshake fail.

    A simulated and a real peer, or peers with different trust files, never get past message 2.

    Args:
        assurance: Level the agreement demands.
        lease: Identity of the agreement.
        function: Digest of the bundle to run.
        trust_digest: Digest of the trust file in force.
        nonce: 32 bytes of the initiator's, fresh for each session.
    """
    return canonical_bytes(
        _Prologue(
            protocol=PROTOCOL,
            assurance=assurance,
            lease=lease,
            function=function,
            trust=trust_digest,
            nonce=nonce,
        )
    )
