"""The embedded state: order, undo, and what a block has written."""

import pytest

from mutualedge.ledger import LimitChanged
from mutualedge.ledger.store import Store
from mutualedge.model import EnterpriseId, Microcredits

LIMIT = LimitChanged(
    creditor=EnterpriseId("bolt"), debtor=EnterpriseId("acme"), limit_microcredits=Microcredits(1)
)


def test_rows_come_in_key_order() -> None:
    """A scan sorts its table, whatever the order of writing, before and after its first use."""
    store = Store([("t/b", b"2"), ("u/a", b"0"), ("t/a", b"1")])
    assert [key for key, _ in store.scan("t/")] == ["t/a", "t/b"]
    store.put("t/aa", b"3")
    store.delete("t/b")
    assert [key for key, _ in store.scan("t/")] == ["t/a", "t/aa"]


def test_a_scan_survives_writing() -> None:
    """Rows may be removed and added ahead while the table is read."""
    store = Store([("t/1", b""), ("t/2", b""), ("t/3", b"")])
    seen = []
    for key, _ in store.scan("t/"):
        seen.append(key)
        store.delete(key)
        store.delete("t/2")
        store.put("t/4", b"")
        if key == "t/4":
            break
    assert seen == ["t/1", "t/3", "t/4"]


def write_and_fail(store: Store) -> None:
    store.put("t/1", b"new")
    store.delete("t/2")
    store.put("t/3", b"new")
    store.emit(LIMIT)
    raise ZeroDivisionError


def test_a_failed_attempt_leaves_nothing() -> None:
    """Rows, removals and events of a block that raises are undone; the exception goes on."""
    store = Store([("t/1", b"old"), ("t/2", b"old")])
    store.put("t/0", b"kept")
    store.emit(LIMIT)
    with pytest.raises(ZeroDivisionError), store.attempt():
        write_and_fail(store)
    assert store.events == (LIMIT,)
    assert dict(store.scan("t/")) == {"t/0": b"kept", "t/1": b"old", "t/2": b"old"}
    assert store.writes() == {"t/0": b"kept"}


def test_a_commit_is_not_undone() -> None:
    """After it, the next block starts with no writes of its own."""
    store = Store(())
    with store.attempt():
        store.put("t/1", b"1")
    store.commit()
    assert (store.writes(), store.get("t/1")) == ({}, b"1")


def test_writes_name_the_last_value_of_each_key() -> None:
    """A row written twice counts once; a removed one is None."""
    store = Store([("t/2", b"old")])
    store.put("t/1", b"1")
    store.put("t/1", b"2")
    store.delete("t/2")
    assert store.writes() == {"t/1": b"2", "t/2": None}
