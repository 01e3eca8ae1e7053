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


def sentence_of(who: str, event: str, fields: Mapping[str, str | int]) -> str | None:
    """Return the sentence for an event, or nothing if it is not one to tell.

    Args:
        who: Whose process noted it.
        event: Its name.
        fields: What it carries.
    """
    words = WORDS.get(event)
    return None if words is None else words.format(who=who, **fields)
