"""A change of the trust file in the middle of a day: asked for until the ledger adopted it."""

from collections.abc import Callable

import msgspec

from mutualedge.consortium import Hub
from mutualedge.consortium.rows import BLOCK_BUCKET, replayed_rows
from mutualedge.model import NS_PER_S
from mutualedge.protocol import Accepted, ProposeTrust, Refused, Reply, SignedBlock
from mutualedge.signing import Envelope
from tests.simulation.founding import Founded
from tests.simulation.processes import Process
from tests.simulation.schedule import Schedule

RETRY_NS = 1200 * NS_PER_S


class Change:
    """One version that the members signed, and a member through which it reaches the ledger."""

    def __init__(
        self,
        schedule: Schedule,
        hub: Process,
        member: Process,
        trust: Envelope,
        then: Callable[[], None],
    ) -> None:
        self._schedule = schedule
        self._hub = hub
        self._member = member
        self._trust = trust
        self._then = then

    def begin(self, at_ns: int) -> None:
        self._schedule.at(at_ns, self._attempt)

    def _attempt(self) -> None:
        if self._is_adopted():
            self._then()
            return
        self._member.ask("office", ProposeTrust(trust=self._trust), self._on_reply)
        self._schedule.after(RETRY_NS, self._attempt)

    def _on_reply(self, reply: Reply) -> None:
        assert isinstance(reply, Accepted | Refused)
        if isinstance(reply, Refused):
            self._schedule.counts.add(f"change refused {reply.code}")

    def _is_adopted(self) -> bool:
        core = self._hub.core
        return isinstance(core, Hub) and core.ledger.consortium.digest == self._trust.payload_digest


def prepare(joiner: Process, hub: Process, founded: Founded, now_ns: int) -> None:
    """Give a joiner what it starts with: every block that the hub hands out, replayed."""
    blocks = [
        msgspec.msgpack.decode(value, type=SignedBlock) for _, value in hub.store.scan(BLOCK_BUCKET)
    ]
    joiner.store.commit(replayed_rows(founded.consortium, blocks, now_ns))
