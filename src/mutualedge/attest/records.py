"""What is archived of every attested session, so that an auditor can appraise it again."""

from typing import Annotated

import msgspec

from mutualedge.model import Bytes32, HexDigest, HexLeaseId, InstantText, NodeName
from mutualedge.protocol import COLLATERAL_BYTES_MAX, EVIDENCE_BYTES_MAX
from mutualedge.signing import Envelope


class Placement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The provider's word that this session's enclave runs on its registered machine.

    Signed with the node key. A genuine enclave on somebody else's machine (diversion) shows
    everything but this.

    Attributes:
        platform: Identity of the machine (the SGX PPID), as the member registered it.
        handshake: Handshake hash that the evidence is bound to.
        at: When it was signed, by the provider's clock.
    """

    lease: HexLeaseId
    node: NodeName
    platform: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
    handshake: Bytes32
    at: InstantText


class MeterAttestation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why one meter key is believed: evidence, what it is bound to, and the node's placement.

    A requester fills ``handshake`` with the hash of its *own* handshake, never with one that it
    was sent: that is what makes evidence from another session worthless.

    Attributes:
        meter_key: Raw Ed25519 public key born inside the runner.
        function: Digest of the bundle that the runner loaded.
        backend: Format of the evidence; ``sgx`` so far.
        evidence: The quote.
        collateral: JSON with CRLs, TCB information and enclave identity of its time.
        placement: Envelope of a ``Placement``.
    """

    lease: HexLeaseId
    meter_key: Bytes32
    function: HexDigest
    backend: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{1,15}\Z")]
    handshake: Bytes32
    evidence: Annotated[bytes, msgspec.Meta(max_length=EVIDENCE_BYTES_MAX)]
    collateral: Annotated[bytes, msgspec.Meta(max_length=COLLATERAL_BYTES_MAX)]
    placement: Envelope
