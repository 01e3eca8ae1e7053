"""The contract's one door: which rule answers which command, and what is remembered of it."""

from typing import assert_never

import msgspec

from mutualedge.errors import RefusedByPolicy
from mutualedge.identity import Consortium
from mutualedge.ledger.accounts import set_limit
from mutualedge.ledger.claims import claim, close, contradict
from mutualedge.ledger.commands import (
    AdoptTrust,
    Claim,
    Close,
    Command,
    Contradict,
    OpenLease,
    Outcome,
    SetLimit,
    Settle,
)
from mutualedge.ledger.context import Context, read_row, write_row
from mutualedge.ledger.evidence import refusing
from mutualedge.ledger.leases import open_lease, settle
from mutualedge.ledger.trust import adopt_trust
from mutualedge.model import Digest, EnterpriseId, HexDigest, InvocationId

OUTCOME_TABLE = "outcome/"


class RecordedOutcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer to a command id, and the digest of the command that got it."""

    command: HexDigest
    outcome: Outcome


def perform(context: Context, consortium: Consortium, command: Command) -> None:
    """Change the state as the command asks, as its caller.

    Raises:
        RefusedByPolicy: The rules say no; the engine undoes whatever was written.
    """
    assert context.caller == command.enterprise
    match command.action:
        case OpenLease() as action:
            open_lease(context, consortium, action)
        case Settle() as action:
            settle(context, consortium, action)
        case Claim() as action:
            claim(context, consortium, action)
        case Close() as action:
            close(context, consortium, action)
        case Contradict() as action:
            contradict(context, action)
        case SetLimit() as action:
            _set_limit(context, consortium, action)
        case AdoptTrust() as action:
            adopt_trust(context, consortium, action)
        case _:
            assert_never(command.action)


def recorded_outcome(
    context: Context, enterprise: EnterpriseId, command_id: InvocationId
) -> RecordedOutcome | None:
    """Return what an enterprise's command id was answered, if it was."""
    return read_row(context, f"{OUTCOME_TABLE}{enterprise}/{command_id}", RecordedOutcome)


def record_outcome(context: Context, command: Command, digest: Digest, outcome: Outcome) -> None:
    """Remember the answer for good: a command that comes again must not act again."""
    key = f"{OUTCOME_TABLE}{command.enterprise}/{command.id}"
    assert context.get(key) is None
    write_row(context, key, RecordedOutcome(command=digest, outcome=outcome))


def _set_limit(context: Context, consortium: Consortium, action: SetLimit) -> None:
    with refusing("debtor"):
        debtor = consortium.member(action.debtor).enterprise
    if debtor == context.caller:
        sentence = f"'{debtor}' cannot lend to itself; name another member."
        raise RefusedByPolicy("ledger.limit.self", sentence)
    set_limit(context, context.caller, debtor, action.limit_microcredits)
