"""How fast a transparency log grows, proves and is checked."""

from benchmarks.tlog.measure import run

__all__ = ["run"]
