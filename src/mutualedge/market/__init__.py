"""Offers and agreements: what may be lent, what both sides signed, and what it costs."""

from mutualedge.market.agreements import (
    CALLS_MAX,
    WINDOW_CALLS_MAX,
    Agreement,
    Commitment,
    Offer,
    commitment_of,
    verify_agreement,
    verify_commitment,
)

__all__ = [
    "CALLS_MAX",
    "WINDOW_CALLS_MAX",
    "Agreement",
    "Commitment",
    "Offer",
    "commitment_of",
    "verify_agreement",
    "verify_commitment",
]
