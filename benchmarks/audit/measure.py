"""Verify one large bundle on one core, in processor time, and once more to count memory."""

import tracemalloc
from math import ceil
from time import thread_time_ns

from mutualedge.audit import verify_bundle
from mutualedge.model import NS_PER_S, format_instant
from tests.unit.audit_scenarios import ACME, BOLT, START_NS, Scenario

RECORDS_COUNT = 20_000
BATCH_CALLS = 64
"""Calls under one batch and one voucher, as many as a requester may leave unsigned."""

LEASE_S = 600
"""Long enough for thirty thousand calls at one in 20 ms."""

RUNS_COUNT = 7

Line = dict[str, str | int | float]


def run() -> list[Line]:
    """Return records per second over the whole audit, and peak memory beyond the file's lines."""
    lines = _bundle()
    times_ns = sorted(_timed(lines) for _ in range(RUNS_COUNT))
    median_ns = times_ns[RUNS_COUNT // 2]
    return [
        {
            "benchmark": "audit",
            "kind": "verify a bundle, one core",
            "n": RUNS_COUNT,
            "records": RECORDS_COUNT,
            "bundle_bytes": sum(map(len, lines)),
            "unit": "records/s",
            "median": round(RECORDS_COUNT * 1e9 / median_ns),
            "p99": round(RECORDS_COUNT * 1e9 / times_ns[ceil(RUNS_COUNT * 0.99) - 1]),
        },
        {
            "benchmark": "audit",
            "kind": "peak memory beyond the lines",
            "n": 1,
            "records": RECORDS_COUNT,
            "unit": "bytes/record",
            "median": round(_peak_bytes(lines) / RECORDS_COUNT),
        },
    ]


def _bundle() -> list[bytes]:
    scenario = Scenario()
    scenario.allow(limit=10**9)
    lending = scenario.lend(ends=format_instant(START_NS + LEASE_S * NS_PER_S), window_calls=64)
    scenario.vouch(lending)
    while (left := RECORDS_COUNT - len(lending.bodies)) > 0:
        scenario.serve(lending, min(left, BATCH_CALLS))
        scenario.batch(lending)
        scenario.vouch(lending)
    scenario.now_ns += LEASE_S * NS_PER_S
    scenario.settle(scenario.state(lending))
    scenario.publish(ACME, BOLT)
    return scenario.write()


def _timed(lines: list[bytes]) -> int:
    began_ns = thread_time_ns()
    report = verify_bundle(lines)
    took_ns = thread_time_ns() - began_ns
    assert report.status == "proved", report.findings
    assert report.counts.records == RECORDS_COUNT
    return took_ns


def _peak_bytes(lines: list[bytes]) -> int:
    tracemalloc.start()
    verify_bundle(lines)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak_bytes
