"""Trusted execution simulated in the real formats, under a test root no production policy takes."""

from mutualedge.adapters.tee_sim.certificates import SimulatedRoot, make_test_root
from mutualedge.adapters.tee_sim.collateral import make_collateral
from mutualedge.adapters.tee_sim.platform import SimulatedPlatform, make_platform

__all__ = [
    "SimulatedPlatform",
    "SimulatedRoot",
    "make_collateral",
    "make_platform",
    "make_test_root",
]
