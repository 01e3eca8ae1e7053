"""Members of the consortium, their delegated keys, the trust file, and node certificates."""

from mutualedge.identity.members import (
    Consortium,
    Member,
    TrustFile,
    supermajority,
    verify_trust,
)

__all__ = ["Consortium", "Member", "TrustFile", "supermajority", "verify_trust"]
