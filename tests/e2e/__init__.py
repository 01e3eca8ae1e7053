"""Whole consortia of real processes: hub, nodes, runners and NATS servers on loopback."""
