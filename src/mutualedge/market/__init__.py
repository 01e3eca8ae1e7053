"""Offers and agreements: what may be lent, what both sides signed, and what it costs."""

from mutualedge.market.agreements import (
    CALLS_MAX,
    WINDOW_CALLS_MAX,
    Agreement,
    Offer,
    verify_agreement,
)

__all__ = ["CALLS_MAX", "WINDOW_CALLS_MAX", "Agreement", "Offer", "verify_agreement"]
