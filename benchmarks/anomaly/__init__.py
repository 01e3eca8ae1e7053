"""What the built-in detector finds and misses: in real logs with known events, and in synthetic."""

from benchmarks.anomaly.measure import run

__all__ = ["run"]
