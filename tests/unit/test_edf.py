"""Periodic tasks, their tests at the borders, and what a simulation tells."""

import numpy as np
import pytest

from mutualedge.errors import UsageError
from mutualedge.plan.edf import (
    MISSES_MAX,
    Load,
    Miss,
    PeriodicTask,
    TaskSet,
    check_nonpreemptive,
    check_preemptive,
    compare_load,
    demand_us,
    execution_us,
    hyperperiod_us,
    simulate,
    utilisation,
)


def columns(*rows: tuple[int, int, int]) -> TaskSet:
    """Return a set of (execution, period, deadline)."""
    execution, period, deadline = zip(*rows, strict=True)
    return TaskSet.from_columns(execution_us=execution, period_us=period, deadline_us=deadline)


@pytest.mark.parametrize(
    ("wcet_ms", "scales", "expected_us"),
    [
        (0.1, (), 100),
        (7, (0.7,), 10_000),
        (1, (3,), 334),
        (0.0001, (), 1),
        (333, (1, 0.7), 475_715),
    ],
)
def test_execution_is_rounded_up_from_decimals(
    wcet_ms: float, scales: tuple[float, ...], expected_us: int
) -> None:
    """What divides evenly as written gains no microsecond; all else is rounded up."""
    assert execution_us(wcet_ms, *scales) == expected_us


@pytest.mark.parametrize("wcet_ms", [0, -1, float("nan"), float("inf")])
def test_an_execution_without_a_length_is_refused(wcet_ms: float) -> None:
    """No number becomes a task by accident."""
    with pytest.raises(UsageError, match=r"edf\.execution\.malformed"):
        execution_us(wcet_ms)


@pytest.mark.parametrize(
    ("task", "code"),
    [
        (PeriodicTask(execution_us=0, period_us=5, deadline_us=5), "edf.task.execution"),
        (PeriodicTask(execution_us=4, period_us=5, deadline_us=3), "edf.task.deadline_short"),
        (PeriodicTask(execution_us=1, period_us=5, deadline_us=6), "edf.task.deadline_long"),
        (PeriodicTask(execution_us=1, period_us=2**53, deadline_us=6), "edf.task.period"),
        (
            PeriodicTask(execution_us=1, period_us=5, deadline_us=5, offset_us=-1),
            "edf.task.offset",
        ),
        (PeriodicTask(execution_us=1, period_us=2**64, deadline_us=5), "edf.task.column"),
    ],
)
def test_a_malformed_task_is_named(task: PeriodicTask, code: str) -> None:
    """The refusal has a code for each cause."""
    good = PeriodicTask(execution_us=1, period_us=5, deadline_us=5)
    with pytest.raises(UsageError) as refusal:
        TaskSet.of([good, task])
    assert refusal.value.code == code


@pytest.mark.parametrize("execution", [[1.5], [1, 2], [[1]]])
def test_a_column_that_does_not_fit_is_refused(execution: list[int]) -> None:
    """Columns are whole numbers, one for each task."""
    with pytest.raises(UsageError, match=r"edf\.task\.column"):
        TaskSet.from_columns(execution_us=execution, period_us=[5])


def test_a_set_cannot_be_changed() -> None:
    """Nobody alters a column, not even through the array it was made from."""
    source = np.array([1, 2])
    tasks = TaskSet.from_columns(execution_us=source, period_us=[5, 5])
    source[0] = 4
    assert tasks.execution_us.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        tasks.execution_us[0] = 3


def test_nothing_needs_nothing() -> None:
    """A set without tasks holds, and its processor is idle."""
    nothing = TaskSet.of([])
    assert check_preemptive(nothing) is None
    assert check_nonpreemptive(nothing) is None
    assert demand_us(nothing, 10) == hyperperiod_us(nothing) == utilisation(nothing) == 0
    assert simulate(nothing, 7).idle_us == 7


@pytest.mark.parametrize(
    ("more_us", "load"), [(-1, Load.BELOW), (0, Load.EXACTLY_ONE), (1, Load.ABOVE)]
)
def test_the_border_of_a_full_processor_is_exact(more_us: int, load: Load) -> None:
    """One part in 2^53 decides, which doubles do not see; implicit deadlines hold up to one."""
    long_us = 2**53 - 2
    assert long_us % 3 == 0
    tasks = columns((1, 3, 3), (1, 3, 3), (long_us // 3 + more_us, long_us, long_us))
    assert compare_load(tasks) is load
    assert (check_preemptive(tasks) is None) == (load is not Load.ABOVE)


@pytest.mark.parametrize(("spared_us", "holds"), [((0, 1), True), ((1, 1), False)])
def test_a_full_processor_is_decided_within_any_hyperperiod(
    spared_us: tuple[int, int], holds: bool
) -> None:
    """Two halves of a processor with periods near 2^50, which meet after 2^101 us.

    Demand exceeds a window t only where t is a multiple of one period and 1 less than one of the
    other; both periods are even.
    """
    halves_us = (2**50 - 27, 2**49 + 1_231)
    first, second = (
        (half, 2 * half, 2 * half - spared)
        for half, spared in zip(halves_us, spared_us, strict=True)
    )
    tasks = columns(first, second)
    assert hyperperiod_us(tasks) > 2**99
    overload = check_preemptive(tasks)
    assert (overload is None) == holds
    if overload is not None:
        assert overload.demand_us == demand_us(tasks, overload.length_us) > overload.length_us


def test_an_overload_is_told_with_its_demand() -> None:
    """Two jobs of 2 us due within 3 us; the window, its work and no blocking."""
    overload = check_preemptive(columns((2, 10, 3), (2, 10, 3)))
    assert overload is not None
    assert (overload.length_us, overload.demand_us, overload.blocking_us) == (3, 4, 0)


def test_a_longer_job_blocks_only_without_interruption() -> None:
    """8 us of work that cannot be interrupted make a deadline of 7 us impossible."""
    tasks = columns((1, 20, 7), (8, 20, 20))
    assert check_preemptive(tasks) is None
    overload = check_nonpreemptive(tasks)
    assert overload is not None
    assert (overload.length_us, overload.demand_us, overload.blocking_us) == (7, 1, 7)


def test_late_jobs_are_told_one_by_one() -> None:
    """Task, release, deadline and completion; None where the horizon came first."""
    run = simulate(columns((3, 4, 4), (3, 6, 6)), 12)
    assert run.misses == (
        Miss(task_id=0, release_us=4, deadline_us=8, completion_us=9),
        Miss(task_id=1, release_us=6, deadline_us=12, completion_us=None),
    )


def test_all_late_jobs_count_though_not_all_are_told() -> None:
    """An endless overload neither fills the memory nor hides its extent."""
    run = simulate(columns((2, 2, 2), (2, 2, 2)), 10_000)
    assert run.missed.sum() > MISSES_MAX == len(run.misses)


def test_a_trace_that_is_cut_says_so() -> None:
    """What does not fit is left out at the end."""
    run = simulate(columns((1, 2, 2)), 100, segments_max=3)
    assert [each.start_us for each in run.segments] == [0, 2, 4]
    assert not run.trace_complete


@pytest.mark.parametrize(
    ("horizon_us", "code"), [(0, "edf.horizon.empty"), (2**62, "edf.horizon.far")]
)
def test_a_horizon_that_does_not_fit_is_refused(horizon_us: int, code: str) -> None:
    """An empty one, and one whose instants would overflow."""
    with pytest.raises(UsageError, match=code):
        simulate(columns((1, 2, 2)), horizon_us)


@pytest.mark.parametrize("compiled", [True, False])
def test_far_offsets_and_horizons_do_not_overflow(compiled: bool) -> None:
    """A quarter of the key's range: the counts stay right."""
    period_us = 2**50
    tasks = TaskSet.from_columns(
        execution_us=[1, 2**49], period_us=[period_us] * 2, offset_us=[2**52, 0]
    )
    run = simulate(tasks, 2**54, compiled=compiled)
    assert run.completed.tolist() == [12, 16]
