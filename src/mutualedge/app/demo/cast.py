"""Who takes part in the rehearsal, on what terms, and how busy each one is at which hour."""

from mutualedge.app.founding import Founding
from mutualedge.app.options import BorrowingSettings, LendingSettings, TimingSettings
from mutualedge.model import EnterpriseId, Microcredits, Milliseconds

CANDY = EnterpriseId("candy")
MACHINES = EnterpriseId("machines")
LOGISTICS = EnterpriseId("logistics")

TRADES = {
    CANDY: "a candy factory",
    MACHINES: "a machine builder",
    LOGISTICS: "a logistics hub",
}
"""The enterprises, in the order of all tables."""

REPORTING: dict[EnterpriseId, tuple[int, ...]] = {
    CANDY: (1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 5, 8, 8, 8, 8, 8, 5, 3, 2, 1, 1, 1, 1, 1),
    MACHINES: (2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 5, 8, 8, 8, 8, 8, 3),
    LOGISTICS: (2, 3, 5, 8, 8, 8, 8, 8, 5, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
}
"""Machines that report in each tick of an hour, midnight first: the hub is busy in the morning,
the factory in the afternoon, the builder runs its lathes in the evening. Eight at once are more
than one node has room for; one is nearly nothing."""

TIMING = TimingSettings(
    job_budget_ms=20,
    network_ms=Milliseconds(5),
    window_calls=32,
    window_ms=Milliseconds(2_000),
    dispute_window_ms=Milliseconds(5_000),
    settle_grace_ms=Milliseconds(1_000),
    checkpoint_every_ms=Milliseconds(500),
    follow_every_ms=Milliseconds(200),
    request_timeout_ms=Milliseconds(2_000),
)
"""Everything in seconds that a plant has in hours, so that whole leases fit the rehearsal."""

LENDING = LendingSettings(
    budget_ms=20,
    period_ms=100,
    deadline_ms=60,
    price_microcredits=Microcredits(50),
    credit_microcredits=Microcredits(10_000_000),
)
"""Two leases promise 40 % of a node. A job of its owner's and both promised ones fit into the
60 ms until the promised ones are due."""

LEASE_MS = Milliseconds(7_000)
RENEW_BEFORE_MS = Milliseconds(2_000)
"""A little over half the day: each partnership settles once while the day goes on."""

PRICE_MAX_MICROCREDITS = Microcredits(100)


def founding() -> Founding:
    """Return the rehearsal's consortium: each enterprise lends to, and borrows from, each other."""
    names = tuple(TRADES)
    return Founding(
        consortium=EnterpriseId("rehearsal"),
        timing=TIMING,
        lending=LENDING,
        borrowers={
            name: BorrowingSettings(
                providers=tuple(other for other in names if other != name),
                lease_ms=LEASE_MS,
                renew_before_ms=RENEW_BEFORE_MS,
                price_max_microcredits=PRICE_MAX_MICROCREDITS,
            )
            for name in names
        },
        members=names,
    )
