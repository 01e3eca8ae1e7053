"""Double entry: reservations, postings, releases and credit lines between enterprises."""

import pytest

from mutualedge.errors import CorruptState, RefusedByPolicy
from mutualedge.ledger.accounts import (
    TransferId,
    credit_line,
    post,
    read_account,
    reserve,
    set_limit,
    void,
)
from mutualedge.model import JSON_INTEGER_MAX, EnterpriseId, Microcredits
from tests.unit.ledger_world import ACME, BOLT, DictContext


def transfer(index: int) -> TransferId:
    return TransferId(f"{'a' * 64}.{index}")


def lending(limit: int) -> DictContext:
    """Return a context in which bolt lets acme owe this much."""
    context = DictContext()
    set_limit(context, BOLT, ACME, Microcredits(limit))
    return context


def borrow(context: DictContext, index: int, amount: int) -> None:
    reserve(context, transfer(index), debtor=ACME, creditor=BOLT, amount=Microcredits(amount))


def counters(context: DictContext, enterprise: EnterpriseId) -> tuple[int, int, int, int]:
    """Return debits pending, posted, credits pending, posted."""
    account = read_account(context, enterprise)
    return (
        account.debits_pending_microcredits,
        account.debits_posted_microcredits,
        account.credits_pending_microcredits,
        account.credits_posted_microcredits,
    )


def test_a_reservation_is_pending_on_both_sides() -> None:
    """Reserved mileage stands on the debtor's debits and the creditor's credits, unposted."""
    context = lending(100)
    borrow(context, 0, 60)
    assert counters(context, ACME) == (60, 0, 0, 0)
    assert counters(context, BOLT) == (0, 0, 60, 0)


def test_posting_moves_at_most_the_reservation_and_releases_the_rest() -> None:
    """Of 60 reserved, 45 post, nothing stays pending, and 55 may be reserved again."""
    context = lending(100)
    borrow(context, 0, 60)
    post(context, transfer(0), Microcredits(45))
    assert counters(context, ACME) == (0, 45, 0, 0)
    assert counters(context, BOLT) == (0, 0, 0, 45)
    assert credit_line(context, BOLT, ACME).available_microcredits == 55


def test_voiding_leaves_no_trace_on_the_accounts() -> None:
    """A voided reservation frees the whole credit line."""
    context = lending(100)
    borrow(context, 0, 100)
    void(context, transfer(0))
    assert counters(context, ACME) == counters(context, BOLT) == (0, 0, 0, 0)
    borrow(context, 1, 100)


def test_the_rest_can_stay_reserved_although_the_limit_fell() -> None:
    """Splitting a reservation needs no credit, because the debtor's use does not change."""
    context = lending(100)
    borrow(context, 0, 100)
    set_limit(context, BOLT, ACME, Microcredits(10))
    post(context, transfer(0), Microcredits(30), rest=transfer(1))
    assert counters(context, ACME) == (70, 30, 0, 0)
    post(context, transfer(1), Microcredits(70))
    assert counters(context, BOLT) == (0, 0, 0, 100)


def test_nobody_owes_more_than_its_creditor_allows() -> None:
    """Without a limit nothing, at the limit exactly that much, can be reserved."""
    with pytest.raises(RefusedByPolicy, match=r"ledger\.credit\.overdrawn"):
        borrow(DictContext(), 0, 1)
    context = lending(100)
    with pytest.raises(RefusedByPolicy, match=r"ledger\.credit\.overdrawn"):
        borrow(context, 0, 101)
    borrow(context, 0, 100)
    with pytest.raises(RefusedByPolicy, match=r"ledger\.credit\.overdrawn"):
        borrow(context, 1, 1)


def test_posted_debt_uses_the_limit_as_pending_does() -> None:
    """What posted stays owed, so the line stays used."""
    context = lending(100)
    borrow(context, 0, 80)
    post(context, transfer(0), Microcredits(80))
    with pytest.raises(RefusedByPolicy, match=r"ledger\.credit\.overdrawn"):
        borrow(context, 1, 21)


def test_lending_back_frees_the_credit_line() -> None:
    """Debt counts net: what acme earned from bolt it may spend again on top of the limit."""
    context = lending(100)
    set_limit(context, ACME, BOLT, Microcredits(40))
    reserve(context, transfer(0), debtor=BOLT, creditor=ACME, amount=Microcredits(40))
    post(context, transfer(0), Microcredits(40))
    assert credit_line(context, BOLT, ACME).owed_microcredits == -40
    borrow(context, 1, 140)
    assert credit_line(context, BOLT, ACME).available_microcredits == 0


def test_a_pending_credit_is_not_spent_before_it_posts() -> None:
    """Only posted mileage counts against a debt: a reservation may still be voided."""
    context = lending(100)
    set_limit(context, ACME, BOLT, Microcredits(40))
    reserve(context, transfer(0), debtor=BOLT, creditor=ACME, amount=Microcredits(40))
    with pytest.raises(RefusedByPolicy, match=r"ledger\.credit\.overdrawn"):
        borrow(context, 1, 101)


def test_a_transfer_id_is_used_once() -> None:
    """Neither a reservation nor a remainder may take a name that exists."""
    context = lending(100)
    borrow(context, 0, 10)
    with pytest.raises(RefusedByPolicy, match=r"ledger\.transfer\.exists"):
        borrow(context, 0, 10)
    with pytest.raises(RefusedByPolicy, match=r"ledger\.transfer\.exists"):
        post(context, transfer(0), Microcredits(1), rest=transfer(0))


@pytest.mark.parametrize("ended_by", ["post", "void"])
@pytest.mark.parametrize("again_by", ["post", "void"])
def test_a_transfer_resolves_once(ended_by: str, again_by: str) -> None:
    """Posted or voided, it can be neither again."""
    context = lending(100)
    borrow(context, 0, 10)
    end(context, ended_by)
    with pytest.raises(RefusedByPolicy, match=r"ledger\.transfer\.resolved"):
        end(context, again_by)


def end(context: DictContext, how: str) -> None:
    if how == "post":
        post(context, transfer(0), Microcredits(5))
    else:
        void(context, transfer(0))


def test_more_than_reserved_cannot_be_posted() -> None:
    """The reservation is the most that moves."""
    context = lending(100)
    borrow(context, 0, 10)
    with pytest.raises(RefusedByPolicy, match=r"ledger\.transfer\.exceeded"):
        post(context, transfer(0), Microcredits(11))


def test_an_unknown_transfer_cannot_be_resolved() -> None:
    """There is nothing to post of what was never reserved."""
    with pytest.raises(RefusedByPolicy, match=r"ledger\.transfer\.unknown"):
        void(DictContext(), transfer(0))


def test_an_account_never_leaves_the_exact_integers() -> None:
    """Counters stop at 2^53 - 1, where JSON readers start to round."""
    context = lending(JSON_INTEGER_MAX)
    set_limit(context, ACME, BOLT, Microcredits(JSON_INTEGER_MAX))
    borrow(context, 0, JSON_INTEGER_MAX)
    post(context, transfer(0), Microcredits(JSON_INTEGER_MAX))
    back = Microcredits(JSON_INTEGER_MAX)
    reserve(context, transfer(1), debtor=BOLT, creditor=ACME, amount=back)
    post(context, transfer(1), back)
    with pytest.raises(RefusedByPolicy, match=r"ledger\.account\.full"):
        borrow(context, 2, 1)


def test_a_damaged_row_stops_the_ledger() -> None:
    """A row that is no account is never taken for an empty one."""
    context = DictContext()
    context.put("account/acme", b'{"debits_pending_microcredits":-1}')
    with pytest.raises(CorruptState, match=r"ledger\.row\.corrupt"):
        read_account(context, ACME)
