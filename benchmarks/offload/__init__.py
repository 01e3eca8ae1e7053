"""What a warm offload between two enterprises costs beside a bare request on the same way."""

from benchmarks.offload.measure import run

__all__ = ["run"]
