"""Run benchmarks: ``python -m benchmarks [CAPABILITY ...]``, all of them by default.

Results are appended to ``benchmarks/results/<capability>.jsonl``; the exit status says only
whether everything ran: a loaded machine misses targets for reasons of its own.
"""

import sys
from collections.abc import Callable
from time import monotonic

from benchmarks import (
    anomaly,
    footprint,
    ledger,
    offload,
    plan_edf,
    plan_period,
    plan_solve,
    session,
    status,
    timing,
    tlog,
)
from benchmarks.adopted import run_admission, run_audit
from benchmarks.lines import Metric, save

CAPABILITIES: dict[str, Callable[[], list[Metric]]] = {
    "offload": offload.run,
    "session": session.run,
    "footprint": footprint.run,
    "admission": run_admission,
    "plan_edf": plan_edf.run,
    "plan_solve": plan_solve.run,
    "plan_period": plan_period.run,
    "plan_campaign": plan_solve.run_campaign,
    "ledger": ledger.run,
    "tlog": tlog.run,
    "audit": run_audit,
    "anomaly": anomaly.run,
    "status": status.run,
    "timing": timing.run,
}

EXIT_USAGE = 64
VERDICTS = {None: "", True: "  ok", False: "  MISSED"}


def main(names: list[str]) -> int:
    """Run these capabilities, or all if none is named, and return the exit status."""
    unknown = [name for name in names if name not in CAPABILITIES]
    if unknown:
        known = ", ".join(CAPABILITIES)
        sys.stderr.write(f"There is no benchmark '{unknown[0]}'; choose from: {known}.\n")
        return EXIT_USAGE
    for name in names or CAPABILITIES:
        begun_s = monotonic()
        metrics = CAPABILITIES[name]()
        save(name, metrics)
        print(f"{name} ({monotonic() - begun_s:.0f} s)")
        for metric in metrics:
            print(f"  {_told(metric)}")
    return 0


def _told(metric: Metric) -> str:
    p99 = "" if metric.p99 is None else f"  p99 {metric.p99:,g}"
    floor = ""
    if metric.baseline is not None:
        floor = f"  = {metric.ratio_p50}x / {metric.ratio_p99}x of '{metric.baseline.name}'"
    said = f"{metric.metric}: p50 {metric.p50:,g}{p99} {metric.unit}{floor}"
    return said + VERDICTS[metric.met]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
