"""What really happened, seen from outside every process, and what must follow from it."""

from dataclasses import dataclass, field

from mutualedge.consortium import Hub
from mutualedge.market import Agreement
from mutualedge.meter import UsageRecord
from mutualedge.model import InvocationId, LeaseId, parse_instant
from mutualedge.node import Node
from mutualedge.protocol import (
    Execute,
    Executed,
    ExecuteLocal,
    OpenResponder,
    ReadingScored,
    Refused,
)
from mutualedge.signing import parse_canonical
from tests.simulation.processes import Process, RunnerProcess
from tests.simulation.schedule import HOUR_NS, Schedule


@dataclass(slots=True)
class LeaseTruth:
    """One lease as it really went."""

    terms: Agreement
    billed: dict[InvocationId, int] = field(default_factory=dict)
    results: dict[InvocationId, None] = field(default_factory=dict)

    @property
    def billed_microcredits(self) -> int:
        return sum(self.billed.values())


class Truth:
    """Observes runners and devices; judges the ledger at the end."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.leases: dict[LeaseId, LeaseTruth] = {}
        self._open: dict[InvocationId, None] = {}
        self._results: dict[InvocationId, ReadingScored] = {}

    def asked(self, invocation: InvocationId) -> None:
        self._open[invocation] = None
        self._schedule.counts.add("invocations")

    def answered(self, invocation: InvocationId, reply: ReadingScored | Refused) -> None:
        assert invocation in self._open, "an invocation is answered once"
        del self._open[invocation]
        if isinstance(reply, ReadingScored):
            assert reply.invocation == invocation
            self._schedule.counts.add("scored")
            placed = "scored here" if reply.assurance == "own" else "scored at a partner"
            self._schedule.counts.add(placed)
        else:
            self._schedule.counts.add("refused")
            self._schedule.counts.add(f"refused {reply.code}")

    def watch(self, name: str, process: Process, runner: RunnerProcess) -> None:
        """Follow one node: every execution is checked against the deadline it was admitted for."""

        def observe(order: object, answer: object) -> None:
            if isinstance(order, OpenResponder):
                terms = parse_canonical(order.agreement.payload, Agreement)
                lease = LeaseId(order.agreement.payload_digest)
                self.leases.setdefault(lease, LeaseTruth(terms=terms))
            if isinstance(order, Execute | ExecuteLocal):
                self._check_deadline(name, process)
            if isinstance(answer, Executed):
                self._billed(answer)

        runner.observe = observe

    def _check_deadline(self, name: str, process: Process) -> None:
        assert isinstance(process.core, Node)
        running = process.core.running
        assert running is not None, f"{name} executes a job it did not start"
        late_ns = self._schedule.now_ns - running.job.deadline_ns
        assert late_ns <= 0, f"{name} finished an admitted job {late_ns} ns late"

    def _billed(self, executed: Executed) -> None:
        usage = parse_canonical(executed.usage, UsageRecord)
        lease = self.leases[LeaseId(usage.lease)]
        if usage.amount_microcredits:
            assert usage.invocation not in lease.billed, "one invocation is charged once"
            lease.billed[usage.invocation] = usage.amount_microcredits

    def judge(self, hub: Process, honest: frozenset[str]) -> None:
        """Assert what must hold after the calm: everything settled, nobody honest lost over W."""
        assert isinstance(hub.core, Hub)
        ledger = hub.core.ledger
        ledger.validate()
        for lease_id, truth in self.leases.items():
            on_ledger = ledger.lease(lease_id)
            if on_ledger is None:
                assert not truth.billed, "nothing runs under a lease the ledger does not know"
                continue
            if parse_instant(on_ledger.settles_until) > self._schedule.now_ns - HOUR_NS:
                continue
            assert on_ledger.is_resolved, f"lease {lease_id} never resolved: {on_ledger}"
            self._judge_lease(truth, on_ledger.posted_microcredits, honest)

    def _judge_lease(self, truth: LeaseTruth, posted: int, honest: frozenset[str]) -> None:
        terms, billed = truth.terms, truth.billed_microcredits
        window = terms.exposure_microcredits
        assert posted <= terms.cost_max_microcredits
        if terms.requester in honest:
            assert posted - billed <= window, f"{terms.requester} paid {posted} for {billed}"
        if terms.provider in honest:
            assert billed - posted <= window, f"{terms.provider} got {posted} for {billed}"
        if {terms.requester, terms.provider} <= honest:
            self._schedule.counts.add("leases settled")
            self._schedule.counts.add("settled exactly", posted == billed)
            self._schedule.counts.add("microcredits posted", posted)
