"""Ask nodes beside hogs and tell misses and delays, each by the grade that was given."""

import asyncio
import os

import msgspec
import uvloop

from benchmarks.lines import Metric, timed
from benchmarks.media import fresh_folder, media
from benchmarks.timing.trial import DEADLINE_MS, PERIOD_MS, Kept, hog_count, trial

NS_PER_US = 1_000

CALLS = 200
"""Five seconds of questions."""


def run() -> list[Metric]:
    """Return misses and delays of each node; files stand in memory, so that no disk is timed."""
    found = media()
    medium = "memory" if "memory" in found else "disk"
    with (
        fresh_folder(found[medium]) as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        kept = runner.run(trial(folder, CALLS))
    load = round(os.getloadavg()[0], 2)
    return [metric for each in kept.values() for metric in _metrics(each, medium, load)]


def _metrics(kept: Kept, medium: str, load: float) -> list[Metric]:
    said = f"timing {kept.timing}, node {kept.scheduling}, {hog_count()} hogs, files in {medium}"
    delays_ns = [each.delay_us * NS_PER_US for each in kept.answers]
    delays = msgspec.structs.replace(
        timed(f"reading to answer at the device, {said}", delays_ns, unit="ms"),
        detail={"period_ms": PERIOD_MS, "deadline_ms": DEADLINE_MS, "load_1min_after": load},
    )
    missed = Metric(
        metric=f"deadlines missed at the device, {said}",
        n=len(kept.answers),
        unit="calls",
        p50=kept.missed,
        detail={
            "priority": kept.reason,
            "late_by_the_nodes_own_count": kept.late,
            "refused_or_failed": sum(bool(each.code) for each in kept.answers),
            "guaranteed_reading": kept.guaranteed.code or "taken",
            "asked_for_s": CALLS * PERIOD_MS / 1_000,
        },
    )
    return [missed, delays]
