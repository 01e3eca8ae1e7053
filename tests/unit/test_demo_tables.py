import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from mutualedge.app.demo.books import Books
from mutualedge.app.demo.cast import CANDY, LOGISTICS, MACHINES, REPORTING, TRADES
from mutualedge.app.demo.day import plan_day
from mutualedge.app.demo.script import Rehearsed
from mutualedge.app.demo.stock import Devices, File, stock_devices
from mutualedge.app.demo.summary import summarise
from mutualedge.app.demo.tables import sentences_of, table_of
from mutualedge.app.demo.tally import Asked, Outcome, Tally
from mutualedge.audit.report import Counts, Report, Verdict
from mutualedge.connectors import synthetic_signal
from mutualedge.model import AssuranceLevel, DeviceId, EnterpriseId, InvocationId

SCHEMA = {
    "enterprises",
    "results",
    "anomalies",
    "attested_sessions",
    "settled_microcredits",
    "ledger_sum_microcredits",
    "log_entries",
    "cosignatures",
    "audit",
    "assurance",
    "timing",
    "elapsed_s",
}
ENTERPRISE_SCHEMA = {
    "invocations",
    "local",
    "offloaded",
    "served",
    "refused",
    "unanswered",
    "deadline_misses",
    "latency_ms_p50",
    "latency_ms_p99",
    "balance_microcredits",
}


def report_of(status: Verdict) -> Report:
    counts = Counts(
        lines=20,
        records=3,
        records_unbatched=1,
        leases=2,
        blocks=4,
        entries=5,
        cosignatures=9,
        settled_microcredits=3000,
        ledger_sum_microcredits=0,
    )
    return Report(
        status=status,
        consortium="rehearsal",
        trust_version=1,
        trust_digest="0" * 64,
        counts=counts,
        assurance=(AssuranceLevel.SIMULATED,),
        steps=(),
        findings=(),
        findings_omitted=0,
    )


def asked(name: EnterpriseId, outcome: Outcome, *, placed: str = "", code: str = "") -> Asked:
    return Asked(
        enterprise=name,
        invocation=InvocationId(outcome.ljust(32, "0")),
        hour=3,
        outcome=outcome,
        latency_s=0.0123,
        placed=placed,
        code=code,
    )


def rehearsed_of(
    *, lost_microcredits: int = 0, status: Verdict = "proved", is_recorded: bool = True
) -> Rehearsed:
    tally = Tally()
    for each in (
        asked(CANDY, Outcome.LOCAL, placed=CANDY),
        asked(CANDY, Outcome.OFFLOADED, placed=MACHINES),
        asked(CANDY, Outcome.REFUSED, code="booking.job.deadline"),
        asked(MACHINES, Outcome.UNANSWERED, code="some.new.code"),
    ):
        tally.add(each)
    return Rehearsed(
        tally=tally,
        books=Books(
            served=Counter({MACHINES: 3}),
            recorded=tally.offloaded() if is_recorded else frozenset(),
            balances_microcredits={CANDY: -3000, MACHINES: 3000},
            written_off_microcredits=Counter({MACHINES: lost_microcredits}),
        ),
        report=report_of(status),
        timing={CANDY: "prioritised", MACHINES: "best-effort", LOGISTICS: "prioritised"},
        assurance=AssuranceLevel.SIMULATED,
        attested_sessions=6,
        off_s=2.0,
    )


@pytest.fixture(scope="module")
def synthetic() -> Devices:
    return stock_devices(plan_day(REPORTING, invocations=430, load=1.0, seed=1), [], 1)


def devices_with_a_file() -> Devices:
    """Return devices of which one reads a file, one reading of it flagged."""
    series = synthetic_signal(
        seed=1, device=DeviceId("press"), readings_count=300, faults_per_kind=0
    ).series
    day = plan_day(REPORTING, invocations=5, load=1.0, seed=1)
    devices = stock_devices(day, [File(path=Path("/data/Press_1.csv"), series=series)], 1)
    for device in (devices[CANDY][0], devices[CANDY][1]):
        count = len(device.next_batch().values)
        device.take((7.5,) * count, (1,) + (0,) * (count - 1))
    return devices


def told_by(rehearsed: Rehearsed, devices: Devices) -> str:
    return "\n".join(sentences_of(rehearsed, devices, summarise(rehearsed, devices, 20.0)))


def test_the_object_for_programs_has_these_fields(synthetic: Devices) -> None:
    """Nothing is missing, renamed or of another type; figures add up."""
    summary = summarise(rehearsed_of(), synthetic, 20.04)
    told = json.loads(msgspec.json.encode(summary))
    assert set(told) == SCHEMA
    assert list(told["enterprises"]) == list(TRADES)
    assert all(set(each) == ENTERPRISE_SCHEMA for each in told["enterprises"].values())
    assert told["enterprises"]["candy"] == {
        "invocations": 3,
        "local": 1,
        "offloaded": 1,
        "served": 0,
        "refused": 1,
        "unanswered": 0,
        "deadline_misses": 0,
        "latency_ms_p50": 12.3,
        "latency_ms_p99": 12.3,
        "balance_microcredits": -3000,
    }
    assert told["enterprises"]["machines"]["deadline_misses"] == 1
    assert told["results"] == 2
    assert told["audit"] == {"status": "proved", "records": 3}
    assert (told["timing"], told["assurance"], told["elapsed_s"]) == (
        "best-effort",
        "simulated",
        20.0,
    )


def test_anomalies_are_the_files_where_there_are_files() -> None:
    """Synthetic load beside them is not told as if it had been asked for."""
    devices = devices_with_a_file()
    summary = summarise(rehearsed_of(), devices, 20.0)
    assert [(each.device, each.score) for each in summary.anomalies] == [("Press_1", 7.5)]
    assert summary.anomalies[0].timestamp == devices[CANDY][0].series.instants[0]


def test_the_table_fits_a_screen_and_names_every_column(synthetic: Devices) -> None:
    """80 columns; each row has a label and one value for each enterprise, in their order."""
    rehearsed = rehearsed_of()
    lines = table_of(rehearsed, summarise(rehearsed, synthetic, 20.0)).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == list(TRADES)
    rows = {line[:30].strip(): line[30:].split() for line in lines[1:]}
    assert rows["deadlines met"] == ["2", "0", "0"]
    assert rows["deadlines missed"] == ["0", "1", "0"]
    assert rows["mileage, microcredits"] == ["-3000", "+3000", "+0"]
    assert rows["timing"] == ["prioritised", "best-effort", "prioritised"]
    assert all(len(cells) == len(TRADES) for cells in rows.values())


def test_reasons_are_in_words_and_unknown_codes_as_they_are(synthetic: Devices) -> None:
    """Nothing is left out because nobody wrote a sentence for it."""
    told = told_by(rehearsed_of(), synthetic)
    assert "    1 no room at home, no free place at a partner before the deadline" in told
    assert "    1 some.new.code" in told


def test_what_was_written_off_is_said(synthetic: Devices) -> None:
    """A loss is named with its amount and who bears it; without one nothing is claimed lost."""
    assert "machines 2000 microcredits" in told_by(rehearsed_of(lost_microcredits=2000), synthetic)
    assert "everything in the logs is paid" in told_by(rehearsed_of(), synthetic)


def test_a_result_without_record_is_said(synthetic: Devices) -> None:
    """What a partner gave must stand in its log, or a loss of power took it."""
    assert "All 1 results" in told_by(rehearsed_of(), synthetic)
    assert "1 of 1 results that partners gave stand in no log" in told_by(
        rehearsed_of(is_recorded=False), synthetic
    )


def test_the_verdict_is_the_auditors(synthetic: Devices) -> None:
    """The last screen repeats it and never improves it."""
    assert "VIOLATED: 3 usage records" in told_by(rehearsed_of(status="violated"), synthetic)


def test_a_files_anomalies_are_told(synthetic: Devices) -> None:
    """How much of the file was scored and the strongest reading; synthetic ones are called so."""
    devices = devices_with_a_file()
    at = devices[CANDY][0].series.instants[0]
    assert f"Press_1: 120 of 300 readings scored, 1 flagged; strongest: {at} (score 7.5)." in (
        told_by(rehearsed_of(), devices)
    )
    assert "The signals are synthetic" in told_by(rehearsed_of(), synthetic)
    assert "The signals are synthetic" not in told_by(rehearsed_of(), devices)
