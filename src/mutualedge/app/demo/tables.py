"""The last screen of the rehearsal: aligned columns that also read well aloud, 80 wide."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from mutualedge.app.demo.cast import MACHINES, TRADES
from mutualedge.app.demo.script import Rehearsed
from mutualedge.app.demo.stock import Device, Devices
from mutualedge.app.demo.summary import EnterpriseSummary, Summary
from mutualedge.app.words import REASONS
from mutualedge.model import EnterpriseId

NAME_COLUMNS = 30
VALUE_COLUMNS = 15
"""One label and three enterprises fill 75 columns."""

REASONS_SHOWN = 6
ANOMALIES_SHOWN = 3

Cell = Callable[[EnterpriseSummary], str]

ROWS: tuple[tuple[str, Cell], ...] = (
    ("invocations", lambda each: f"{each.invocations}"),
    ("  run at home", lambda each: f"{each.local}"),
    ("  run by a partner", lambda each: f"{each.offloaded}"),
    ("  refused, no room", lambda each: f"{each.refused}"),
    ("  unanswered", lambda each: f"{each.unanswered}"),
    ("served for partners", lambda each: f"{each.served}"),
    ("deadlines met", lambda each: f"{each.invocations - each.refused - each.deadline_misses}"),
    ("deadlines missed", lambda each: f"{each.deadline_misses}"),
    ("latency p50, ms", lambda each: f"{each.latency_ms_p50:.1f}"),
    ("latency p99, ms", lambda each: f"{each.latency_ms_p99:.1f}"),
    ("mileage, microcredits", lambda each: f"{each.balance_microcredits:+}"),
)


def table_of(rehearsed: Rehearsed, summary: Summary) -> str:
    """Return a row for each figure and a column for each enterprise."""
    columns = summary.enterprises
    lines = [_row("", columns)]
    lines += [_row(label, [cell(each) for each in columns.values()]) for label, cell in ROWS]
    lines.append(_row("assurance", [summary.assurance] * len(columns)))
    lines.append(_row("timing", [rehearsed.timing[name] for name in columns]))
    return "\n".join(lines)


def _row(label: str, cells: Sequence[str] | dict[EnterpriseId, EnterpriseSummary]) -> str:
    return f"{label:<{NAME_COLUMNS}}" + "".join(f"{cell:>{VALUE_COLUMNS}}" for cell in cells)


def sentences_of(rehearsed: Rehearsed, devices: Devices, summary: Summary) -> Iterator[str]:
    """Yield what the table cannot say, one sentence each."""
    yield from _reasons(rehearsed)
    yield _lost(rehearsed)
    yield from _found(devices, summary)
    counts = rehearsed.report.counts
    yield (
        f"{rehearsed.report.status.upper()}: {counts.records} usage records, "
        f"{counts.settled_microcredits} microcredits settled, all accounts together "
        f"{counts.ledger_sum_microcredits}."
    )
    yield (
        f"Assurance is {summary.assurance}: on this machine a provider's administrator could read "
        "the runner's memory; with a real trusted execution environment it cannot."
    )


def _reasons(rehearsed: Rehearsed) -> Iterator[str]:
    reasons = sum((rehearsed.tally.reasons(name) for name in TRADES), Counter[str]())
    if reasons:
        yield "No result, and sent again at the device's next turn:"
    for code, number in islice(reasons.most_common(), REASONS_SHOWN):
        yield f"  {number:3} {REASONS.get(code, code)}"


def _lost(rehearsed: Rehearsed) -> str:
    """Say what the loss of power cost: results, and what nobody pays for."""
    given, books = rehearsed.tally.offloaded(), rehearsed.books
    absent = len(given - books.recorded)
    results = f"All {len(given)} results that partners gave stand in their logs"
    if absent:
        results = f"{absent} of {len(given)} results that partners gave stand in no log"
    lost = {name: amount for name, amount in books.written_off_microcredits.items() if amount}
    paid = "everything in the logs is paid"
    if lost:
        amounts = " and ".join(f"{name} {amount}" for name, amount in lost.items())
        paid = f"written off, because nobody signed for it: {amounts} microcredits"
    return f"{MACHINES}' node was off for {rehearsed.off_s:.1f} s. {results}; {paid}."


def _found(devices: Devices, summary: Summary) -> Iterator[str]:
    every = [device for own in devices.values() for device in own]
    for device in every:
        if not device.is_synthetic:
            yield _found_in_file(device)
    if any(not device.is_synthetic for device in every):
        return
    faults = [(device, fault) for device in every for fault in device.faults]
    sent = [
        (device, fault) for device, fault in faults if fault.end_index <= device.scored_readings
    ]
    seen = sum(device.flagged_within(fault.start_index, fault.end_index) for device, fault in sent)
    yield (
        f"The signals are synthetic, with labelled faults: {len(sent)} faults were sent, {seen} of "
        f"them flagged; {len(summary.anomalies)} readings are flagged in all."
    )


def _found_in_file(device: Device) -> str:
    flagged = sorted(device.anomalies(), key=lambda each: -abs(each[1]))
    total = len(device.series.values)
    strongest = ", ".join(f"{at} (score {score:.1f})" for at, score, _ in flagged[:ANOMALIES_SHOWN])
    what = f"{len(flagged)} flagged; strongest: {strongest}" if flagged else "none flagged"
    return f"{device.label}: {device.scored_readings} of {total} readings scored, {what}."
