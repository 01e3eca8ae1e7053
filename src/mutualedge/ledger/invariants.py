"""What must hold between any two blocks, whatever was asked; the simulator checks it each time."""

from collections.abc import Iterator
from typing import TypeVar

from mutualedge.ledger.accounts import (
    ACCOUNT_TABLE,
    POSITION_TABLE,
    TRANSFER_TABLE,
    Account,
    Position,
    Transfer,
    TransferState,
)
from mutualedge.ledger.context import decode_row
from mutualedge.ledger.lease_state import (
    DUE_TABLE,
    LEASE_TABLE,
    UNSIGNED_TABLE,
    Lease,
    due_key,
    unsigned_key,
)
from mutualedge.ledger.store import Store
from mutualedge.model import LeaseId

T = TypeVar("T")


def rows_of(store: Store, table: str, kind: type[T]) -> Iterator[tuple[str, T]]:
    """Yield a table's rows decoded, each with its key after the table's name."""
    for key, raw in store.rows(table):
        yield key.removeprefix(table), decode_row(key, raw, kind)


def assert_zero_sum(store: Store) -> None:
    """Assert that no mileage was made or lost; a counter below zero would not even decode."""
    accounts = [account for _, account in rows_of(store, ACCOUNT_TABLE, Account)]
    assert sum(each.debits_posted_microcredits for each in accounts) == sum(
        each.credits_posted_microcredits for each in accounts
    )
    assert sum(each.debits_pending_microcredits for each in accounts) == sum(
        each.credits_pending_microcredits for each in accounts
    )


def assert_transfers_explain_accounts(store: Store) -> None:
    """Assert that accounts and positions are the sums of the transfers, no more and no less."""
    summed: dict[str, tuple[int, int]] = {}
    for _, transfer in rows_of(store, TRANSFER_TABLE, Transfer):
        assert transfer.posted_microcredits <= transfer.reserved_microcredits
        is_pending = transfer.state is TransferState.PENDING
        moved = (
            transfer.reserved_microcredits if is_pending else 0,
            transfer.posted_microcredits,
        )
        for counter in (
            f"debits of {transfer.debtor}",
            f"credits of {transfer.creditor}",
            f"{transfer.creditor}/{transfer.debtor}",
        ):
            before = summed.get(counter, (0, 0))
            summed[counter] = (before[0] + moved[0], before[1] + moved[1])
    kept = dict(_kept_counters(store))
    assert kept == {counter: summed.get(counter, (0, 0)) for counter in kept}
    assert all(counter in kept for counter in summed)


def _kept_counters(store: Store) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield what accounts and positions say is pending and posted."""
    for name, account in rows_of(store, ACCOUNT_TABLE, Account):
        spent = (account.debits_pending_microcredits, account.debits_posted_microcredits)
        earned = (account.credits_pending_microcredits, account.credits_posted_microcredits)
        yield f"debits of {name}", spent
        yield f"credits of {name}", earned
    for pair, position in rows_of(store, POSITION_TABLE, Position):
        yield pair, (position.pending_microcredits, position.posted_microcredits)


def assert_leases_hold_reservations(store: Store) -> None:
    """Assert one pending transfer, due row and unsigned row per unresolved lease, none else."""
    waiting: dict[str, Lease] = {}
    for lease_id, lease in rows_of(store, LEASE_TABLE, Lease):
        _assert_amounts(store, lease_id, lease)
        if lease.transfer is not None:
            waiting[lease.transfer] = lease
            assert store.get(due_key(LeaseId(lease_id), lease)) is not None
            assert store.get(unsigned_key(LeaseId(lease_id), lease)) is not None
    for table in (DUE_TABLE, UNSIGNED_TABLE):
        assert sum(1 for _ in store.rows(table)) == len(waiting)
    for name, transfer in rows_of(store, TRANSFER_TABLE, Transfer):
        if transfer.state is TransferState.PENDING:
            lease = waiting.pop(name)
            left = lease.cost_max_microcredits - lease.posted_microcredits
            assert transfer.reserved_microcredits == left
    assert not waiting


def _assert_amounts(store: Store, lease_id: str, lease: Lease) -> None:
    assert lease.posted_microcredits <= lease.claimed_microcredits <= lease.cost_max_microcredits
    moved = 0
    for index in range(lease.transfer_count):
        key = f"{TRANSFER_TABLE}{lease_id}.{index}"
        raw = store.get(key)
        assert raw is not None
        moved += decode_row(key, raw, Transfer).posted_microcredits
    assert moved == lease.posted_microcredits
