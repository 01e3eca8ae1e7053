"""What the program takes before it does anything: time to import, memory once it is warm."""

from benchmarks.footprint.measure import run

__all__ = ["run"]
