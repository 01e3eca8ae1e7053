"""What it costs a process to say how it is, and to read its store whole before it relies on it."""

from benchmarks.status.measure import run

__all__ = ["run"]
