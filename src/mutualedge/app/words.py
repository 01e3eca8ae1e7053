"""What processes note, in words a plant engineer understands."""

from collections.abc import Mapping

WORDS: dict[str, str] = {
    "runner.spawned": (
        "   {who}: the runner starts, isolated by {layers} (missing: {missing}); "
        "timing: {timing} ({timing_reason})"
    ),
    "evidence.appraised": (
        "4. {who} appraises the evidence of {provider}'s runner: it fits the trust file; "
        "assurance: {assurance}"
    ),
    "lease.agreed": "3. {who} and {provider} sign a lease; the ledger reserves its price",
    "lease.signed": "   {who} reserves processor time for {requester}",
    "session.opened": "5. {who} has an encrypted session into {provider}'s runner",
    "voucher.signed": "   {who} signs a voucher: it owes {total} microcredits so far",
    "statement.signed": "   {who}: the statement over {total} microcredits has both signatures",
    "lease.resolved": "   {who}: the ledger settled the lease",
    "checkpoint.cosigned": "   {who}'s log: {witness} cosigns its first {size} entries",
    "peer.faulted": "   {who} caught a fault: {sentence} [{code}]",
    "runner.failed": "   {who}: the runner could not be started: {sentence} [{code}]",
    "runner.ended": "   {who}: the runner ended and is started again",
}

ONCE = frozenset(
    {
        "checkpoint.cosigned",
        "evidence.appraised",
        "lease.agreed",
        "runner.spawned",
        "session.opened",
    }
)
"""Told the first time only; the event file has them all."""


def sentence_of(who: str, event: str, fields: Mapping[str, str | int], count: int) -> str | None:
    """Return the sentence for an event, or nothing if it is not one to tell.

    Args:
        who: Whose process noted it.
        event: Its name.
        fields: What it carries.
        count: How often this process noted it, this time included.
    """
    words = WORDS.get(event)
    if words is None or (event in ONCE and count > 1):
        return None
    return words.format(who=who, **fields)
