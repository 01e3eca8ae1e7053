"""The simulator's clock and the faults it draws: everything that happens comes from one seed."""

import hashlib
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from mutualedge.model import NS_PER_MS, NS_PER_S

HOUR_NS = 3600 * NS_PER_S
START_NS = 1_800_000_000 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRates:
    """How often each fault strikes, as probabilities per message, event or hour."""

    loss: float = 0.02
    duplication: float = 0.02
    slow: float = 0.05
    crash_per_commit: float = 0.002
    runner_loss_per_order: float = 0.001
    partitions_per_hour: float = 0.25


QUIET = FaultRates(
    loss=0,
    duplication=0,
    slow=0,
    crash_per_commit=0,
    runner_loss_per_order=0,
    partitions_per_hour=0,
)


@dataclass(slots=True)
class Counts:
    """How often each thing happened; a run without some fault proves nothing about it."""

    values: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, count: int = 1) -> None:
        self.values[name] = self.values.get(name, 0) + count

    def __getitem__(self, name: str) -> int:
        return self.values.get(name, 0)


class Schedule:
    """A heap of things to do, in time order; equal times in order of scheduling."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now_ns = START_NS
        self.counts = Counts()
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._trace = hashlib.sha256()
        self.calm = False
        self._forced: dict[str, int] = {}

    def at(self, at_ns: int, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (max(at_ns, self.now_ns), self._sequence, action))

    def after(self, delay_ns: int, action: Callable[[], None]) -> None:
        self.at(self.now_ns + delay_ns, action)

    def strikes(self, rate: float) -> bool:
        """Draw whether a fault happens; none does once the run is told to become calm."""
        return not self.calm and self.random.random() < rate

    def force(self, fault: str, within_ns: int) -> None:
        """See to it that a fault happens at least once, at a random time within this long."""
        self._forced[fault] = self.now_ns + self.random.randint(0, within_ns)

    def is_forced(self, fault: str) -> bool:
        """Tell, once, that a forced fault is due."""
        due_ns = self._forced.get(fault)
        if due_ns is None or due_ns > self.now_ns or self.calm:
            return False
        del self._forced[fault]
        return True

    def trace(self, what: str) -> None:
        """Add a line to the digest that two runs of one seed must share."""
        self._trace.update(f"{self.now_ns} {what}\n".encode())

    @property
    def trace_digest(self) -> str:
        return self._trace.hexdigest()

    def run_until(self, end_ns: int) -> None:
        while self._heap and self._heap[0][0] <= end_ns:
            at_ns, _, action = heapq.heappop(self._heap)
            self.now_ns = max(self.now_ns, at_ns)  # what blocks a process may have taken longer
            action()
        self.now_ns = max(self.now_ns, end_ns)

    def network_delay_ns(self, slow: float) -> int:
        if self.strikes(slow):
            self.counts.add("delayed")
            return self.random.randint(20 * NS_PER_MS, 2 * NS_PER_S)
        return self.random.randint(NS_PER_MS // 10, 2 * NS_PER_MS)
