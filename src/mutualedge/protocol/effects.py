"""What happens to a core (node or hub) and what it wants done: events in, effects out."""

import msgspec

from mutualedge.model import EnterpriseId
from mutualedge.protocol.frames import RunnerAnswer, RunnerOrder
from mutualedge.protocol.messages import Reply, Request


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request arrived; it wants exactly one ``Answer`` with this ``ask_id``."""

    ask_id: int
    peer: str
    request: Request


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to one of our requests arrived."""

    request_id: int
    reply: Reply


class Unanswered(msgspec.Struct, frozen=True, kw_only=True):
    """No reply came in time or the peer cannot be reached: unknown, not refused."""

    request_id: int
    code: str
    sentence: str


class RunnerStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A runner process is up, knows nothing yet, and says what timing it has.

    ``life`` numbers the runners of one node process; orders name the one they are for.
    """

    timing: str
    life: int


class RunnerAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """The runner answered the oldest order it had not answered."""

    answer: RunnerAnswer


class RunnerLost(msgspec.Struct, frozen=True, kw_only=True):
    """The runner process ended; its sessions and meter key are gone."""


class TimerFired(msgspec.Struct, frozen=True, kw_only=True):
    """The time that ``wake_ns`` named has come."""


class ToldToEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The process is to end: take nothing new, and say ``Restart`` once nothing would be lost."""


Event = (
    Asked
    | Answered
    | Unanswered
    | RunnerStarted
    | RunnerAnswered
    | RunnerLost
    | TimerFired
    | ToldToEnd
)


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """Put (or with ``None`` delete) one row."""

    bucket: str
    key: str
    value: bytes | None


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """Send a request to a member or to the hub; exactly one event follows."""

    request_id: int
    peer: EnterpriseId
    request: Request
    timeout_ns: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Reply to a request."""

    ask_id: int
    reply: Reply


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Hand the runner of this life an order; one for a runner that is gone is dropped."""

    order: RunnerOrder
    life: int


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something an operator may want to know; the driver records it, nothing depends on it."""

    name: str
    fields: tuple[tuple[str, str | int], ...] = ()


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """Make the core anew from its rows, as after a crash; the last output of its decision.

    ``reason`` tells an operator why.
    """

    reason: str


Output = Ask | Answer | Order | Note | Restart


class Effects(msgspec.Struct):
    """One decision: every write is durable, in one transaction, before any output leaves."""

    writes: list[Write] = msgspec.field(default_factory=list)
    outputs: list[Output] = msgspec.field(default_factory=list)
