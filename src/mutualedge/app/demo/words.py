"""What processes note during the rehearsal, in words a plant engineer understands."""

from collections.abc import Mapping

from mutualedge.app.words import WORDS as EVENT_WORDS

TOLD = (
    "peer.faulted",
    "runner.failed",
    "runner.ended",
    "lease.breached",
    "lease.claimed",
    "lease.closed_alone",
    "claim.contradicted",
    "voucher.refused",
)
"""Events told as they happen; the event files have them all."""

WORDS = {event: f"   {EVENT_WORDS[event]}" for event in TOLD} | {
    "runner.spawned": "   {who}: a runner is up; timing: {timing}"
}

REASONS: dict[str, str] = {
    "booking.job.deadline": "no room at home, no free place at a partner before the deadline",
    "booking.lease.ended": "no room at home, the lease at the partner was about to end",
    "device.node.off": "the device's own node was off",
    "market.partner.silent": "no room at home, the partner did not answer the call before",
    "market.lease.none": "no room at home, no session to a partner at that moment",
    "nats.connection.lost": "the device's own node lost power over it",
    "nats.request.no-responders": "the partner was gone, no room at home",
    "nats.request.timeout": "the partner did not answer, no time left to run it at home",
}
"""Why a question of a device got no result; other codes stand for themselves."""


def sentence_of(who: str, event: str, fields: Mapping[str, str | int]) -> str | None:
    """Return the sentence for an event, or nothing if it is not one to tell.

    Args:
        who: Whose process noted it.
        event: Its name.
        fields: What it carries.
    """
    words = WORDS.get(event)
    return None if words is None else words.format(who=who, **fields)
