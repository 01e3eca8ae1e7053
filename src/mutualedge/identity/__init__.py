"""Members of the consortium, their delegated keys, the trust file, and certificates."""

from mutualedge.identity.certificates import (
    Authority,
    SpiffeIdentity,
    create_authority,
    generate_private_key,
    issue_certificate,
    public_key_of,
)
from mutualedge.identity.members import (
    HUB,
    MEASUREMENTS_MAX,
    Consortium,
    Member,
    TrustFile,
    parse_trust,
    supermajority,
    verify_trust,
)
from mutualedge.identity.proposals import with_measurement, with_member, without_member
from mutualedge.identity.succession import has_quorum, leavers, verify_successor

__all__ = [
    "HUB",
    "MEASUREMENTS_MAX",
    "Authority",
    "Consortium",
    "Member",
    "SpiffeIdentity",
    "TrustFile",
    "create_authority",
    "generate_private_key",
    "has_quorum",
    "issue_certificate",
    "leavers",
    "parse_trust",
    "public_key_of",
    "supermajority",
    "verify_successor",
    "verify_trust",
    "with_measurement",
    "with_member",
    "without_member",
]
