"""What really happened, seen from outside every process, and what must follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from mutualedge.consortium import Hub
from mutualedge.consortium.rows import BLOCK_BUCKET
from mutualedge.ledger import Block, Outcome
from mutualedge.market import Agreement
from mutualedge.meter import UsageRecord
from mutualedge.model import InvocationId, LeaseId, parse_instant
from mutualedge.node import Node
from mutualedge.node.leases import BORROWED, LeaseRow
from mutualedge.protocol import (
    CommandsOrdered,
    Execute,
    Executed,
    ExecuteLocal,
    LeaseSigned,
    OpenResponder,
    ReadingScored,
    Refused,
    Reply,
    Request,
    SignedBlock,
)
from mutualedge.signing import parse_canonical
from tests.simulation.processes import Process, RunnerProcess
from tests.simulation.promises import Promises
from tests.simulation.schedule import HOUR_NS, Schedule
from tests.simulation.terms import assert_own_terms


@dataclass(slots=True)
class LeaseTruth:
    """One lease as it really went."""

    terms: Agreement
    billed: dict[InvocationId, int] = field(default_factory=dict)

    @property
    def billed_microcredits(self) -> int:
        return sum(self.billed.values())


@dataclass(frozen=True, slots=True)
class _Asked:
    """A device's question: to whom, and in which of its lives; none if it was down."""

    process: Process
    life: int


class Truth:
    """Observes runners, devices and replies; judges what was kept of it at the end."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.leases: dict[LeaseId, LeaseTruth] = {}
        self._open: dict[InvocationId, _Asked] = {}
        self._promises: dict[str, Promises] = {}
        self._opened: dict[bytes, None] = {}
        self.liar: str | None = None

    def asked(self, invocation: InvocationId, process: Process) -> None:
        life = process.life if process.core is not None else -1
        self._open[invocation] = _Asked(process, life)

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

    def listen(self, process: Process) -> None:
        """Hold a process to what its replies say."""
        promises = self._promises[process.name] = Promises(process.name, process.store)

        def said(request: Request, reply: Reply) -> None:
            promises.said(request, reply)
            if isinstance(reply, LeaseSigned):
                assert_own_terms(parse_canonical(reply.agreement.payload, Agreement))
            if isinstance(reply, CommandsOrdered) and isinstance(process.core, Hub):
                _assert_within_credit(process.core)

        process.on_said = said

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
                self._opened_once(order)
                self._promises[name].executed(answer.reply, answer.usage)
                self._billed(answer)

        runner.observe = observe

    def _opened_once(self, order: object) -> None:
        assert isinstance(order, Execute)
        assert order.record not in self._opened, "a runner opened one sealed call twice"
        self._opened[order.record] = None

    def _check_deadline(self, name: str, process: Process) -> None:
        assert isinstance(process.core, Node)
        running = process.core.running
        assert running is not None, f"{name} executes a job it did not start"
        late_ns = process.now_ns - running.job.deadline_ns
        assert late_ns <= 0, f"{name} finished an admitted job {late_ns} ns late"

    def _billed(self, executed: Executed) -> None:
        usage = parse_canonical(executed.usage, UsageRecord)
        lease = self.leases[LeaseId(usage.lease)]
        if usage.amount_microcredits and usage.invocation in lease.billed:
            assert lease.terms.provider == self.liar, "one invocation is charged once"
            self._schedule.counts.add("charged twice")
        elif usage.amount_microcredits:
            lease.billed[usage.invocation] = usage.amount_microcredits

    def judge(self, hub: Process, nodes: Sequence[Process], honest: frozenset[str]) -> None:
        """Assert what must hold after the calm: everything settled, nobody honest lost over W."""
        assert isinstance(hub.core, Hub)
        for invocation, asked in self._open.items():
            assert asked.life != asked.process.life, f"{invocation} has no answer and no excuse"
        for promises in self._promises.values():
            self._schedule.counts.add("promises kept", promises.judge())
        ledger = hub.core.ledger
        ledger.validate()
        _assert_commands_act_once(hub)
        for node in nodes:
            self._judge_copy(hub, node)
        for lease_id, truth in self.leases.items():
            on_ledger = ledger.lease(lease_id)
            if on_ledger is None:
                assert not truth.billed, "nothing runs under a lease the ledger does not know"
                continue
            if parse_instant(on_ledger.settles_until) > self._schedule.now_ns - HOUR_NS:
                continue
            assert on_ledger.is_resolved, f"lease {lease_id} never resolved: {on_ledger}"
            requester = next(node for node in nodes if node.name == truth.terms.requester)
            # One that restarted has forgotten its calls; a liar may invent some, up to W.
            forgot = truth.terms.provider == self.liar and requester.life > 1
            self._judge_lease(truth, on_ledger.posted_microcredits, honest, may_hide=forgot)

    def _judge_copy(self, hub: Process, node: Process) -> None:
        """Assert that a member's blocks are the hub's, and final but for the last hour's."""
        assert isinstance(node.core, Node)
        height = node.core.snapshot().ledger_height
        for _, value in node.store.scan(BORROWED) if node.name != self.liar else ():
            agreement = msgspec.msgpack.decode(value, type=LeaseRow).agreement
            assert_own_terms(parse_canonical(agreement.payload, Agreement))
        kept = dict(node.store.scan(BLOCK_BUCKET))
        for key, value in hub.store.scan(BLOCK_BUCKET):
            block = msgspec.msgpack.decode(value, type=SignedBlock).block
            if int(key) <= height:
                own = msgspec.msgpack.decode(kept[key], type=SignedBlock).block
                assert own == block, f"{node.name} has another block {key}"
            time = parse_instant(parse_canonical(block.payload, Block).time)
            if time < self._schedule.now_ns - HOUR_NS:
                assert int(key) <= node.core.snapshot().final_height, f"block {key} is not final"

    def _judge_lease(
        self, truth: LeaseTruth, posted: int, honest: frozenset[str], *, may_hide: bool
    ) -> None:
        terms, billed = truth.terms, truth.billed_microcredits
        window = terms.exposure_microcredits
        assert posted <= terms.cost_max_microcredits
        if terms.requester in honest:
            excess = posted - billed
            assert excess <= may_hide * window, f"{terms.requester} paid {posted} for {billed}"
        if terms.provider in honest:
            assert billed - posted <= window, f"{terms.provider} got {posted} for {billed}"
        if {terms.requester, terms.provider} <= honest:
            self._schedule.counts.add("leases settled")
            self._schedule.counts.add("settled exactly", posted == billed)
            self._schedule.counts.add("microcredits posted", posted)


def _assert_within_credit(hub: Hub) -> None:
    """Assert that nobody owes and has reserved more than its creditor allows."""
    for creditor, debtor, line in hub.ledger.snapshot().credit_lines:
        assert line.available_microcredits >= 0, f"{debtor} overdrew its credit with {creditor}"


def _assert_commands_act_once(hub: Process) -> None:
    """Assert that a command that stands in several blocks was answered the same in each."""
    answered: dict[str, Outcome] = {}
    for _, value in hub.store.scan(BLOCK_BUCKET):
        envelope = msgspec.msgpack.decode(value, type=SignedBlock).block
        block = parse_canonical(envelope.payload, Block)
        for command, outcome in zip(block.commands, block.outcomes, strict=True):
            first = answered.setdefault(command.payload_digest, outcome)
            assert first == outcome, f"a command acted twice: {first} and {outcome}"
