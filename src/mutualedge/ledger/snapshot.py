"""What a console may show of a ledger."""

from dataclasses import dataclass

from mutualedge.ledger.accounts import (
    ACCOUNT_TABLE,
    POSITION_TABLE,
    Account,
    CreditLine,
    credit_line,
)
from mutualedge.ledger.blocks import Head
from mutualedge.ledger.invariants import rows_of
from mutualedge.ledger.lease_state import LEASE_TABLE, Lease
from mutualedge.ledger.store import Store
from mutualedge.model import EnterpriseId, LeaseId


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything a console may show of a ledger at one height, each sorted by name."""

    head: Head
    accounts: tuple[tuple[EnterpriseId, Account], ...]
    credit_lines: tuple[tuple[EnterpriseId, EnterpriseId, CreditLine], ...]
    leases: tuple[tuple[LeaseId, Lease], ...]


def snapshot_of(head: Head, store: Store) -> Snapshot:
    """Return an immutable view of everything but outcomes and resolved transfers."""
    accounts = dict(rows_of(store, ACCOUNT_TABLE, Account))
    pairs = (key.split("/") for key in sorted(dict(store.rows(POSITION_TABLE))))
    leases = dict(rows_of(store, LEASE_TABLE, Lease))
    lines = ((EnterpriseId(name), EnterpriseId(other)) for _, name, other in pairs)
    return Snapshot(
        head=head,
        accounts=tuple((EnterpriseId(name), accounts[name]) for name in sorted(accounts)),
        credit_lines=tuple((*pair, credit_line(store, *pair)) for pair in lines),
        leases=tuple((LeaseId(name), leases[name]) for name in sorted(leases)),
    )
