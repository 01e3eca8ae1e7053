"""What the first call costs: opening the session, appraising the evidence, and the call."""

from benchmarks.session.measure import run

__all__ = ["run"]
