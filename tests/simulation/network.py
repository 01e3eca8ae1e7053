"""A bus that loses, repeats, delays, reorders and partitions, but never invents a message."""

from collections.abc import Callable

from mutualedge.model import NS_PER_S
from mutualedge.protocol import (
    Answered,
    Ask,
    Reply,
    Unanswered,
    encode_message,
    parse_reply,
    parse_request,
)
from tests.simulation.processes import Process
from tests.simulation.schedule import HOUR_NS, FaultRates, Schedule


class Network:
    """Carries requests and replies as bytes between simulated processes."""

    def __init__(self, schedule: Schedule, faults: FaultRates) -> None:
        self.processes: dict[str, Process] = {}
        self._schedule = schedule
        self._faults = faults
        self._cut: frozenset[str] = frozenset()

    def start_partitions(self) -> None:
        rate = self._faults.partitions_per_hour
        if rate:
            self._schedule.after(self._schedule.random.randint(1, 20) * HOUR_NS, self._partition)
        self._next_partition()

    def _next_partition(self) -> None:
        rate = self._faults.partitions_per_hour
        gap_ns = round(self._schedule.random.expovariate(1) / rate * HOUR_NS) if rate else None
        if gap_ns is not None:
            self._schedule.after(gap_ns, self._repeat_partition)

    def _repeat_partition(self) -> None:
        self._partition()
        self._next_partition()

    def _partition(self) -> None:
        if self._schedule.calm:
            return
        names = sorted(self.processes)
        self._cut = frozenset(self._schedule.random.sample(names, 1))
        self._schedule.counts.add("partitioned")
        self._schedule.trace(f"cut {sorted(self._cut)}")
        self._schedule.after(self._schedule.random.randint(60, 1800) * NS_PER_S, self._heal)

    def _heal(self) -> None:
        """Let all talk again; a cut that nobody noticed lasts on, until one was noticed today."""
        if not (self._schedule.counts["cut off"] or self._schedule.calm):
            self._schedule.after(60 * NS_PER_S, self._heal)
            return
        self._cut = frozenset()

    def send(self, sender: Process, ask: Ask) -> None:
        """Carry a request there and its reply back, or tell the sender that none came."""
        life, settled = sender.life, [False]

        def settle(reply: Reply | None) -> None:
            if settled[0]:
                return
            settled[0] = True
            event = (
                Unanswered(request_id=ask.request_id, code="sim.timeout", sentence="No reply came.")
                if reply is None
                else Answered(request_id=ask.request_id, reply=reply)
            )
            sender.answered(life, event)

        self._schedule.after(ask.timeout_ns, lambda: settle(None))
        copies = 1
        if self._schedule.strikes(self._faults.duplication):
            self._schedule.counts.add("duplicated")
            copies = 2
        raw = encode_message(ask.request)
        for _ in range(copies):
            self._carry(sender.name, ask.peer, lambda: self._deliver(sender, ask.peer, raw, settle))

    def _deliver(
        self, sender: Process, peer: str, raw: bytes, settle: Callable[[Reply | None], None]
    ) -> None:
        def answer(reply: Reply) -> None:
            back = encode_message(reply)
            self._carry(peer, sender.name, lambda: settle(parse_reply(back)))

        process = self.processes.get(peer)
        if process is not None:  # who was let in may not have started yet
            process.ask(sender.name, parse_request(raw), answer)

    def _carry(self, source: str, target: str, arrive: Callable[[], None]) -> None:
        if self._schedule.strikes(self._faults.loss):
            self._schedule.counts.add("lost")
            return
        if (source in self._cut) != (target in self._cut):
            self._schedule.counts.add("cut off")
            return
        self._schedule.after(self._schedule.network_delay_ns(self._faults.slow), arrive)
