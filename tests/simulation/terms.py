"""What every simulated owner set: what nodes lend, borrow, pay and wait for."""

from mutualedge.functions import anomaly_bundle
from mutualedge.market import Agreement
from mutualedge.model import NS_PER_MS, EnterpriseId
from mutualedge.node import Borrowing, Lending, NodeSettings

JOB_NS = 5 * NS_PER_MS
PERIOD_NS = 4 * JOB_NS
PRICE_MICROCREDITS = 100
WINDOW_CALLS = 4
"""W: a lease sees some fifteen bursts, so that an unsigned one must stop long before its end."""

WINDOW_MS = 10_000
DISPUTE_WINDOW_MS = 3600_000
CREDIT_MICROCREDITS = 10**12

_BUNDLE = anomaly_bundle()


def settings_of(
    name: str, names: tuple[str, ...], collateral: bytes, credit_microcredits: int
) -> NodeSettings:
    """Return one member's settings: it borrows from the next two of the ring."""
    index = names.index(name)
    after = (names[(index + step) % len(names)] for step in (1, 2))
    return NodeSettings(
        function=_BUNDLE.digest,
        bundle=_BUNDLE.raw,
        collateral=collateral,
        job_budget_ns=JOB_NS,
        lending=Lending(
            budget_ns=JOB_NS,
            period_ns=PERIOD_NS,
            deadline_ns=PERIOD_NS,
            price_microcredits=PRICE_MICROCREDITS,
            credit_microcredits=credit_microcredits,
        ),
        borrowing=Borrowing(
            providers=tuple(EnterpriseId(other) for other in after),
            lease_ms=6 * 3600_000,
            renew_before_ms=600_000,
            price_max_microcredits=PRICE_MICROCREDITS,
        ),
        network_ms=5,
        window_calls=WINDOW_CALLS,
        window_ms=WINDOW_MS,
        dispute_window_ms=DISPUTE_WINDOW_MS,
        settle_grace_ms=600_000,
        checkpoint_every_ms=3500_000,
        follow_every_ms=480_000,
        request_timeout_ms=5_000,
    )


def assert_own_terms(terms: Agreement) -> None:
    """Assert that an honest party signed only what its owner set."""
    assert (terms.window_calls, terms.window_ms) == (WINDOW_CALLS, WINDOW_MS)
    assert terms.dispute_window_ms == DISPUTE_WINDOW_MS
    assert terms.price_microcredits == PRICE_MICROCREDITS
    assert (terms.budget_ns, terms.period_ns) == (JOB_NS, PERIOD_NS)
    assert terms.deadline_ns >= PERIOD_NS, "a longer deadline only makes the lease useless"
