"""What an enterprise may ask of the ledger, and what it is told."""

from typing import Annotated

import msgspec

from mutualedge.errors import PeerError
from mutualedge.identity import Consortium
from mutualedge.meter import METERS_MAX
from mutualedge.model import (
    Amount,
    Count,
    EnterpriseName,
    HexDigest,
    HexInvocationId,
    HexLeaseId,
    PositiveCount,
)
from mutualedge.signing import Envelope, parse_canonical, verify_record

COMMAND_BYTES_MAX = 256 << 10
"""A claim over 64 meters has about 90 KiB; two of the largest commands fit one 1 MiB block."""

SENTENCE_BYTES_MAX = 400
"""Sentences travel in blocks and stay in state; ours are templates with bounded insertions."""

DONE = "done"

Evidence = Annotated[tuple[Envelope, ...], msgspec.Meta(max_length=METERS_MAX)]
Reason = Annotated[str, msgspec.Meta(pattern=r"^[ -~]{1,200}\Z")]


class OpenLease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Register a lease by its ``market.Commitment`` and reserve the most it can cost."""

    commitment: Envelope


class Settle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Post what both sides signed and release the rest."""

    statement: Envelope


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """The provider's one-sided account of a whole lease, all meters of it in one command.

    Attributes:
        vouchers: The requester's last voucher for each meter; they post at once.
        batches: The runner's last batch of meters among those; what they prove beyond the
            vouchers stays pending until the dispute window ends.
    """

    lease: HexLeaseId
    vouchers: Evidence
    batches: Evidence


class Close(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """The requester's one-sided account of a lease whose provider is gone."""

    lease: HexLeaseId
    vouchers: Evidence


class Contradict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """The requester denies what a claim asks beyond its vouchers."""

    lease: HexLeaseId
    reason: Reason


class SetLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """The caller, as creditor, decides how much a debtor may owe it."""

    debtor: EnterpriseName
    limit_microcredits: Amount


class Executed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last block that somebody executed; zeros under height 0 if there was none yet."""

    height: Count
    block: HexDigest


class AdoptTrust(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag=True,
    omit_defaults=True,
):
    """Let a ``TrustFile`` that follows the present one hold from the next block on.

    Attributes:
        executed: Said by a caller that leaves: its word for this block and all before it, and that
            nobody need wait for its word on those after.
    """

    trust: Envelope
    executed: Executed | None = None


Action = OpenLease | Settle | Claim | Close | Contradict | SetLimit | AdoptTrust


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One action of one enterprise; sending it again under its id changes nothing."""

    enterprise: EnterpriseName
    id: HexInvocationId
    action: Action


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of a command: ``done`` or the code of its refusal, and in which block."""

    id: HexInvocationId
    code: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z.-]{0,63}\Z")]
    sentence: Annotated[str, msgspec.Meta(max_length=SENTENCE_BYTES_MAX)]
    height: PositiveCount

    @property
    def is_done(self) -> bool:
        """Whether the command took effect."""
        return self.code == DONE


def verify_command(envelope: Envelope, consortium: Consortium) -> Command:
    """Return the command if a member's settlement key signed it, and nobody else.

    A signature that nobody looks at is room for bytes that no rule speaks of, in a block for ever.

    Raises:
        PeerError: Too large, malformed, from no member, or not signed by that member alone.
    """
    if len(envelope.payload) > COMMAND_BYTES_MAX:
        sentence = f"A ledger command has at most {COMMAND_BYTES_MAX} bytes; split the claim."
        raise PeerError("ledger.command.too-large", sentence)
    claimed = parse_canonical(envelope.payload, Command)
    key = consortium.member(claimed.enterprise).settlement_key
    command = verify_record(envelope, Command, key)
    if len(envelope.signatures) != 1:
        sentence = (
            "A ledger command has exactly one signature, its sender's; send it without others."
        )
        raise PeerError("ledger.command.signatures", sentence)
    return command
