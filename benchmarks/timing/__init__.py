"""Deadlines kept and missed beside programs that take every processor, per grade of ``timing``."""

from benchmarks.timing.measure import run

__all__ = ["run"]
