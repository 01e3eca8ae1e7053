"""How fast a bundle of twenty thousand records is verified offline, and what it costs in memory."""

from benchmarks.audit.measure import run

__all__ = ["run"]
