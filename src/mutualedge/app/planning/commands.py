"""What ``plan solve``, ``plan check`` and ``plan simulate`` do between files and terminal."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from mutualedge.app.planning.patience import waiting
from mutualedge.app.planning.plan_files import plan_json, read_plan, write_plan
from mutualedge.app.planning.plan_text import no_plan_text, plan_text
from mutualedge.app.planning.scenarios import read_scenario, write_new
from mutualedge.app.terminal import tell
from mutualedge.errors import UsageError
from mutualedge.plan.checking import check
from mutualedge.plan.edf import Simulation, chrome_trace, gantt_svg, simulate
from mutualedge.plan.genetic import Evolver, Settings, convergence_text
from mutualedge.plan.plans import NoPlan, Plan
from mutualedge.plan.scenario import Scenario
from mutualedge.plan.solving import NodeJobs, list_jobs, solve
from mutualedge.plan.strategies import Strategy

__all__ = ["Settings", "check_files", "evolve_file", "simulate_files", "solve_file"]

EXIT_UNDECIDED = 2
EXIT_IMPOSSIBLE = 3
US_PER_MS = 1_000
SEGMENTS_MAX = 1_000_000
"""Runs of a trace: some 100 MB of JSON, which viewers still open."""

MISSES_SHOWN_MAX = 10


def solve_file(
    path: Path, strategy: str, *, limit_s: float, gap: float, out: Path | None, as_json: bool
) -> int:
    """Plan a scenario and tell the plan; 0 if there is one, 3 if there is none, 2 if unknown.

    Raises:
        UsageError: The scenario cannot be read, or the plan not written.
    """
    scenario = read_scenario(path)
    with waiting(limit_s) as patience:
        answer = solve(scenario, Strategy(strategy), watch=patience, gap=gap)
    return _told(scenario, answer, out, as_json=as_json)


def evolve_file(
    path: Path,
    strategy: str,
    settings: Settings,
    *,
    limit_s: float,
    convergence: Path | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Plan a scenario by evolution and tell the plan; statuses as `solve_file`.

    Args:
        path: The scenario.
        strategy: With whom enterprises share.
        settings: Of the evolution.
        limit_s: How long to search.
        convergence: New file for how it converged, as the published ``report.txt``.
        out: New file for the plan.
        as_json: Whether a program reads it.

    Raises:
        UsageError: The scenario cannot be read, or a file not written.
    """
    scenario, evolver = read_scenario(path), Evolver(settings)
    with waiting(limit_s) as patience:
        answer = solve(scenario, Strategy(strategy), watch=patience, chooser=evolver.choose)
    if convergence is not None:
        write_new(convergence, convergence_text(evolver.convergence).encode())
    return _told(scenario, answer, out, as_json=as_json)


def _told(scenario: Scenario, answer: Plan | NoPlan, out: Path | None, *, as_json: bool) -> int:
    if not isinstance(answer, Plan):
        tell(plan_json(answer) if as_json else no_plan_text(answer), is_data=as_json)
        return EXIT_IMPOSSIBLE if answer.proven else EXIT_UNDECIDED
    wrong = check(scenario, answer)
    assert not wrong, wrong
    if out is not None:
        write_plan(answer, out)
    tell(plan_json(answer) if as_json else plan_text(answer), is_data=as_json)
    return 0


def check_files(path: Path, plan_path: Path, *, as_json: bool) -> int:
    """Tell whether a plan keeps every rule of its scenario: 0 if it does, 1 if not.

    Raises:
        UsageError: A file cannot be read.
    """
    scenario, plan = read_scenario(path), read_plan(plan_path)
    wrong = check(scenario, plan)
    if as_json:
        told = {"holds": not wrong, "reasons": wrong}
        tell(msgspec.json.encode(told).decode(), is_data=True)
    elif wrong:
        tell("\n".join(("The plan does not hold:", *(f"- {each.sentence}" for each in wrong))))
    else:
        tell(f"Every deadline, capacity and sum of this plan of {len(plan.choices)} tasks holds.")
    return 1 if wrong else 0


class NodeRun(msgspec.Struct, frozen=True, kw_only=True):
    """How one node fared.

    Attributes:
        busy_share: Of the simulated time.
        missed: Jobs that ended after their deadline, or not at all.
        response_ms_max: Longest time from release to end, of any job.
    """

    node: str
    jobs: int
    missed: int
    preempted: int
    busy_share: float
    response_ms_max: float
    misses: tuple[str, ...]


def simulate_files(
    path: Path,
    plan_path: Path,
    *,
    horizon_ms: float,
    is_preemptive: bool,
    node: str | None,
    trace: Path | None,
    gantt: Path | None,
    as_json: bool,
) -> int:
    """Replay a plan under EDF, job by job: 0 if every deadline is met, 1 if not.

    Raises:
        UsageError: A file cannot be read or written, there is no such node, or a figure was asked
            for without naming one.
    """
    jobs = _of_node(list_jobs(read_scenario(path), read_plan(plan_path)), node)
    if (trace or gantt) and len(jobs) != 1:
        sentence = f"A figure shows one node; name it with --node, one of {_names(jobs)}."
        raise UsageError("app.simulate.node", sentence)
    segments_max = SEGMENTS_MAX if trace or gantt else 0
    horizon_us = round(horizon_ms * US_PER_MS)
    runs = [
        simulate(each.tasks, horizon_us, preemptive=is_preemptive, segments_max=segments_max)
        for each in jobs
    ]
    if trace is not None:
        write_new(trace, chrome_trace(runs[0], jobs[0].names).encode())
    if gantt is not None:
        write_new(gantt, gantt_svg(jobs[0].tasks, runs[0], names=jobs[0].names).encode())
    told = [_node_run(each, run) for each, run in zip(jobs, runs, strict=True)]
    if as_json:
        tell(msgspec.json.encode(told).decode(), is_data=True)
    else:
        tell("\n".join(_runs_text(told, horizon_ms)))
    return 1 if any(each.missed for each in told) else 0


def _of_node(jobs: tuple[NodeJobs, ...], node: str | None) -> tuple[NodeJobs, ...]:
    if node is None:
        return jobs
    chosen = tuple(each for each in jobs if each.node == node)
    if not chosen:
        sentence = f"No node '{node}' has anything to do; name one of {_names(jobs)}."
        raise UsageError("app.simulate.unknown", sentence)
    return chosen


def _names(jobs: tuple[NodeJobs, ...]) -> str:
    return ", ".join(each.node for each in jobs) or "none"


def _node_run(jobs: NodeJobs, run: Simulation) -> NodeRun:
    return NodeRun(
        node=jobs.node,
        jobs=int(run.released.sum()),
        missed=int(run.missed.sum()),
        preempted=int(run.preempted.sum()),
        busy_share=1 - run.idle_us / run.horizon_us,
        response_ms_max=int(run.response_us_max.max()) / US_PER_MS,
        misses=tuple(
            f"{jobs.names[each.task_id]}: released at {each.release_us} us, due at "
            f"{each.deadline_us} us, "
            + ("not done" if each.completion_us is None else f"done at {each.completion_us} us")
            for each in run.misses[:MISSES_SHOWN_MAX]
        ),
    )


def _runs_text(runs: list[NodeRun], horizon_ms: float) -> Iterator[str]:
    yield f"Simulated {horizon_ms:g} ms, job by job, every one as long as it may take."
    yield f"{'node':<20}{'busy':>8}{'jobs':>10}{'late':>8}{'preempted':>11}{'slowest ms':>12}"
    for each in runs:
        yield (
            f"{each.node:<20}{each.busy_share:>8.2%}{each.jobs:>10}{each.missed:>8}"
            f"{each.preempted:>11}{each.response_ms_max:>12.3f}"
        )
    for each in runs:
        yield from (f"- {each.node}, {words}" for words in each.misses)
