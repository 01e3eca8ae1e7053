import asyncio
import sys
from math import sqrt
from pathlib import Path

import pytest

from benchmarks.timing.trial import GRANTED, ORDINARY, RAISED, Kept, trial
from mutualedge.model import EnterpriseId

pytestmark = pytest.mark.e2e

CALLS = 60
"""A second and a half beside hogs: enough to tell none from many, short for whoever runs beside."""

BY_CHANCE = round(4 * sqrt(CALLS / 2))
"""Four standard deviations of the difference of two counts that are equal but for chance."""

Nodes = dict[EnterpriseId, Kept]


def test_beside_hogs_each_node_says_what_it_can_keep(tmp_path: Path) -> None:
    """Grades are true, nothing is guaranteed without priority, late is late, priority helps.

    One test, so that the hogs run once however many processes share the tests.
    """
    nodes = asyncio.run(trial(tmp_path / "trial", CALLS))
    for name, kept in nodes.items():
        said = f"{name}: {kept.timing}, node {kept.scheduling}, missed {kept.missed} of {CALLS}\n"
        sys.stdout.write(said)
    assert_graded(nodes)
    for kept in nodes.values():
        assert_no_guarantee_without_priority(kept)
        assert_late_is_late(kept)
    assert_priority_helps(nodes)


def assert_graded(nodes: Nodes) -> None:
    """Whoever may take no priority says so in every result, and nobody says more than was given."""
    assert nodes[ORDINARY].timing == "best-effort"
    for kept in nodes.values():
        assert {each.timing for each in kept.answers if not each.code} <= {kept.timing}
        assert len(kept.answers) == CALLS


def assert_no_guarantee_without_priority(kept: Kept) -> None:
    """A guarantee is refused for its grade at best-effort, and nowhere else for that reason."""
    is_refused = kept.guaranteed.code == "node.timing.best-effort"
    assert is_refused == (kept.timing == "best-effort")


def assert_late_is_late(kept: Kept) -> None:
    """What the node calls late missed at the device too; its count leaves out the way."""
    assert 0 <= kept.late <= kept.missed <= CALLS


def assert_priority_helps(nodes: Nodes) -> None:
    """Priority for the whole node, where granted, misses no more than none, but for chance."""
    for name in (GRANTED, RAISED):
        kept = nodes[name]
        assert (kept.timing == "prioritised") <= (kept.scheduling != "ordinary"), name
        if kept.scheduling != "ordinary":
            assert kept.missed <= nodes[ORDINARY].missed + BY_CHANCE
