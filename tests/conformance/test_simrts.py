"""Power and policies against numbers that the reference simulator simrts printed.

What it prints as utilisation and memory power does not depend on its order of execution. Its
processor power does: it divides by the tick at which the last job that it began ends, some ticks
past the horizon, and before that shares the processor tick by tick instead of by deadline. Where
all tasks run alike (policy ``dram``) only idle time matters, which no order of execution changes;
so there is a last tick at which plain EDF shows its very number.

What differs on purpose: memories are known by name there only for their capacity, so cases that
list NVRAM first have the powers and speeds of the two swapped; the policies that re-decide at
every dispatch print averages over their changes, ours decide once; and ours refuse a set where it
aborts or reports late jobs.
"""

from math import floor
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mutualedge.plan.edf import (
    Decided,
    Level,
    Machine,
    Memory,
    Placement,
    Policy,
    TaskSet,
    Work,
    average_power,
    decide,
    power_table,
    simulate,
)

CASES = Path(__file__).with_name("planner") / "simrts_cases.json"

PRINTED = 0.000_501
"""Half of the last printed digit."""

US_PER_MS = 1_000

LAST_JOB_TICKS = 120
"""The longest job of the cases that are compared."""


class SpeedRow(msgspec.Struct):
    wcet_scale: float
    power_active: float
    power_idle: float


class MemoryRow(msgspec.Struct):
    type: str
    max_capacity: float
    wcet_scale: float
    power_active: float
    power_idle: float


class TaskRow(msgspec.Struct):
    wcet: int
    period: int
    memreq: float
    mem_active_ratio: float


class Config(msgspec.Struct):
    cpufreq: list[SpeedRow]
    mem: list[MemoryRow]
    task: list[TaskRow]


class Values(msgspec.Struct):
    power: float
    util_percent: float
    cpu_power: float
    mem_power: float


class Answer(msgspec.Struct):
    values: Values | None


class Case(msgspec.Struct):
    id: str
    t: int
    config: Config
    task_txt: str
    policies: dict[str, Answer]

    def machine(self) -> Machine:
        return Machine(
            levels=tuple(
                Level(scale=row.wcet_scale, active_w=row.power_active, idle_w=row.power_idle)
                for row in self.config.cpufreq
            ),
            memories=tuple(
                Memory(
                    name=row.type,
                    capacity_mb=row.max_capacity,
                    scale=row.wcet_scale,
                    active_w_per_mb=row.power_active,
                    idle_w_per_mb=row.power_idle,
                )
                for row in self.config.mem
            ),
        )

    def works(self) -> list[Work]:
        return [
            Work(
                wcet_ms=row.wcet,
                period_us=row.period * US_PER_MS,
                deadline_us=row.period * US_PER_MS,
                memory_mb=row.memreq,
                active_ratio=row.mem_active_ratio,
            )
            for row in self.config.task
        ]

    def fixed(self) -> list[Placement]:
        lines = self.task_txt.splitlines()[1:]
        pairs = [tuple(map(int, line.split())) for line in lines]
        return [
            Placement(level=level, memory=self.config.mem[memory].type) for memory, level in pairs
        ]

    def placements(self, policy: str) -> list[Placement]:
        if policy == Policy.FIXED:
            return self.fixed()
        return [Placement(level=0, memory="dram")] * len(self.config.task)

    def ticks(self, placements: list[Placement]) -> TaskSet:
        """Return the set in the reference's ticks: executions rounded half up, 1 at least."""
        scales = {row.type: row.wcet_scale for row in self.config.mem}
        execution = [
            row.wcet / self.config.cpufreq[placement.level].wcet_scale / scales[placement.memory]
            for row, placement in zip(self.config.task, placements, strict=True)
        ]
        return TaskSet.from_columns(
            execution_us=[max(1, floor(each + 0.5)) for each in execution],
            period_us=[row.period for row in self.config.task],
        )

    def printed(self, policy: str) -> Values:
        values = self.policies[policy].values
        assert values is not None
        return values


class File(msgspec.Struct):
    cases: list[Case]


ALL = msgspec.json.decode(CASES.read_bytes(), type=File).cases

BY_NAME = [case for case in ALL if case.config.mem[0].type == "dram"]
"""Cases in which the reference reads the memories it names."""

SUCCEEDED = [
    (case, policy)
    for case in BY_NAME
    for policy in ("dram", "fixed")
    if case.policies[policy].values is not None
]

KEPT_AS_ACCESSED = [
    (case, policy)
    for case, policy in SUCCEEDED
    if all(row.power_active == row.power_idle for row in case.config.mem)
]
"""Memory draws the same in use or not, so that its power does not depend on the last tick."""

IDLE_WITH_WORK = "shared-sim-05"
"""There the reference leaves the processor idle with a job ready: no last tick fits."""

DRAM_CASES = [case for case, policy in SUCCEEDED if policy == "dram" and case.id != IDLE_WITH_WORK]


def case_id(value: Case | str) -> str:
    return value if isinstance(value, str) else value.id


@pytest.mark.parametrize(("case", "policy"), SUCCEEDED, ids=case_id)
def test_utilisation_is_the_printed_one(case: Case, policy: str) -> None:
    """To the three decimals of the reference, for `dram` and for every fixed assignment."""
    tasks = case.ticks(case.placements(policy))
    share = float((tasks.execution_us / tasks.period_us).sum())
    assert 100 * share == pytest.approx(case.printed(policy).util_percent, abs=PRINTED)


@pytest.mark.parametrize(("case", "policy"), KEPT_AS_ACCESSED, ids=case_id)
def test_memory_power_is_the_printed_one(case: Case, policy: str) -> None:
    """To the three decimals of the reference."""
    placements = case.placements(policy)
    tasks = case.ticks(placements)
    table = power_table(case.works(), case.machine(), placements)
    power = average_power(table, tasks.execution_us / tasks.period_us)
    assert power.memory_w == pytest.approx(case.printed(policy).mem_power, abs=PRINTED)


@pytest.mark.parametrize("case", DRAM_CASES, ids=case_id)
def test_processor_power_is_the_printed_one_at_the_last_tick(case: Case) -> None:
    """Executing EDF to the end of the reference's last job draws what it prints."""
    placements = case.placements("dram")
    table = power_table(case.works(), case.machine(), placements)
    printed = case.printed("dram")
    tasks = case.ticks(placements)
    ends = []
    for ticks in range(case.t, case.t + LAST_JOB_TICKS):
        busy = simulate(tasks, ticks, compiled=False).busy_us / ticks
        if average_power(table, busy).cpu_w == pytest.approx(printed.cpu_power, abs=PRINTED):
            ends.append(ticks)
    assert ends


def test_the_long_run_of_the_shipped_template_is_closed_form() -> None:
    """Tasks 14/60, 3/10 and 7/20 in DRAM: 8.1017 W of processor and 12 W of memory for ever."""
    case = next(each for each in ALL if each.id == "shared-sim-06")
    decided = decide(Policy.DRAM, case.works(), case.machine())
    assert isinstance(decided, Decided)
    run = simulate(decided.tasks, 60_000_000, compiled=False)
    power = average_power(decided.power, run.busy_us / run.horizon_us)
    assert power.cpu_w == pytest.approx(8.101_666, abs=1e-5)
    assert power.memory_w == pytest.approx(12.0)


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("case", ALL, ids=case_id)
def test_no_policy_is_ever_late(case: Case, policy: Policy) -> None:
    """Decided means no deadline missed; where `dram` holds, all but `fixed` and memory agree."""
    answer = decide(policy, case.works(), case.machine(), fixed=case.fixed())
    if isinstance(answer, Decided):
        assert not simulate(answer.tasks, 5_000_000, compiled=False).missed.any()
        assert np.all(answer.tasks.execution_us > 0)
    else:
        assert answer.code in {"edf.policy.deadline", "edf.policy.demand", "edf.policy.memory"}


@pytest.mark.parametrize("policy", [Policy.DRAM, Policy.DVSDRAM])
@pytest.mark.parametrize("case", DRAM_CASES, ids=case_id)
def test_ours_holds_whatever_holds_at_full_speed(case: Case, policy: Policy) -> None:
    """Also the sets at which the reference aborts or reports a late job."""
    assert isinstance(decide(policy, case.works(), case.machine()), Decided)
