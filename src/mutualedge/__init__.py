"""Mutual Edge: enterprises run each other's peak-time workloads on each other's idle edge nodes."""

__all__: list[str] = []
