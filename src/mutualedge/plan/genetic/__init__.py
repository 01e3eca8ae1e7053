"""Evolution as a way to choose: slower and less sure than prices, and how published plans came."""

from mutualedge.plan.genetic.evolution import (
    Evolver,
    Generation,
    Settings,
    Spread,
    convergence_text,
)

__all__ = ["Evolver", "Generation", "Settings", "Spread", "convergence_text"]
