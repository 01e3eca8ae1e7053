"""The error tree: one branch per cause that a caller treats differently."""

from dataclasses import dataclass
from typing import Self

__all__ = [
    "AttestationFailed",
    "CorruptState",
    "IsolationFailed",
    "Meaning",
    "MutualEdgeError",
    "PeerError",
    "RefusedByPeer",
    "RefusedByPolicy",
    "ResourceMissing",
    "Unreachable",
    "UsageError",
]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code says that no error class carries: an auditor's rule, how a function ended.

    Written by position, unlike other records: such codes stand in tables, a row each.

    Attributes:
        code: Stable dotted name.
        sentence: What happened.
        advice: What to do.
    """

    code: str
    sentence: str
    advice: str


class MutualEdgeError(Exception):
    """Base of every error this project raises on purpose.

    Attributes:
        code: Stable dotted name of the cause, for programs (``attest.evidence.stale``).
        sentence: What happened, where, and what to do, for an operator.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{sentence} [{code}]")
        self.code = code
        self.sentence = sentence

    def __reduce__(self) -> tuple[type["MutualEdgeError"], tuple[str, str]]:
        """Survive pickling between processes with both fields."""
        return type(self), (self.code, self.sentence)


class RefusedByPolicy(MutualEdgeError):
    """A rule of the house says no; asking again unchanged is pointless."""


class AttestationFailed(MutualEdgeError):
    """Evidence did not prove what was claimed; nothing secret may be sent."""


class IsolationFailed(MutualEdgeError):
    """This machine did not wall a runner in, so none runs; what else a node does goes on."""


class PeerError(MutualEdgeError):
    """The other party sent something it must not send: its fault, and provably so where signed."""


class RefusedByPeer(MutualEdgeError):
    """The other party answered that it will not: its right, and asking again needs another reason.

    Attributes:
        reason: Its code, such as ``market.lease.expired``; chosen by the other party.
    """

    def __init__(self, code: str, sentence: str, reason: str) -> None:
        super().__init__(code, sentence)
        self.reason = reason

    def __reduce__(  # type: ignore[override]  # pickle takes any length
        self,
    ) -> tuple[type[Self], tuple[str, str, str]]:
        """Survive pickling between processes with all fields."""
        return type(self), (self.code, self.sentence, self.reason)


class Unreachable(MutualEdgeError):
    """No answer came. Retry with the same idempotent id: what the other party did is unknown.

    Only ``nats.request.no-responders`` and ``nats.request.overloaded`` say that it did nothing.
    """


class UsageError(MutualEdgeError):
    """The caller or operator gave something we cannot use: our side's fault."""


class ResourceMissing(UsageError):
    """The machine has no room, port or lock for us now; the same start may succeed later."""


class CorruptState(MutualEdgeError):
    """Durable state contradicts itself; stop rather than guess."""
