"""``plan policies``: rules of thumb for level and memory, executed under EDF."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from mutualedge.app.planning.published import read_config, read_genes
from mutualedge.app.terminal import tell
from mutualedge.errors import UsageError
from mutualedge.plan.edf import (
    Machine,
    NotDecided,
    Placement,
    Policy,
    Work,
    average_power,
    decide,
    simulate,
)
from mutualedge.plan.reference import machine_of, placements_of, works_of

US_PER_MS = 1_000


class PolicyRun(msgspec.Struct, frozen=True, kw_only=True):
    """How one policy fared; without numbers where it has no choice that holds.

    Attributes:
        missed: Jobs that ended after their deadline.
        reason: Why it has no choice that holds every deadline; empty if it has one.
    """

    policy: Policy
    missed: int | None = None
    busy_share: float | None = None
    power_w: float | None = None
    cpu_w: float | None = None
    memory_w: float | None = None
    cpu_active_w: float | None = None
    cpu_idle_w: float | None = None
    memory_active_w: float | None = None
    memory_idle_w: float | None = None
    reason: str = ""


def run_policies(path: Path, genes: Path | None, *, horizon_ms: float, as_json: bool) -> int:
    """Execute a config under each policy and tell the powers; 0 if each has a choice, 3 if not.

    Args:
        path: A config with ``*cpufreq``, ``*mem`` and ``*task``.
        genes: Plan as ``task.txt``, for the policy ``fixed``; left out without it.
        horizon_ms: How long to simulate.
        as_json: Whether a program reads it.

    Raises:
        UsageError: A file cannot be read, or names a memory or level that is not there.
    """
    config = read_config(path)
    if not config.task:
        raise UsageError("app.policies.tasks", f"{path} has no *task section; add the tasks.")
    machine, works = machine_of(config), works_of(config)
    fixed = placements_of(config, read_genes(genes)) if genes is not None else None
    runs = [
        _run(policy, works, machine, fixed or (), round(horizon_ms * US_PER_MS))
        for policy in Policy
        if fixed is not None or policy is not Policy.FIXED
    ]
    tell(
        msgspec.json.encode(runs).decode() if as_json else "\n".join(_lines(runs)), is_data=as_json
    )
    return 3 if any(run.reason for run in runs) else 0


def _run(
    policy: Policy,
    works: Sequence[Work],
    machine: Machine,
    fixed: Sequence[Placement],
    horizon_us: int,
) -> PolicyRun:
    try:
        decided = decide(policy, works, machine, fixed=fixed)
    except UsageError as error:
        # A machine without the memory that a policy is named after has no such policy.
        if error.code != "edf.machine.memory" or policy is Policy.FIXED:
            raise
        return PolicyRun(policy=policy, reason=error.sentence)
    if isinstance(decided, NotDecided):
        return PolicyRun(policy=policy, reason=decided.sentence)
    run = simulate(decided.tasks, horizon_us)
    power = average_power(decided.power, run.busy_us / run.horizon_us)
    return PolicyRun(
        policy=policy,
        missed=int(run.missed.sum()),
        busy_share=1 - run.idle_us / run.horizon_us,
        power_w=power.total_w,
        cpu_w=power.cpu_w,
        memory_w=power.memory_w,
        cpu_active_w=power.cpu_active_w,
        cpu_idle_w=power.cpu_idle_w,
        memory_active_w=power.memory_active_w,
        memory_idle_w=power.memory_idle_w,
    )


def _lines(runs: Sequence[PolicyRun]) -> Iterator[str]:
    names = ("power", "cpu", "memory", "cpu act", "cpu idle", "mem act", "mem idle")
    yield f"{'policy':<10}{'busy':>8}{'late':>6}" + "".join(f"{name:>10}" for name in names)
    for run in runs:
        if run.reason:
            yield f"{run.policy:<10}no choice holds: {run.reason}"
        else:
            watts = msgspec.structs.astuple(run)[3:10]
            numbers = "".join(f"{value:>10.3f}" for value in watts)
            yield f"{run.policy:<10}{run.busy_share:>8.2%}{run.missed:>6}{numbers}"
    yield "Watts, on average."
