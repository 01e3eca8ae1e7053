"""What every part of a node shares: who it is, its keys, its clock, and where effects go."""

import hashlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass

from mutualedge.identity import Consortium, Member
from mutualedge.model import NS_PER_S, Digest, EnterpriseId
from mutualedge.protocol import Reply, Request, RunnerOrder
from mutualedge.protocol.effects import (
    Answer,
    Answered,
    Ask,
    Effects,
    Note,
    Order,
    Unanswered,
    Write,
)
from mutualedge.signing import Entropy, SigningKey

WAITING_MAX = 4096
"""Requests of ours that may be unanswered at once; more means the bus is not answering at all."""

OnReply = Callable[["Reply | Unanswered"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lending:
    """What this node lends: one sporadic reservation per lease, at a posted price.

    ``credit_microcredits`` is how much each partner may owe us, set on the ledger at start.
    """

    budget_ns: int
    period_ns: int
    deadline_ns: int
    price_microcredits: int
    credit_microcredits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrowing:
    """From whom this node borrows, the shape of the leases it proposes, and what it pays at most.

    Without ``providers`` it borrows from every other member. ``price_max_microcredits`` is for one
    millisecond of reserved time.
    """

    providers: tuple[EnterpriseId, ...]
    lease_ms: int
    renew_before_ms: int
    price_max_microcredits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """Everything a node is told at start.

    Attributes:
        function: Digest of the bundle it runs for its devices.
        bundle: The bundle's bytes, handed to each new runner.
        collateral: Endorsements for this node's evidence, sent with each session.
        job_budget_ns: Worst case of one local job, dispatch and crypto included.
        network_ms: Bound on one-way delay used in bookings.
        window_calls: W, in calls, written into leases it proposes.
        window_ms: W, in time.
        dispute_window_ms: Written into leases it proposes.
        settle_grace_ms: How long after lease end a side waits for the other's signature.
        checkpoint_every_ms: Least distance between two checkpoints of the log.
        follow_every_ms: How often the ledger is asked for new blocks.
        request_timeout_ms: For everything that is not a call with its own deadline.
    """

    function: Digest
    bundle: bytes
    collateral: bytes
    job_budget_ns: int
    lending: Lending | None
    borrowing: Borrowing | None
    network_ms: int
    window_calls: int
    window_ms: int
    dispute_window_ms: int
    settle_grace_ms: int
    checkpoint_every_ms: int
    follow_every_ms: int
    request_timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKeys:
    """The private halves of the member's card that a node process holds."""

    node: SigningKey
    settlement: SigningKey
    log: SigningKey
    witness: SigningKey
    salt_secret: bytes


class Station:
    """Shared by the parts of one node; holds the effects of the event being handled."""

    def __init__(
        self,
        *,
        me: Member,
        consortium: Consortium,
        settings: NodeSettings,
        keys: NodeKeys,
        entropy: Entropy,
    ) -> None:
        """Take who this node is; nothing happens yet."""
        self.me = me
        self.consortium = consortium
        self.settings = settings
        self.keys = keys
        self.entropy = entropy
        self.now_ns = 0
        self.effects = Effects()
        self._waiting: dict[int, OnReply] = {}
        self._next_id = 0
        self._timers: list[tuple[int, int, Callable[[], None]]] = []

    @property
    def is_member(self) -> bool:
        """Whether this enterprise is in the version of the trust file that this life works with."""
        return self.consortium.has(self.me.enterprise)

    @property
    def partners(self) -> tuple[EnterpriseId, ...]:
        """Every other member of this version of the trust file."""
        names = (member.enterprise for member in self.consortium.members)
        return tuple(name for name in names if name != self.me.enterprise)

    def begin(self, now_ns: int) -> None:
        """Start collecting the effects of one event; time never goes backwards."""
        self.now_ns = max(self.now_ns, now_ns)
        self.effects = Effects()

    def write(self, bucket: str, key: str, value: bytes | None) -> None:
        """Make a row durable before anything said in this event leaves."""
        self.effects.writes.append(Write(bucket=bucket, key=key, value=value))

    def answer(self, ask_id: int, reply: Reply) -> None:
        """Reply to a request."""
        self.effects.outputs.append(Answer(ask_id=ask_id, reply=reply))

    def order(self, order: RunnerOrder, life: int) -> None:
        """Hand the runner of this life an order."""
        self.effects.outputs.append(Order(order=order, life=life))

    def note(self, name: str, **fields: str | int) -> None:
        """Tell the operator; names are ``noun.verb_past``."""
        self.effects.outputs.append(Note(name=name, fields=tuple(fields.items())))

    def ask(
        self, peer: EnterpriseId, request: Request, on_reply: OnReply, timeout_ns: int | None = None
    ) -> None:
        """Send a request; ``on_reply`` gets its reply, or ``Unanswered``."""
        request_id = self._expect(on_reply)
        self.effects.outputs.append(
            Ask(
                request_id=request_id,
                peer=peer,
                request=request,
                timeout_ns=timeout_ns or self._timeout_ns,
            )
        )

    @property
    def _timeout_ns(self) -> int:
        return self.settings.request_timeout_ms * 1_000_000

    def _expect(self, on_reply: OnReply) -> int:
        assert len(self._waiting) < WAITING_MAX, "requests are never answered"
        self._next_id += 1
        self._waiting[self._next_id] = on_reply
        return self._next_id

    def settle(self, event: Answered | Unanswered) -> None:
        """Hand a reply to whoever waits for it; a second one for the same request is dropped."""
        on_reply = self._waiting.pop(event.request_id, None)
        if on_reply is not None:
            on_reply(event.reply if isinstance(event, Answered) else event)

    @property
    def waiting_count(self) -> int:
        """Requests of ours without an answer."""
        return len(self._waiting)

    def after(self, delay_ns: int, action: Callable[[], None]) -> None:
        """Run ``action`` once ``delay_ns`` have passed."""
        self._next_id += 1
        heapq.heappush(self._timers, (self.now_ns + delay_ns, self._next_id, action))

    @property
    def wake_ns(self) -> int:
        """When the next timer is due."""
        return self._timers[0][0] if self._timers else self.now_ns + NS_PER_S

    def due_timers(self) -> tuple[Callable[[], None], ...]:
        """Take every timer that is due; those they set for now are due at the next event."""
        due = []
        while self._timers and self._timers[0][0] <= self.now_ns:
            due.append(heapq.heappop(self._timers)[2])
        return tuple(due)

    def salt(self, body: bytes) -> bytes:
        """Return the 32-byte salt of a log entry: secret, and the same whenever recomputed."""
        return hashlib.blake2b(body, key=self.keys.salt_secret, digest_size=32).digest()
