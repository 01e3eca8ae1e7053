"""EDF against its definition: the tests of a set, the simulation, and a search tick by tick."""

from math import lcm
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mutualedge.plan.admission import Admitted, Reservation, check_reservation
from mutualedge.plan.compiled import HAS_COMPILER
from mutualedge.plan.edf import (
    Load,
    Miss,
    Overload,
    Simulation,
    TaskSet,
    check_nonpreemptive,
    check_preemptive,
    compare_load,
    demand_us,
    hyperperiod_us,
    simulate,
)
from mutualedge.plan.edf.full import _by_residues_us, _congruences, overload_when_full_us
from tests.property.edf_sets import full_set, task_sets
from tests.property.edf_ticks import Ticked, tick_by_tick
from tests.property.np_edf import State, TooLargeError, can_miss

HYPERPERIOD_MAX_US = 3_000

horizons = st.integers(1, 80)


def first_overload_by_hand(tasks: TaskSet, *, preemptive: bool) -> tuple[int, int, int] | None:
    """Return length, demand and blocking of the first overload, one window after the other."""
    rows = [tasks.task(task_id) for task_id in range(len(tasks))]
    horizon_us = lcm(*(each.period_us for each in rows)) * (50 if overloaded(tasks) else 1)
    due = {at for each in rows for at in range(each.deadline_us, horizon_us + 13, each.period_us)}
    for length in sorted(due):
        work = sum(
            ((length - each.deadline_us) // each.period_us + 1) * each.execution_us
            for each in rows
            if each.deadline_us <= length
        )
        longer = [each.execution_us - 1 for each in rows if each.deadline_us > length]
        blocking = 0 if preemptive else max(longer, default=0)
        if work + blocking > length:
            return length, work, blocking
    assert not overloaded(tasks), "the search was too short"
    return None


def overloaded(tasks: TaskSet) -> bool:
    return compare_load(tasks) is Load.ABOVE


def told(overload: Overload | None) -> tuple[int, int, int] | None:
    """Return what the search by hand returns."""
    if overload is None:
        return None
    assert overload.is_first
    return overload.length_us, overload.demand_us, overload.blocking_us


def late_jobs(tasks: TaskSet, ticked: Ticked, horizon_us: int) -> list[Miss]:
    """Return the misses of an execution tick by tick."""
    late = []
    for (task_id, job_index), finish_us in ticked.finishes.items():
        task = tasks.task(task_id)
        release_us = task.offset_us + job_index * task.period_us
        due_us = release_us + task.deadline_us
        if due_us < finish_us if finish_us is not None else due_us <= horizon_us:
            late.append(
                Miss(
                    task_id=task_id,
                    release_us=release_us,
                    deadline_us=due_us,
                    completion_us=finish_us,
                )
            )
    return late


def by_release(misses: list[Miss]) -> list[Miss]:
    return sorted(misses, key=lambda miss: (miss.release_us, miss.task_id))


def ticks_of(run: Simulation) -> list[tuple[int, int] | None]:
    """Return who had each tick, from the trace."""
    ticks: list[tuple[int, int] | None] = [None] * run.horizon_us
    for each in run.segments:
        span = slice(each.start_us, each.end_us)
        assert set(ticks[span]) == {None}, "one job at a time"
        ticks[span] = [(each.task_id, each.job_index)] * (each.end_us - each.start_us)
    return ticks


@settings(max_examples=300)
@given(task_sets(), st.booleans())
def test_the_first_overload_is_the_first(tasks: TaskSet, preemptive: bool) -> None:
    """Both tests find the very window that a search through all windows meets first."""
    assume(hyperperiod_us(tasks) <= HYPERPERIOD_MAX_US)
    check = check_preemptive if preemptive else check_nonpreemptive
    assert told(check(tasks)) == first_overload_by_hand(tasks, preemptive=preemptive)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_both_searches_of_a_full_processor_agree(seed: int, count: int) -> None:
    """By residues alone or from the end: overloaded or not is the same, and the window is one."""
    tasks = full_set(Random(seed), count)
    repeat_us = hyperperiod_us(tasks)
    window_us = _by_residues_us(_congruences(tasks, repeat_us), repeat_us)
    assert (window_us == 0) == (overload_when_full_us(tasks, 1) == 0)
    assert (demand_us(tasks, window_us) > window_us) == (window_us > 0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.booleans())
def test_a_full_processor_is_decided(seed: int, count: int, preemptive: bool) -> None:
    """At a utilisation of exactly one the answer is exact too."""
    tasks = full_set(Random(seed), count)
    assert compare_load(tasks) is Load.EXACTLY_ONE
    check = check_preemptive if preemptive else check_nonpreemptive
    assert told(check(tasks)) == first_overload_by_hand(tasks, preemptive=preemptive)


@settings(max_examples=300)
@given(task_sets(crowding=2))
def test_a_set_holds_exactly_if_the_simulation_misses_nothing(tasks: TaskSet) -> None:
    """Released together: the demand test and a hyperperiod of execution always agree."""
    repeat_us = hyperperiod_us(tasks)
    assume(repeat_us <= HYPERPERIOD_MAX_US)
    overload = check_preemptive(tasks)
    missed = int(simulate(tasks, repeat_us).missed.sum())
    assert (overload is None) == (missed == 0)
    if overload is not None:
        first = int(min(each.deadline_us for each in simulate(tasks, 10**5).misses))
        assert first == overload.length_us


@settings(max_examples=200)
@given(task_sets(offset_us_max=15), st.booleans())
def test_what_holds_misses_nothing_from_any_offset(tasks: TaskSet, preemptive: bool) -> None:
    """The tests cover every first release, with and without interruption."""
    check = check_preemptive if preemptive else check_nonpreemptive
    assume(check(tasks) is None)
    run = simulate(tasks, 5_000, preemptive=preemptive)
    assert not run.missed.any()


@settings(max_examples=100, deadline=None)
@given(task_sets(tasks_max=2))
def test_without_interruption_a_set_holds_exactly_if_no_adversary_wins(tasks: TaskSet) -> None:
    """For sporadic jobs the test with blocking is necessary and sufficient."""
    reservations = [
        Reservation(
            key=str(task_id),
            budget_ns=tasks.task(task_id).execution_us,
            period_ns=tasks.task(task_id).period_us,
            deadline_ns=tasks.task(task_id).deadline_us,
        )
        for task_id in range(len(tasks))
    ]
    rest = State(running=None, pending=(), gaps=(0,) * len(tasks), just_started=False)
    try:
        beaten = can_miss(reservations, rest)
    except TooLargeError:
        assume(condition=False)
        raise
    assert (check_nonpreemptive(tasks) is not None) == beaten


@settings(max_examples=200)
@given(task_sets(), st.booleans())
def test_admission_and_planner_agree(tasks: TaskSet, preemptive: bool) -> None:
    """The node's test on its hot path and the planner's give one verdict, written separately."""
    reservations = [
        Reservation(
            key=str(task_id),
            budget_ns=tasks.task(task_id).execution_us,
            period_ns=tasks.task(task_id).period_us,
            deadline_ns=tasks.task(task_id).deadline_us,
        )
        for task_id in range(len(tasks))
    ]
    verdict = check_reservation(reservations[:-1], reservations[-1], preemptive=preemptive)
    check = check_preemptive if preemptive else check_nonpreemptive
    assert isinstance(verdict, Admitted) == (check(tasks) is None)


@settings(max_examples=300)
@given(task_sets(offset_us_max=20, crowding=2), horizons, st.booleans())
def test_the_simulation_is_execution_tick_by_tick(
    tasks: TaskSet, horizon_us: int, preemptive: bool
) -> None:
    """Every tick, every late job and every interruption are those of the definition."""
    run = simulate(
        tasks, horizon_us, preemptive=preemptive, segments_max=horizon_us, compiled=False
    )
    ticked = tick_by_tick(tasks, horizon_us, preemptive=preemptive)
    assert run.trace_complete
    assert ticks_of(run) == ticked.ticks
    assert int(run.preempted.sum()) == ticked.preemptions
    assert by_release(list(run.misses)) == by_release(late_jobs(tasks, ticked, horizon_us))
    assert int(run.missed.sum()) == len(run.misses)
    assert run.idle_us == ticked.ticks.count(None)
    for task_id in range(len(tasks)):
        finishes = [
            finish_us - tasks.task(task_id).offset_us - job_index * tasks.task(task_id).period_us
            for (task, job_index), finish_us in ticked.finishes.items()
            if task == task_id and finish_us is not None
        ]
        assert run.completed[task_id] == len(finishes)
        assert run.response_us_max[task_id] == max(finishes, default=0)
        assert run.response_us_mean[task_id] * len(finishes) == pytest.approx(sum(finishes))


@pytest.mark.skipif(not HAS_COMPILER, reason="needs the extra 'fast'")
@settings(max_examples=300, deadline=None)
@given(task_sets(offset_us_max=20, crowding=1), st.integers(1, 2_000), st.booleans())
def test_both_forms_of_the_loop_agree(tasks: TaskSet, horizon_us: int, preemptive: bool) -> None:
    """With numba or without, every number is the same, also when there is no room for all rows."""
    compiled, plain = (
        simulate(tasks, horizon_us, preemptive=preemptive, segments_max=100, compiled=form)
        for form in (True, False)
    )
    for name in Simulation.__slots__:
        assert np.array_equal(getattr(compiled, name), getattr(plain, name)), name


@given(task_sets(), st.integers(0, 100), st.integers(0, 100))
def test_demand_is_superadditive(tasks: TaskSet, first_us: int, second_us: int) -> None:
    """Two windows in a row hold no less together than each alone, for constrained deadlines."""
    together = demand_us(tasks, first_us + second_us)
    assert together >= max(demand_us(tasks, first_us), demand_us(tasks, second_us))
