"""Which consortium a seed simulates, and what its run came to."""

import gc
import traceback
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from tests.simulation.liars import LIES
from tests.simulation.remembering import remembered_quotes
from tests.simulation.terms import DISPUTE_WINDOW_MS
from tests.simulation.world import ClockStep, Plan, World

NEEDED = (
    "lost",
    "duplicated",
    "delayed",
    "cut off",
    "partitioned",
    "crashed before commit",
    "crashed after commit",
    "crashed between outputs",
    "runner lost",
)
"""Faults that every seed must have seen."""

INVOCATIONS_MIN = 1000

BUSY_READINGS_A_DAY = 1700

MS_PER_HOUR = 3_600_000

CHANGES: dict[int, Literal["join", "leave"]] = {2: "leave", 4: "join", 5: "leave", 7: "join"}
"""What changes about the members, by the last digit of a seed; the others tell of other days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one seed came to."""

    seed: int
    lie: str | None
    counts: dict[str, int]
    trace: str
    failure: str


HUB_AWAY_DIGITS = (8, 9)
HUB_AWAY_HOURS = 2 * DISPUTE_WINDOW_MS / MS_PER_HOUR
"""Longer than anybody may take to claim: what would have lapsed meanwhile must not."""

HUB_AWAY = ClockStep(who="hub", at_hour=11.9, down_hours=HUB_AWAY_HOURS)
"""From shortly before leases of six hours end: their claims find nobody."""


def plan_of(seed: int) -> Plan:
    """Return the plan of a seed: three to seven members, every second one with a liar.

    In two of ten somebody joins in the middle of the day, in two of ten somebody leaves, in two of
    ten the hub is gone for longer than a dispute window.
    """
    lies = tuple(LIES)
    lie = lies[seed // 2 % len(lies)] if seed % 2 else None
    change = CHANGES.get(seed % 10)
    members = 3 if seed % 20 else 4 + seed // 20 % 4
    if change != "leave":
        away = (HUB_AWAY,) if seed % 10 in HUB_AWAY_DIGITS else ()
        return Plan(seed=seed, members=members, lie=lie, change=change, steps=away)
    # Three stay, busier than elsewhere: else there are days on which a liar has no occasion.
    return Plan(seed=seed, members=4, lie=lie, change=change, readings_a_day=BUSY_READINGS_A_DAY)


def simulate(plan: Plan) -> Result:
    """Run a plan and return its result; a failure is text, so that it crosses processes."""
    gc.collect()
    gc.freeze()
    gc.disable()  # a run makes few cycles, and collecting them takes a fifth of its time
    world = World(plan)
    failure = ""
    try:
        with closing(world), remembered_quotes():
            world.run()
            world.judge()
    except Exception:  # noqa: BLE001  # the report names the seed, whatever went wrong
        failure = traceback.format_exc(limit=-3)
    gc.enable()
    counts = world.schedule.counts.values
    return Result(
        seed=plan.seed,
        lie=plan.lie,
        counts=counts,
        trace=world.schedule.trace_digest,
        failure=failure,
    )


def shortcomings(result: Result) -> str:
    """Return why a run failed or proved too little; nothing if it did neither."""
    counts = result.counts
    missing = [fault for fault in NEEDED if not counts.get(fault)]
    if result.failure:
        return result.failure
    if missing:
        return f"it never saw {missing}"
    if result.lie is not None and not counts.get("lied"):
        return "its liar never lied"
    few = counts["invocations"] < INVOCATIONS_MIN
    return f"it had {counts['invocations']} invocations" if few else ""
