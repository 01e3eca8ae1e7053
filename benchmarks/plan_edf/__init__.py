"""How fast sets are decided and executed under EDF, beside SimSo on the same sets."""

from benchmarks.plan_edf.measure import run

__all__ = ["run"]
