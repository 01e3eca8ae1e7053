"""How many signed commands the ledger's engine carries out, as writer and as follower."""

from benchmarks.ledger.measure import run

__all__ = ["run"]
