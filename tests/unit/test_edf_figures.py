"""The trace for other programs and the figure, and what the machine's description refuses."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from mutualedge.errors import UsageError
from mutualedge.plan.edf import (
    Decided,
    Level,
    Machine,
    Memory,
    NotDecided,
    Placement,
    Policy,
    TaskSet,
    Work,
    chrome_trace,
    decide,
    gantt_svg,
    simulate,
)

TASKS = TaskSet.from_columns(execution_us=[3, 7], period_us=[10, 14], deadline_us=[6, 14])

DRAM = Memory(name="dram", capacity_mb=100, scale=1, active_w_per_mb=0.1, idle_w_per_mb=0.01)
NVRAM = Memory(name="nvram", capacity_mb=40, scale=0.5, active_w_per_mb=0.01, idle_w_per_mb=0.001)
FULL = Level(scale=1, active_w=10, idle_w=1)
MACHINE = Machine(levels=(FULL, Level(scale=0.5, active_w=2, idle_w=0.2)), memories=(DRAM, NVRAM))


def work(wcet_ms: float, period_us: int, memory_mb: float = 10) -> Work:
    return Work(
        wcet_ms=wcet_ms,
        period_us=period_us,
        deadline_us=period_us,
        memory_mb=memory_mb,
        active_ratio=0.1,
    )


def test_the_chrome_trace_has_every_run_and_every_miss() -> None:
    """Complete events add up to the busy time; a missed deadline is an instant event."""
    run = simulate(TASKS, 140, preemptive=False, segments_max=100)
    events = json.loads(chrome_trace(run, ["pick", "<place>"]))["traceEvents"]
    assert sum(each["dur"] for each in events if each["ph"] == "X") == 140 - run.idle_us
    assert sum(each["ph"] == "i" for each in events) == run.missed.sum() > 0
    assert [each["args"]["name"] for each in events if each["ph"] == "M"][1:] == ["pick", "<place>"]


def test_the_figure_is_one_well_formed_file() -> None:
    """A bar for each run, nothing fetched from elsewhere, names escaped."""
    run = simulate(TASKS, 140, preemptive=False, segments_max=100)
    svg = gantt_svg(TASKS, run, names=["a & b", "<place> with a name that is long"])
    root = ET.fromstring(svg)  # noqa: S314 - we wrote it a line above
    tags = [each.tag.rpartition("}")[2] for each in root.iter()]
    assert tags.count("rect") == len(run.segments)
    assert "late" in {each.get("class") for each in root.iter()}
    assert "href" not in svg


def test_a_figure_can_end_before_the_horizon() -> None:
    """What begins later is left out, and the headline says so."""
    run = simulate(TASKS, 140, segments_max=100)
    svg = gantt_svg(TASKS, run, until_us=10)
    assert svg.count("<rect") == sum(each.start_us < 10 for each in run.segments)
    assert "first 10 µs" in svg


@pytest.mark.parametrize(
    ("segments_max", "names", "code"),
    [(3, (), "edf.trace.cut"), (0, (), "edf.trace.cut"), (100, ("one",), "edf.trace.names")],
)
def test_a_trace_that_would_mislead_is_refused(
    segments_max: int, names: Sequence[str], code: str
) -> None:
    """A cut trace, and names that do not belong to the tasks."""
    run = simulate(TASKS, 140, segments_max=segments_max)
    with pytest.raises(UsageError) as refusal:
        chrome_trace(run, names)
    assert refusal.value.code == code
    with pytest.raises(UsageError) as refusal:
        gantt_svg(TASKS, run, names=names)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("until_us", "code"), [(0, "edf.gantt.empty"), (10**6, "edf.gantt.crowded")]
)
def test_a_figure_that_nobody_can_read_is_refused(until_us: int, code: str) -> None:
    """Nothing to show, or more than a screen holds."""
    run = simulate(TASKS, 10**6, segments_max=10**6)
    with pytest.raises(UsageError) as refusal:
        gantt_svg(TASKS, run, until_us=until_us)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    "machine",
    [
        lambda: Machine(levels=(), memories=(DRAM,)),
        lambda: Machine(levels=(FULL,), memories=()),
        lambda: Machine(levels=(replace(FULL, scale=0.5), FULL), memories=(DRAM,)),
        lambda: Machine(levels=(replace(FULL, scale=0),), memories=(DRAM,)),
        lambda: Machine(levels=(FULL,), memories=(DRAM, DRAM)),
        lambda: Machine(levels=(FULL,), memories=(replace(DRAM, scale=2),)),
        lambda: Machine(levels=(replace(FULL, idle_w=float("nan")),), memories=(DRAM,)),
    ],
)
def test_what_cannot_be_a_machine_is_refused(machine: Callable[[], Machine]) -> None:
    """Levels the wrong way round, impossible scales, powers that are no numbers."""
    with pytest.raises(UsageError, match=r"edf\.machine\.malformed"):
        machine()


def test_policies_prefer_frugal_memory_and_low_levels() -> None:
    """With room, all run slowly from NVRAM; without, the densest task chose first."""
    roomy = decide(Policy.DVSHM, [work(1, 20_000), work(1, 20_000)], MACHINE)
    assert isinstance(roomy, Decided)
    assert set(roomy.placements) == {Placement(level=1, memory="nvram")}
    tight = decide(Policy.DVSDRAM, [work(4, 20_000), work(6, 20_000)], MACHINE)
    assert isinstance(tight, Decided)
    assert [each.level for each in tight.placements] == [1, 1]
    tighter = decide(Policy.DVSDRAM, [work(5, 20_000), work(9, 20_000)], MACHINE)
    assert isinstance(tighter, Decided)
    assert [each.level for each in tighter.placements] == [1, 0]


@pytest.mark.parametrize(
    ("works", "policy", "code"),
    [
        ([work(30, 20_000)], Policy.DRAM, "edf.policy.deadline"),
        ([work(15, 20_000), work(6, 20_000)], Policy.HM, "edf.policy.demand"),
        ([work(1, 20_000, 141)], Policy.DRAM, "edf.policy.memory"),
        ([work(1, 20_000, 101)], Policy.HM, "edf.policy.memory"),
    ],
)
def test_a_policy_without_a_choice_says_what_does_not_fit(
    works: list[Work], policy: Policy, code: str
) -> None:
    """A verdict with a cause, never a plan that is late or has no room."""
    answer = decide(policy, works, MACHINE)
    assert isinstance(answer, NotDecided)
    assert answer.code == code


@pytest.mark.parametrize(
    ("fixed", "code"),
    [
        ([], "edf.policy.placements"),
        ([Placement(level=2, memory="dram")], "edf.policy.level"),
        ([Placement(level=0, memory="sram")], "edf.machine.memory"),
    ],
)
def test_fixed_placements_must_exist(fixed: list[Placement], code: str) -> None:
    """As many as tasks, with levels and memories of the machine."""
    with pytest.raises(UsageError) as refusal:
        decide(Policy.FIXED, [work(1, 20_000)], MACHINE, fixed=fixed)
    assert refusal.value.code == code
