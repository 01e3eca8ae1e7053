"""Runs the rehearsal and shows it: every step as it happens, then the totals and the verdict."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import uvloop

from mutualedge.app.auditing import report_text
from mutualedge.app.demo.script import Tally, rehearse
from mutualedge.audit import Report
from mutualedge.errors import UsageError

NOTHING_KEPT = "Nothing was kept; `mutualedge demo --keep FOLDER` keeps stores, events and bundle."


def run_rehearsal(keep: Path | None, *, as_json: bool) -> int:
    """Run the rehearsal and return the exit status: 0 only if the auditor proved everything.

    Args:
        keep: New folder to keep everything in; otherwise a temporary one is removed afterwards.
        as_json: Print one JSON object at the end instead of telling the steps.

    Raises:
        UsageError: The folder exists, a process did not start, or a step did not happen.
    """
    if keep is not None:
        if keep.exists():
            sentence = f"{keep} exists; name a new folder so that nothing is overwritten."
            raise UsageError("demo.folder.exists", sentence)
        return _run(keep, as_json=as_json, kept=f"Everything is kept in {keep}.")
    with tempfile.TemporaryDirectory(prefix="mutualedge-") as folder:
        return _run(Path(folder) / "rehearsal", as_json=as_json, kept=NOTHING_KEPT)


def _run(folder: Path, *, as_json: bool, kept: str) -> int:
    started_s = time.monotonic()

    def say(sentence: str) -> None:
        if not as_json:
            sys.stdout.write(f"[{time.monotonic() - started_s:5.1f} s] {sentence}\n")
            sys.stdout.flush()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tally, report = runner.run(rehearse(folder.resolve(), say))
    elapsed_s = time.monotonic() - started_s
    text = _as_json(tally, report, elapsed_s) if as_json else _as_text(tally, report, kept)
    sys.stdout.write(text)
    return report.exit_code


def _as_text(tally: Tally, report: Report, kept: str) -> str:
    return (
        f"{report_text(report, as_json=False)}\n\n"
        f"Calls scored by candy itself {tally.local}, by logistics {tally.offloaded}, refused "
        f"{tally.refused}; slowest {tally.slowest_ms:.0f} ms. Readings found odd: "
        f"{tally.anomalies}.\n"
        "Assurance: simulated. On this machine the provider's administrator could read the\n"
        "runner's memory; with a real trusted execution environment it cannot.\n"
        f"{kept}\n"
    )


def _as_json(tally: Tally, report: Report, elapsed_s: float) -> str:
    told = {
        "local": tally.local,
        "offloaded": tally.offloaded,
        "refused": tally.refused,
        "anomalies": tally.anomalies,
        "latency_ms_max": round(tally.slowest_ms, 1),
        "settled_microcredits": report.counts.settled_microcredits,
        "ledger_sum_microcredits": report.counts.ledger_sum_microcredits,
        "cosignatures": report.counts.cosignatures,
        "audit": {"status": report.status, "records": report.counts.records},
        "assurance": "simulated",
        "elapsed_s": round(elapsed_s, 1),
    }
    return msgspec.json.encode(told).decode() + "\n"
