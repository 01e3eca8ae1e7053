"""A day of a whole consortium per seed: faults, liars, and what must hold all the same."""

import subprocess
import sys

import pytest

from tests.simulation.liars import LIES
from tests.simulation.scenarios import plan_of, shortcomings, simulate
from tests.simulation.schedule import QUIET
from tests.simulation.world import Plan, World

SEEDS = 200


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_lost_doubled_or_forged(seed: int) -> None:
    """Whatever strikes, everything settles, nobody honest loses over W, and the audit agrees."""
    result = simulate(plan_of(seed))
    assert not shortcomings(result), f"seed {seed} ({result.lie}): {shortcomings(result)}"


def test_a_quiet_day_settles_every_call_exactly() -> None:
    """Without faults and liars every charged call is posted, to the microcredit."""
    world = World(Plan(seed=1, hours=6, faults=QUIET, readings_a_day=1400)).run()
    world.judge()
    counts = world.schedule.counts
    assert counts["scored at a partner"] > 50
    assert counts["settled exactly"] == counts["leases settled"] > 0
    assert counts["microcredits posted"] == counts["scored at a partner"] * 500


@pytest.mark.parametrize("seed", range(4))
def test_who_leaves_three_and_countersigns_no_more_holds_nothing_up(seed: int) -> None:
    """Every block becomes final, by every fault, and the audit proves all of the day."""
    world = World(Plan(seed=seed, change="leave silently")).run()
    world.judge()
    assert world.schedule.counts["countersignature withheld"] > 0


@pytest.mark.parametrize("lie", sorted(LIES))
def test_a_liar_is_blamed_or_gains_nothing(lie: str) -> None:
    """On an otherwise quiet day the auditor blames nobody but the liar."""
    world = World(Plan(seed=7, hours=10, faults=QUIET, lie=lie)).run()
    world.judge()
    assert world.schedule.counts["lied"] > 0


def test_one_seed_has_one_trace_under_any_hash_seed() -> None:
    """Two processes with other hash seeds go through the same events at the same times."""
    program = (
        "from tests.simulation.world import Plan, World;"
        "from tests.simulation.scenarios import simulate;"
        "print(World(Plan(seed=5, hours=8)).run().schedule.trace_digest);"
        "print(simulate(Plan(seed=5, hours=4, is_driven=True)).trace);"
        "print(World(Plan(seed=5, hours=8, change='join')).run().schedule.trace_digest)"
    )
    traces = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            text=True,
            timeout=300,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(traces) == 1
