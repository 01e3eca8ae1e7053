"""A day of a whole consortium per seed: faults, liars, and what must hold all the same."""

import subprocess
import sys
from collections import Counter
from contextlib import closing

import msgspec
import pytest

from mutualedge.market import Agreement
from mutualedge.node.leases import LENT, LeaseRow
from mutualedge.signing import parse_canonical
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


def test_who_opens_nothing_is_signed_little() -> None:
    """A place is held for it once, then ever less often: ten hours bring a handful."""
    with closing(World(Plan(seed=7, hours=10, faults=QUIET, lie="leases hoarded"))) as world:
        world.run()
        honest = [name for name in world.names if name != world.liar]
        terms = [
            parse_canonical(msgspec.msgpack.decode(raw, type=LeaseRow).agreement.payload, Agreement)
            for name in honest
            for _, raw in world.network.processes[name].store.scan(LENT)
        ]
        hoarded = Counter(each.provider for each in terms if each.requester == world.liar)
        assert world.schedule.counts["lied"] > 10 * sum(hoarded.values())
        assert 0 < max(hoarded.values()) <= 12
        assert {each.provider for each in terms if each.requester != world.liar} == set(honest)


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
