"""Double entry against a model: whatever is asked, mileage is neither made nor lost."""

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from mutualedge.errors import RefusedByPolicy
from mutualedge.ledger.accounts import (
    TransferId,
    credit_line,
    post,
    read_account,
    reserve,
    set_limit,
    void,
)
from mutualedge.model import EnterpriseId, Microcredits
from tests.unit.ledger_world import ACME, BOLT, CORD, DictContext

amounts = st.integers(min_value=0, max_value=120)
members = st.sampled_from((ACME, BOLT, CORD))


@dataclass
class Reserved:
    """A reservation as the model remembers it."""

    transfer: TransferId
    debtor: EnterpriseId
    creditor: EnterpriseId
    amount: int


class AccountsMachine(RuleBasedStateMachine):
    pending = Bundle("pending")
    resolved = Bundle("resolved")

    def __init__(self) -> None:
        super().__init__()
        self.context = DictContext()
        self.limits: dict[tuple[EnterpriseId, EnterpriseId], int] = {}
        self.held: dict[TransferId, Reserved] = {}
        self.owed: dict[tuple[EnterpriseId, EnterpriseId], int] = {}
        self.drawn = 0

    def draw_id(self) -> TransferId:
        self.drawn += 1
        return TransferId(f"{'a' * 64}.{self.drawn}")

    def used(self, creditor: EnterpriseId, debtor: EnterpriseId) -> int:
        """Return what the debtor owes net and has reserved, by the model's own arithmetic."""
        pair = (creditor, debtor)
        held = sum(r.amount for r in self.held.values() if (r.creditor, r.debtor) == pair)
        return self.owed.get(pair, 0) - self.owed.get((debtor, creditor), 0) + held

    @rule(creditor=members, debtor=members, limit=amounts)
    def limit(self, creditor: EnterpriseId, debtor: EnterpriseId, limit: int) -> None:
        if creditor != debtor:
            set_limit(self.context, creditor, debtor, Microcredits(limit))
            self.limits[creditor, debtor] = limit

    @rule(target=pending, creditor=members, debtor=members, amount=amounts)
    def borrow(self, creditor: EnterpriseId, debtor: EnterpriseId, amount: int) -> Reserved:
        asked = Reserved(self.draw_id(), debtor, creditor, amount)
        if creditor == debtor:
            return asked
        fits = self.used(creditor, debtor) + amount <= self.limits.get((creditor, debtor), 0)
        if fits:
            self.reserve(asked)
            self.held[asked.transfer] = asked
        else:
            with pytest.raises(RefusedByPolicy, match=r"ledger\.credit\.overdrawn"):
                self.reserve(asked)
        return asked

    def reserve(self, asked: Reserved) -> None:
        amount = Microcredits(asked.amount)
        parties = {"debtor": asked.debtor, "creditor": asked.creditor}
        reserve(self.context, asked.transfer, amount=amount, **parties)

    @rule(target=resolved, reserved=consumes(pending), amount=amounts)
    def settle(self, reserved: Reserved, amount: int) -> Reserved:
        if reserved.transfer not in self.held:
            with pytest.raises(RefusedByPolicy, match=r"ledger\.transfer\.unknown"):
                post(self.context, reserved.transfer, Microcredits(amount))
        elif amount > reserved.amount:
            with pytest.raises(RefusedByPolicy, match=r"ledger\.transfer\.exceeded"):
                post(self.context, reserved.transfer, Microcredits(amount))
            void(self.context, reserved.transfer)
            del self.held[reserved.transfer]
        else:
            post(self.context, reserved.transfer, Microcredits(amount))
            self.posted(self.held.pop(reserved.transfer), amount)
        return reserved

    @rule(target=pending, reserved=consumes(pending), amount=amounts)
    def settle_in_part(self, reserved: Reserved, amount: int) -> Reserved:
        if reserved.transfer not in self.held or amount > reserved.amount:
            return reserved
        left = reserved.amount - amount
        rest = Reserved(self.draw_id(), reserved.debtor, reserved.creditor, left)
        post(self.context, reserved.transfer, Microcredits(amount), rest=rest.transfer)
        self.posted(self.held.pop(reserved.transfer), amount)
        self.held[rest.transfer] = rest
        return rest

    def posted(self, reserved: Reserved, amount: int) -> None:
        pair = (reserved.creditor, reserved.debtor)
        self.owed[pair] = self.owed.get(pair, 0) + amount

    @rule(reserved=resolved)
    def resolve_again(self, reserved: Reserved) -> None:
        with pytest.raises(RefusedByPolicy, match=r"ledger\.transfer\.(resolved|unknown)"):
            void(self.context, reserved.transfer)

    @invariant()
    def accounts_are_what_the_model_says(self) -> None:
        for name in (ACME, BOLT, CORD):
            account = read_account(self.context, name)
            spent = sum(moved for (_, debtor), moved in self.owed.items() if debtor == name)
            earned = sum(moved for (creditor, _), moved in self.owed.items() if creditor == name)
            assert account.balance_microcredits == earned - spent
            held = sum(r.amount for r in self.held.values() if r.debtor == name)
            assert account.debits_pending_microcredits == held

    @invariant()
    def mileage_is_zero_sum(self) -> None:
        accounts = [read_account(self.context, name) for name in (ACME, BOLT, CORD)]
        assert sum(each.balance_microcredits for each in accounts) == 0
        spent = sum(each.debits_pending_microcredits for each in accounts)
        assert spent == sum(each.credits_pending_microcredits for each in accounts)

    @invariant()
    def credit_lines_are_what_the_model_says(self) -> None:
        for (creditor, debtor), limit in self.limits.items():
            line = credit_line(self.context, creditor, debtor)
            assert line.limit_microcredits == limit
            assert line.available_microcredits == limit - self.used(creditor, debtor)


TestAccountsMachine = AccountsMachine.TestCase
