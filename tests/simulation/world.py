"""A whole consortium for a day: hub, nodes, runners, devices, faults and (some) liars."""

import itertools
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from mutualedge.app.export import bundle_lines, export_part
from mutualedge.audit import verify_bundle
from mutualedge.consortium import Hub
from mutualedge.model import (
    NS_PER_MS,
    NS_PER_S,
    AssuranceLevel,
    DeviceId,
    EnterpriseId,
    InvocationId,
    Nanoseconds,
)
from mutualedge.node import Node
from mutualedge.protocol import (
    Ask,
    Output,
    Reading,
    ReadingScored,
    Refused,
    Reply,
    SubmitCountersignatures,
)
from mutualedge.runner import Attester, Runner
from mutualedge.signing import Entropy
from tests.simulation.driven import DrivenProcess
from tests.simulation.founding import Founded, found, keys_of, seed_of, successor
from tests.simulation.liars import tell
from tests.simulation.membership import Change, prepare
from tests.simulation.network import Network
from tests.simulation.processes import CRASH_POINTS, Boot, Process, RunnerProcess
from tests.simulation.remembering import RememberingRuntime
from tests.simulation.schedule import HOUR_NS, START_NS, FaultRates, Schedule
from tests.simulation.terms import CREDIT_MICROCREDITS, JOB_NS, settings_of
from tests.simulation.truth import Truth
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.world_store import MemoryStore

CALM_HOURS = 9
"""A lease of six hours, its grace and its dispute window of one hour, with room."""

CALM_HOURS_MAX = 11
FINAL_NS = 1200 * NS_PER_S
"""Blocks of the last minutes get this long, again and again, to be countersigned by all."""

NAMES = ("candy", "forge", "harbour", "mill", "press", "quarry", "tannery")
DEADLINE_NS = 34 * NS_PER_MS
BURST_NS = 1440 * NS_PER_S
READINGS_A_DAY = 1020
"""Over all members in 60 bursts of whole batches: 1,080 of three, some of them repeats."""

UNCLEAR = ("sim.timeout", "session.unknown", "node.runner.lost")
"""Refusals after which nobody knows whether a partner ran the call, and charges it."""

REPEATED_MAX = 60
"""Readings that devices send again, in their next burst, after such a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """A process dies at this hour and comes back with a clock that is wrong by so much.

    Without ``ahead_hours`` its clock is right; without ``down_hours`` it is back in a second.
    """

    who: str
    at_hour: float
    ahead_hours: float = 0
    down_hours: float = 0


LEAVING = ("leave", "leave silently")
"""With everybody's consent, countersigning to the end; or by itself, countersigning no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one run simulates."""

    seed: int
    members: int = 3
    hours: int = 24
    faults: FaultRates = field(default_factory=FaultRates)
    lie: str | None = None
    readings_a_day: int = READINGS_A_DAY
    credit_microcredits: int = CREDIT_MICROCREDITS
    change: Literal["join", "leave", "leave silently"] | None = None
    steps: tuple[ClockStep, ...] = ()
    is_driven: bool = False
    """Whether the product's driver performs the effects; slower, and nobody lies then."""


class World:
    """Everything of one run; ``run`` simulates it and ``truth`` judges it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.schedule = Schedule(plan.seed)
        self.names = founders = NAMES[: plan.members]
        self.joiner = NAMES[plan.members] if plan.change == "join" else None
        self.leaver = self.names[-1] if plan.change in LEAVING else None
        self._ring = (*founders, self.joiner) if self.joiner else founders
        self._is_leaving = False
        self.founded: Founded = found(founders, self._ring[plan.members :])
        self.network = Network(self.schedule, plan.faults)
        self.truth = Truth(self.schedule)
        self.liar = self.truth.liar = self.names[0] if plan.lie is not None else None
        self._invocation_count = 0
        self._refused: dict[DeviceId, Reading] = {}
        self._repeated: dict[InvocationId, None] = {}
        self._loop = VirtualLoop(self.schedule) if plan.is_driven else None
        self.hub = self._process("hub", self._boot_hub)
        for index, name in enumerate(founders):
            self._add_node(name, index * BURST_NS // plan.members)
        if plan.lie is not None and self.liar is not None:
            tell(plan.lie, self.network.processes[self.liar], self.founded, self.schedule)

    def _process(self, name: str, boot: Boot) -> Process:
        crash_rate = self.plan.faults.crash_per_commit
        send = self.network.send
        if self._loop is None:
            process = Process(name, self.schedule, boot, send, crash_rate=crash_rate)
        else:
            process = DrivenProcess(
                name, self.schedule, boot, send, crash_rate=crash_rate, loop=self._loop
            )
        self.network.processes[name] = process
        self.truth.listen(process)
        return process

    def _boot_hub(self, store: MemoryStore, _now_ns: int) -> Hub:
        return Hub(
            consortium=self.founded.consortium,
            writer=self.founded.writer,
            witness=self.founded.witness,
            store=store,
        )

    def _add_node(self, name: str, offset_ns: int) -> None:
        process = self._process(name, lambda store, now_ns: self._boot_node(name, store, now_ns))
        runner = RunnerProcess(
            process,
            self.schedule,
            lambda life: self._boot_runner(name, process, life),
            loss_rate=self.plan.faults.runner_loss_per_order,
            job_ns=JOB_NS,
        )
        self.truth.watch(name, process, runner)
        for device in range(-(-self.plan.readings_a_day // (60 * len(self.names)))):
            start_ns = self.schedule.now_ns + 60 * NS_PER_S + offset_ns
            device_id = DeviceId(f"{name}-d{device}")
            self._read_at(start_ns, name, device_id)

    def _begin_change(self) -> None:
        """Schedule what this plan changes about who is a member; its hour is random."""
        if self.plan.change is None:
            return
        before, member = self.founded.consortium, self.network.processes[self.names[1]]
        at_ns = START_NS + self.schedule.random.randint(3 * 3600, 5 * 3600) * NS_PER_S
        if self.joiner is not None:
            trust = successor(before, *self._ring)
            Change(self.schedule, self.hub, member, trust, self._join).begin(at_ns)
        if self.leaver is not None:
            self.schedule.at(at_ns, self._stop_trading)
            trust = successor(before, *self.names[:-1])
            if self.plan.change == "leave silently":
                trust = successor(before, *self.names[:-1], signers=(self.leaver,))
                member = self.network.processes[self.leaver]
            Change(self.schedule, self.hub, member, trust, self._left).begin(at_ns)

    def _join(self) -> None:
        """Let the joiner start with the blocks so far, and its devices ask it."""
        assert self.joiner is not None
        self.schedule.counts.add("joined")
        self.names = self._ring
        self._add_node(self.joiner, 0)
        process = self.network.processes[self.joiner]
        prepare(process, self.hub, self.founded, self.schedule.now_ns)
        process.start()

    def _stop_trading(self) -> None:
        """Let the leaver's owner decide that it lends and borrows no more."""
        assert self.leaver is not None
        self._is_leaving = True
        if self.plan.change == "leave silently":
            self.network.processes[self.leaver].tamper = self._without_countersignatures
        self.network.processes[self.leaver].crash(NS_PER_S)

    def _without_countersignatures(self, output: Output) -> Output | None:
        """Keep back what the leaver owes the others, from before it leaves and for good."""
        if isinstance(output, Ask) and isinstance(output.request, SubmitCountersignatures):
            self.schedule.counts.add("countersignature withheld")
            return None
        return output

    def _left(self) -> None:
        self.schedule.counts.add("left")

    def _boot_node(self, name: str, store: MemoryStore, now_ns: int) -> Node:
        life = str(self.network.processes[name].life)
        entropy = Entropy(seed_of(str(self.plan.seed), name, life))
        collateral = self.founded.platforms[name].collateral
        settings = settings_of(name, self._ring, collateral, self.plan.credit_microcredits)
        if self._is_leaving and name == self.leaver:
            settings = replace(settings, lending=None, borrowing=None)
        return Node(
            enterprise=EnterpriseId(name),
            consortium=self.founded.consortium,
            settings=settings,
            keys=keys_of(name),
            entropy=entropy,
            store=store,
            now_ns=now_ns,
        )

    def _boot_runner(self, name: str, process: Process, life: int) -> Runner:
        platform = self.founded.platforms[name]
        seed = seed_of(str(self.plan.seed), name, "runner", str(process.life), str(life))
        assert isinstance(process.core, Node)
        return Runner(
            consortium=process.core.consortium,
            runtime=RememberingRuntime(),
            attester=Attester(backend=platform.backend, collect=platform.collect),
            assurance=AssuranceLevel.SIMULATED,
            entropy=Entropy(seed),
            clock_ns=itertools.count(step=1_000_000).__next__,
        )

    def _read_at(self, burst_ns: int, name: str, device: DeviceId) -> None:
        """Schedule one batch of readings of a device within a burst, and the following bursts."""

        def read() -> None:
            if not self.schedule.calm:
                self._read(name, device)
                self._read_at(burst_ns + BURST_NS, name, device)

        jitter_ns = self.schedule.random.randint(0, 3 * NS_PER_MS)
        self.schedule.at(burst_ns + jitter_ns, read)

    def _read(self, name: str, device: DeviceId) -> None:
        """Ask what was refused in the last burst once more, the same question, or a new one."""
        reading = self._refused.pop(device, None)
        if reading is None:
            reading = self._new_reading(device)
            self.schedule.counts.add("invocations")
        else:
            self._repeated[reading.invocation] = None
            self.schedule.counts.add("readings repeated")
        process = self.network.processes[name]
        self.truth.asked(reading.invocation, process)
        process.ask("device", reading, lambda reply: self._on_reply(reading, reply))

    def _new_reading(self, device: DeviceId) -> Reading:
        random = self.schedule.random
        self._invocation_count += 1
        level = 80.0 if random.random() < 0.02 else 20.0
        return Reading(
            device=device,
            invocation=InvocationId(f"{self._invocation_count:032x}"),
            readings=tuple(level + random.random() for _ in range(8)),
            remaining_ns=Nanoseconds(DEADLINE_NS),
        )

    def _on_reply(self, reading: Reading, reply: Reply) -> None:
        assert isinstance(reply, ReadingScored | Refused)
        self.truth.answered(reading.invocation, reply)
        is_first = reading.invocation not in self._repeated
        has_room = len(self._repeated) + len(self._refused) < REPEATED_MAX
        is_unclear = isinstance(reply, Refused) and reply.code in UNCLEAR
        if is_unclear and is_first and has_room:
            self._refused[reading.device] = reading

    def run(self) -> "World":
        """Simulate the day with faults, then a calm time in which everything settles."""
        self.hub.start()
        for name in self.names:
            self.network.processes[name].start()
        self.network.start_partitions()
        self._begin_change()
        for step in self.plan.steps:
            self.schedule.at(START_NS + round(step.at_hour * HOUR_NS), partial(self._step, step))
        if self.plan.faults.crash_per_commit:
            for fault in (*CRASH_POINTS, "runner lost"):
                self.schedule.force(fault, 20 * HOUR_NS)
        day_ns = START_NS + self.plan.hours * HOUR_NS
        self.schedule.run_until(day_ns)
        self.schedule.calm = True
        self.schedule.run_until(day_ns + CALM_HOURS * HOUR_NS)
        while not self._is_final() and self.schedule.now_ns < day_ns + CALM_HOURS_MAX * HOUR_NS:
            self.schedule.run_until(self.schedule.now_ns + FINAL_NS)
        return self

    def _step(self, step: ClockStep) -> None:
        """Have a process die and come back with its clock set otherwise."""
        process = self.network.processes[step.who]
        process.ahead_ns = round(step.ahead_hours * HOUR_NS)
        self.schedule.counts.add("clock stepped")
        process.crash(max(NS_PER_S, round(step.down_hours * HOUR_NS)))

    def _is_final(self) -> bool:
        """Tell whether every member knows every block as final: new leases make new ones."""
        assert isinstance(self.hub.core, Hub)
        height = self.hub.core.ledger.height
        cores = [self.network.processes[name].core for name in self.names]
        return all(
            isinstance(core, Node) and core.snapshot().final_height == height for core in cores
        )

    def close(self) -> None:
        """Let go of what still runs."""
        for process in self.network.processes.values():
            process.stop()
        if self._loop is not None:
            self._loop.close()

    def judge(self) -> None:
        """Assert what must hold once everything settled."""
        honest = frozenset(name for name in self.names if name != self.liar)
        nodes = [self.network.processes[name] for name in self.names]
        self.truth.judge(self.hub, nodes, honest)
        if self.plan.change is not None:
            self._judge_change(self.plan.change)
        self._judge_audit(honest)

    def _judge_change(self, change: str) -> None:
        """Assert that the change came to pass, and that who joined traded."""
        assert isinstance(self.hub.core, Hub)
        ledger = self.hub.core.ledger
        assert ledger.consortium.trust.version == 2, f"nobody could {change}"
        traders = [
            name for _, each in ledger.snapshot().leases for name in (each.requester, each.provider)
        ]
        assert self.joiner is None or self.joiner in traders, "who joined neither lent nor borrowed"
        if self.leaver is not None:
            assert self.schedule.counts["membership.ended"], f"{self.leaver} never knew it left"

    def _judge_audit(self, honest: frozenset[str]) -> None:
        """Assert that the auditor, given everyone's stores, proves all or blames the liar only."""
        parts = [
            export_part(self.network.processes[name].store, EnterpriseId(name))
            for name in self.names
        ]
        report = verify_bundle(bundle_lines(self.founded.trust, parts, self.schedule.now_ns))
        self.schedule.counts.add(f"audit {report.status}")
        blamed = {finding.culprit for finding in report.findings} & honest
        assert not blamed, f"the auditor blames {blamed}: {report.findings[:3]}"
        if self.liar is None:
            assert report.status == "proved", report.findings[:3]
        assert report.counts.ledger_sum_microcredits == 0
        assert isinstance(self.hub.core, Hub)
        assert report.trust_digest == self.hub.core.ledger.consortium.digest
        leases = self.hub.core.ledger.snapshot().leases
        posted = sum(lease.posted_microcredits for _, lease in leases)
        assert report.counts.settled_microcredits == posted, "the auditor proved another sum"
