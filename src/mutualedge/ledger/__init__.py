"""Mileage: the contract that two engines can host, and the embedded engine that hosts it."""

from mutualedge.ledger.accounts import Account, CreditLine
from mutualedge.ledger.blocks import (
    COMMANDS_MAX,
    Block,
    Countersignature,
    DroppedCommand,
    Execution,
    Head,
    fit,
)
from mutualedge.ledger.commands import (
    DONE,
    Action,
    AdoptTrust,
    Claim,
    Close,
    Command,
    Contradict,
    Executed,
    OpenLease,
    Outcome,
    SetLimit,
    Settle,
    verify_command,
)
from mutualedge.ledger.context import Context
from mutualedge.ledger.contract import perform
from mutualedge.ledger.engine import BLOCK_SKEW_NS_MAX, CLOCK_ADVICE, Ledger
from mutualedge.ledger.events import Event, LeaseChanged, LeaseStatus, LimitChanged, TrustAdopted
from mutualedge.ledger.lease_state import Lease
from mutualedge.ledger.leases import DISPUTE_WINDOW_MS_MAX, sweep
from mutualedge.ledger.replay import replay
from mutualedge.ledger.snapshot import Snapshot
from mutualedge.ledger.trust import TrustRow

__all__ = [
    "BLOCK_SKEW_NS_MAX",
    "CLOCK_ADVICE",
    "COMMANDS_MAX",
    "DISPUTE_WINDOW_MS_MAX",
    "DONE",
    "Account",
    "Action",
    "AdoptTrust",
    "Block",
    "Claim",
    "Close",
    "Command",
    "Context",
    "Contradict",
    "Countersignature",
    "CreditLine",
    "DroppedCommand",
    "Event",
    "Executed",
    "Execution",
    "Head",
    "Lease",
    "LeaseChanged",
    "LeaseStatus",
    "Ledger",
    "LimitChanged",
    "OpenLease",
    "Outcome",
    "SetLimit",
    "Settle",
    "Snapshot",
    "TrustAdopted",
    "TrustRow",
    "fit",
    "perform",
    "replay",
    "sweep",
    "verify_command",
]
