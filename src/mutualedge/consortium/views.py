"""What the hub looks like from outside at one moment; status pages and the console read this."""

import msgspec

from mutualedge.model import AssuranceLevel, Count, EnterpriseName, InstantText


class MemberView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member as the hub knows it.

    Attributes:
        heard: When it last asked something, by the hub's clock; None since the hub's start.
        balance_microcredits: Its mileage; all members' sum to zero.
        log_size: Entries of its log that the hub cosigned last.
    """

    enterprise: EnterpriseName
    heard: InstantText | None
    balance_microcredits: int
    log_size: Count


class HubSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything an operator may see of the hub.

    Attributes:
        final_height: Highest block that enough members countersigned, without a gap below.
        commands_waiting: For the next block.
        commands_done: Carried out since the start.
        commands_refused: Refused by the contract since the start.
    """

    consortium: EnterpriseName
    trust_version: Count
    assurance: AssuranceLevel
    ledger_height: Count
    final_height: Count
    commands_waiting: Count
    commands_done: Count
    commands_refused: Count
    members: tuple[MemberView, ...]
