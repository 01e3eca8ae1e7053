"""A member may ask a lot at once, little for long, and never at another's cost."""

from mutualedge.consortium.allowance import Allowance
from mutualedge.model import NS_PER_S, EnterpriseId

ACME, BOLT = EnterpriseId("acme"), EnterpriseId("bolt")
NOW_NS = 10**18


def test_a_burst_is_taken_at_once_and_comes_back_evenly() -> None:
    """Three at once, then one each half second."""
    allowance = Allowance(burst=3, per_s=2)
    assert [allowance.take([ACME], NOW_NS) for _ in range(4)] == [True, True, True, False]
    assert not allowance.take([ACME], NOW_NS + NS_PER_S // 2 - 1)
    assert allowance.take([ACME], NOW_NS + NS_PER_S // 2)
    assert not allowance.take([ACME], NOW_NS + NS_PER_S // 2)


def test_a_full_bucket_does_not_grow() -> None:
    """A year of silence is worth no more than a burst."""
    allowance = Allowance(burst=3, per_s=2)
    assert allowance.take([ACME], NOW_NS)
    assert not allowance.take([ACME] * 4, NOW_NS + 10**16)
    assert allowance.take([ACME] * 3, NOW_NS + 10**16)


def test_all_or_nothing_is_taken_from_each() -> None:
    """Whoever brings several members' asks takes from nobody if one has too little."""
    allowance = Allowance(burst=2, per_s=1)
    assert allowance.take([ACME, ACME], NOW_NS)
    assert not allowance.take([ACME, BOLT, BOLT], NOW_NS)
    assert allowance.take([BOLT, BOLT], NOW_NS)


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    """The bucket counts as full."""
    allowance = Allowance(burst=2, per_s=1)
    assert allowance.take([ACME, ACME], NOW_NS)
    assert allowance.take([ACME], NOW_NS - 3600 * NS_PER_S)
