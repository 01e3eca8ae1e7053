"""Double entry in mileage: accounts of four counters, transfers that resolve once, credit lines.

Source: the model of TigerBeetle's two-phase transfers; amounts are integer micro-credits.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, NewType

import msgspec

from mutualedge.errors import RefusedByPolicy
from mutualedge.ledger.context import Context, read_row, write_row
from mutualedge.ledger.events import LimitChanged
from mutualedge.model import (
    JSON_INTEGER_MAX,
    Amount,
    EnterpriseId,
    EnterpriseName,
    Microcredits,
)

TransferId = NewType("TransferId", str)
TransferName = Annotated[TransferId, msgspec.Meta(pattern=r"^[0-9a-f]{64}\.[0-9]{1,10}\Z")]
"""Digest of the document that causes the transfer, and how many it caused before."""

ACCOUNT_TABLE, POSITION_TABLE, TRANSFER_TABLE = "account/", "position/", "transfer/"

_NOTHING = Microcredits(0)


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All an enterprise ever spent (debits) and earned (credits), pending and posted."""

    debits_pending_microcredits: Amount = _NOTHING
    debits_posted_microcredits: Amount = _NOTHING
    credits_pending_microcredits: Amount = _NOTHING
    credits_posted_microcredits: Amount = _NOTHING

    @property
    def balance_microcredits(self) -> int:
        """Mileage: earned less spent, posted only; negative for a net borrower."""
        return self.credits_posted_microcredits - self.debits_posted_microcredits


class Position(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What went from one debtor to one creditor, and how much the creditor lets it owe."""

    limit_microcredits: Amount = _NOTHING
    pending_microcredits: Amount = _NOTHING
    posted_microcredits: Amount = _NOTHING


class TransferState(StrEnum):
    """A transfer leaves ``pending`` once and never returns."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"


class Transfer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One debit and one credit of the same amount: reserved first, then posted or voided."""

    debtor: EnterpriseName
    creditor: EnterpriseName
    reserved_microcredits: Amount
    posted_microcredits: Amount = _NOTHING
    state: TransferState = TransferState.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditLine:
    """How a debtor stands with a creditor, both directions of posted mileage netted."""

    limit_microcredits: int
    owed_microcredits: int
    pending_microcredits: int

    @property
    def available_microcredits(self) -> int:
        """What may still be reserved; negative after the creditor lowered the limit."""
        return self.limit_microcredits - self.owed_microcredits - self.pending_microcredits


def read_account(context: Context, enterprise: EnterpriseId) -> Account:
    """Return an enterprise's account; one that never traded has four zeros."""
    return read_row(context, ACCOUNT_TABLE + enterprise, Account) or Account()


def credit_line(context: Context, creditor: EnterpriseId, debtor: EnterpriseId) -> CreditLine:
    """Return what the debtor owes the creditor net, has reserved, and may owe."""
    position = _read_position(context, creditor, debtor)
    opposite = _read_position(context, debtor, creditor)
    return CreditLine(
        limit_microcredits=position.limit_microcredits,
        owed_microcredits=position.posted_microcredits - opposite.posted_microcredits,
        pending_microcredits=position.pending_microcredits,
    )


def set_limit(
    context: Context, creditor: EnterpriseId, debtor: EnterpriseId, limit: Microcredits
) -> None:
    """Let the debtor owe this much; below its current use only new reservations stop."""
    position = _read_position(context, creditor, debtor)
    changed = msgspec.structs.replace(position, limit_microcredits=limit)
    write_row(context, _position_key(creditor, debtor), changed)
    context.emit(LimitChanged(creditor=creditor, debtor=debtor, limit_microcredits=limit))


def reserve(
    context: Context,
    transfer_id: TransferId,
    *,
    debtor: EnterpriseId,
    creditor: EnterpriseId,
    amount: Microcredits,
) -> None:
    """Set this much of the debtor's credit line aside.

    Raises:
        RefusedByPolicy: The id was used before, the credit line is too short, or a counter
            would leave the integers that JSON keeps exact.
    """
    assert amount >= 0
    assert debtor != creditor
    _refuse_used_id(context, transfer_id)
    available = credit_line(context, creditor, debtor).available_microcredits
    if amount > available:
        sentence = (
            f"'{debtor}' may reserve {available} more microcredits with '{creditor}', "
            f"not {amount}; settle, lend, or ask the creditor for a higher limit."
        )
        raise RefusedByPolicy("ledger.credit.overdrawn", sentence)
    _refuse_overflow(context, debtor, creditor, amount)
    transfer = Transfer(debtor=debtor, creditor=creditor, reserved_microcredits=amount)
    write_row(context, TRANSFER_TABLE + transfer_id, transfer)
    _move(context, transfer, pending=amount, posted=0)


def post(
    context: Context,
    transfer_id: TransferId,
    amount: Microcredits,
    *,
    rest: TransferId | None = None,
) -> None:
    """Resolve a reservation by moving at most what it holds.

    Args:
        context: State.
        transfer_id: The pending transfer.
        amount: What is owed of it.
        rest: Id of a new pending transfer that keeps the remainder; it needs no credit, since
            the debtor's use stays the same. Without it the remainder is released.

    Raises:
        RefusedByPolicy: No such transfer, resolved before, too much, or ``rest`` was used before.
    """
    assert amount >= 0
    transfer = _pending(context, transfer_id)
    remainder = transfer.reserved_microcredits - amount
    if remainder < 0:
        sentence = (
            f"Transfer {transfer_id} reserved {transfer.reserved_microcredits} microcredits; "
            f"{amount} cannot be posted from it."
        )
        raise RefusedByPolicy("ledger.transfer.exceeded", sentence)
    _resolve(context, transfer_id, transfer, TransferState.POSTED, amount)
    if rest is not None:
        _refuse_used_id(context, rest)
        kept = msgspec.structs.replace(transfer, reserved_microcredits=Microcredits(remainder))
        write_row(context, TRANSFER_TABLE + rest, kept)
        _move(context, kept, pending=remainder, posted=0)


def void(context: Context, transfer_id: TransferId) -> None:
    """Resolve a reservation by releasing all of it.

    Raises:
        RefusedByPolicy: No such transfer, or resolved before.
    """
    transfer = _pending(context, transfer_id)
    _resolve(context, transfer_id, transfer, TransferState.VOIDED, _NOTHING)


def _position_key(creditor: EnterpriseId, debtor: EnterpriseId) -> str:
    return f"{POSITION_TABLE}{creditor}/{debtor}"


def _read_position(context: Context, creditor: EnterpriseId, debtor: EnterpriseId) -> Position:
    return read_row(context, _position_key(creditor, debtor), Position) or Position()


def _refuse_used_id(context: Context, transfer_id: TransferId) -> None:
    if context.get(TRANSFER_TABLE + transfer_id) is not None:
        sentence = f"Transfer {transfer_id} exists already; a transfer id is used once."
        raise RefusedByPolicy("ledger.transfer.exists", sentence)


def _refuse_overflow(
    context: Context, debtor: EnterpriseId, creditor: EnterpriseId, amount: Microcredits
) -> None:
    spent, earned = read_account(context, debtor), read_account(context, creditor)
    spent_after = spent.debits_pending_microcredits + spent.debits_posted_microcredits + amount
    earned_after = earned.credits_pending_microcredits + earned.credits_posted_microcredits + amount
    if max(spent_after, earned_after) > JSON_INTEGER_MAX:
        sentence = f"{amount} microcredits would overflow an account; agree on a coarser tariff."
        raise RefusedByPolicy("ledger.account.full", sentence)


def _pending(context: Context, transfer_id: TransferId) -> Transfer:
    transfer = read_row(context, TRANSFER_TABLE + transfer_id, Transfer)
    if transfer is None:
        sentence = f"There is no transfer {transfer_id}."
        raise RefusedByPolicy("ledger.transfer.unknown", sentence)
    if transfer.state is not TransferState.PENDING:
        sentence = f"Transfer {transfer_id} was {transfer.state} before; it resolves once."
        raise RefusedByPolicy("ledger.transfer.resolved", sentence)
    return transfer


def _resolve(
    context: Context,
    transfer_id: TransferId,
    transfer: Transfer,
    state: TransferState,
    amount: Microcredits,
) -> None:
    resolved = msgspec.structs.replace(transfer, state=state, posted_microcredits=amount)
    write_row(context, TRANSFER_TABLE + transfer_id, resolved)
    _move(context, transfer, pending=-transfer.reserved_microcredits, posted=amount)


def _move(context: Context, transfer: Transfer, *, pending: int, posted: int) -> None:
    """Change both accounts and the position by the same amounts: the only place that does."""
    spent = read_account(context, transfer.debtor)
    spent = msgspec.structs.replace(
        spent,
        debits_pending_microcredits=spent.debits_pending_microcredits + pending,
        debits_posted_microcredits=spent.debits_posted_microcredits + posted,
    )
    write_row(context, ACCOUNT_TABLE + transfer.debtor, spent)
    earned = read_account(context, transfer.creditor)
    earned = msgspec.structs.replace(
        earned,
        credits_pending_microcredits=earned.credits_pending_microcredits + pending,
        credits_posted_microcredits=earned.credits_posted_microcredits + posted,
    )
    write_row(context, ACCOUNT_TABLE + transfer.creditor, earned)
    position = _read_position(context, transfer.creditor, transfer.debtor)
    position = msgspec.structs.replace(
        position,
        pending_microcredits=position.pending_microcredits + pending,
        posted_microcredits=position.posted_microcredits + posted,
    )
    write_row(context, _position_key(transfer.creditor, transfer.debtor), position)
