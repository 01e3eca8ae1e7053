"""What happens to a core (node or hub) and what it wants done: events in, effects out."""

from dataclasses import dataclass, field

from mutualedge.model import EnterpriseId
from mutualedge.protocol.frames import RunnerAnswer, RunnerOrder
from mutualedge.protocol.messages import Reply, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request arrived; it wants exactly one ``Answer`` with this ``ask_id``."""

    ask_id: int
    peer: str
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The reply to one of our requests arrived."""

    request_id: int
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """No reply came in time or the peer cannot be reached: unknown, not refused."""

    request_id: int
    code: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerStarted:
    """A runner process is up, knows nothing yet, and says what timing it has.

    ``life`` numbers the runners of one node process; orders name the one they are for.
    """

    timing: str
    life: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerAnswered:
    """The runner answered the oldest order it had not answered."""

    answer: RunnerAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerLost:
    """The runner process ended; its sessions and meter key are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """The time that ``wake_ns`` named has come."""


Event = Asked | Answered | Unanswered | RunnerStarted | RunnerAnswered | RunnerLost | TimerFired


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Put (or with ``None`` delete) one row."""

    bucket: str
    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Send a request to a member or to the hub; exactly one event follows."""

    request_id: int
    peer: EnterpriseId
    request: Request
    timeout_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Reply to a request."""

    ask_id: int
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Hand the runner of this life an order; one for a runner that is gone is dropped."""

    order: RunnerOrder
    life: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something an operator may want to know; the driver records it, nothing depends on it."""

    name: str
    fields: tuple[tuple[str, str | int], ...] = ()


Output = Ask | Answer | Order | Note


@dataclass(slots=True)
class Effects:
    """One decision: every write is durable, in one transaction, before any output leaves."""

    writes: list[Write] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
