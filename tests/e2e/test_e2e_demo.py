import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from mutualedge.app.demo.cast import MACHINES, REPORTING, TRADES
from mutualedge.app.demo.day import usual_invocations
from mutualedge.app.demo.screen import RESULTS_FILE
from mutualedge.app.demo.summary import Summary
from mutualedge.app.processes import EVENTS_FILE
from mutualedge.functions import anomaly
from tests.e2e.command_line import mutualedge
from tests.e2e.conftest import KeptDemo

pytestmark = pytest.mark.e2e

DEMO_S_MAX = 30.0
SLACK_S = 30.0
"""Other tests run on the same processors at the same time."""

TIMINGS = frozenset({"prioritised", "best-effort"})

EVIDENCE = (
    "agreement",
    "attestation",
    "batch",
    "block",
    "checkpoint",
    "entry",
    "statement",
    "trust",
    "voucher",
)
SIGNED_FIELDS = ("body", "payload", "attestation", "note")


def kind_of(line: bytes) -> str:
    kind = json.loads(line)["type"]
    assert isinstance(kind, str)
    return kind


def evidence(bundle: Path, kind: str) -> tuple[list[bytes], int]:
    """Return the bundle's lines and which of them is the last of a kind."""
    lines = bundle.read_bytes().splitlines(keepends=True)
    return lines, max(index for index, line in enumerate(lines) if kind_of(line) == kind)


def flipped(line: bytes) -> bytes:
    """Change one character inside what is signed, so that the line still can be read."""
    starts = [line.find(f'"{field}":"'.encode()) for field in SIGNED_FIELDS]
    place = line.index(b'":"', max(starts)) + 40
    return line[:place] + (b"B" if line[place : place + 1] == b"A" else b"A") + line[place + 1 :]


def test_the_rehearsal_lends_settles_and_proves(demo: KeptDemo) -> None:
    """`mutualedge demo` ends by itself: work went to partners, was paid and is proved."""
    assert (demo.told.status, demo.told.err) == (0, "")
    summary = msgspec.json.decode(demo.told.out, type=Summary)
    assert summary.audit.status == "proved"
    assert summary.settled_microcredits > 0
    assert summary.ledger_sum_microcredits == 0
    assert summary.audit.records == sum(each.served for each in summary.enterprises.values())
    assert summary.log_entries >= summary.audit.records
    assert 2 * len(TRADES) <= summary.cosignatures <= 3 * len(TRADES)
    assert summary.attested_sessions >= 2 * len(TRADES)
    assert (summary.assurance, summary.timing in TIMINGS) == ("simulated", True)
    assert summary.elapsed_s <= DEMO_S_MAX + SLACK_S


def test_every_enterprise_borrows_and_lends(demo: KeptDemo) -> None:
    """In one day each of the three is borrower and lender, and their balances cancel out."""
    summary = msgspec.json.decode(demo.told.out, type=Summary)
    assert list(summary.enterprises) == list(TRADES)
    for each in summary.enterprises.values():
        assert each.local > 0
        assert each.offloaded > 0
        assert each.served > 0
        counted = each.local + each.offloaded + each.refused + each.unanswered
        assert each.invocations == counted
        assert 0 < each.latency_ms_p50 <= each.latency_ms_p99
    asked = sum(each.invocations for each in summary.enterprises.values())
    assert asked == usual_invocations(REPORTING, 1.0)
    assert sum(each.balance_microcredits for each in summary.enterprises.values()) == 0


def test_a_node_lost_power_and_came_back(demo: KeptDemo) -> None:
    """Its devices found nobody for a while, its runner started twice, and it was paid again."""
    summary = msgspec.json.decode(demo.told.out, type=Summary)
    assert summary.enterprises[MACHINES].unanswered > 0
    events = (demo.folder / MACHINES / EVENTS_FILE).read_text().splitlines()
    named = Counter(str(json.loads(line)["event"]) for line in events)
    assert named["runner.spawned"] == 2
    assert named["session.opened"] > 2


def test_the_kept_bundle_is_proved_offline(demo: KeptDemo) -> None:
    """With every process stopped the auditor needs the file and nothing else."""
    ended = mutualedge("audit", "verify", demo.bundle)
    assert ended.status == 0
    assert ended.out.startswith("PROVED: consortium 'rehearsal'")
    assert "sum of all accounts: 0" in ended.out
    assert "assurance: simulated" in ended.out


def test_the_export_command_makes_the_same_proof(demo: KeptDemo, tmp_path: Path) -> None:
    """Whoever holds the folders can export again; only the instant of export differs."""
    again = tmp_path / "again.jsonl"
    folders = [f"--from={demo.folder / name}" for name in TRADES]
    exported = mutualedge("audit", "export", again, *folders, "--json")
    assert msgspec.json.decode(exported.out) == {
        "bundle": str(again),
        "bytes": again.stat().st_size,
    }
    assert again.read_bytes().splitlines()[1:] == demo.bundle.read_bytes().splitlines()[1:]


@pytest.mark.parametrize("kind", EVIDENCE)
def test_a_flipped_byte_is_located(demo: KeptDemo, tmp_path: Path, kind: str) -> None:
    """One changed character under a signature: exit 1, and the line is named."""
    lines, index = evidence(demo.bundle, kind)
    lines[index] = flipped(lines[index])
    forged = tmp_path / "forged.jsonl"
    forged.write_bytes(b"".join(lines))
    ended = mutualedge("audit", "verify", forged)
    assert ended.status == 1
    assert ended.out.startswith("VIOLATED")
    assert f"line {index + 1}: audit." in ended.out


@pytest.mark.parametrize("kind", EVIDENCE)
def test_a_removed_line_is_missed(demo: KeptDemo, tmp_path: Path, kind: str) -> None:
    """Evidence left out is no contradiction and no proof: exit 2."""
    lines, index = evidence(demo.bundle, kind)
    del lines[index]
    shortened = tmp_path / "shortened.jsonl"
    shortened.write_bytes(b"".join(lines))
    ended = mutualedge("audit", "verify", shortened)
    assert ended.status == 2
    assert ended.out.startswith("INCOMPLETE")
    assert "audit.missing." in ended.out


def test_a_bundle_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    """A wrong file name is neither a violation nor missing evidence: exit 64."""
    ended = mutualedge("audit", "verify", tmp_path / "absent.jsonl")
    assert (ended.status, ended.code) == (64, "audit.file.unreadable")


def write_readings(path: Path, values: list[float]) -> list[str]:
    """Write a file of minutes and return the instants as they stand in it."""
    instants = [f"2026-01-05 {n // 60:02}:{n % 60:02}:00" for n in range(len(values))]
    rows = [f"{instant},{value}" for instant, value in zip(instants, values, strict=True)]
    path.write_text("when,celsius\n" + "\n".join(rows) + "\n")
    return instants


def alone(values: list[float]) -> list[tuple[float, int]]:
    """Return what the detector says of readings that it gets in order, all in one place."""
    state, scored = anomaly.INITIAL_STATE, []
    for start in range(0, len(values), anomaly.READINGS_MAX):
        batch = values[start : start + anomaly.READINGS_MAX]
        response = anomaly.respond(anomaly.encode_request(state, batch))
        assert response is not None, "a request of ours"
        result = anomaly.decode_response(response)
        state = result.state
        scored += list(zip(result.scores, result.flags, strict=True))
    return scored


def test_readings_of_a_file_are_scored_as_if_alone(tmp_path: Path) -> None:
    """Wherever batches ran, and though some were refused or lost: the same scores, in order."""
    values = [60.0 + (n * 7 % 11) / 10 for n in range(1_300)]
    values[700] += 30.0
    instants = write_readings(tmp_path / "Press_7.csv", values)
    options = ("--time-column=when", "--value-column=celsius", "--seed=3", "--invocations=300")
    kept = f"--keep={tmp_path / 'kept'}"
    ended = mutualedge("demo", "--json", f"--input={tmp_path / 'Press_7.csv'}", *options, kept)
    assert (ended.status, ended.err) == (0, "")
    summary = msgspec.json.decode(ended.out, type=Summary)
    expected = alone(values)
    assert [(each.device, each.timestamp, each.score) for each in summary.anomalies] == [
        ("Press_7", instants[index], score)
        for index, (score, flags) in enumerate(expected)
        if flags
    ]
    assert instants[700] in [each.timestamp for each in summary.anomalies]
    lines = (tmp_path / "kept" / RESULTS_FILE).read_bytes().splitlines()
    told = [each for each in map(json.loads, lines) if each["device"] == "Press_7"]
    scores = [score for each in told for score in each["scores"]]
    assert scores == [score for score, _ in expected]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--input=absent.csv",), "app.readings.missing"),
        (("--input=.",), "app.readings.no-file"),
        (("--invocations=0",), "demo.invocations.range"),
        (("--load=nan",), "demo.load.range"),
        (("--seed=x",), "cli.arguments.refused"),
        (("--invocation=5",), "cli.arguments.refused"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(arguments: tuple[str, ...], code: str) -> None:
    """Before anything is founded: exit 64, one sentence, its code."""
    ended = mutualedge("demo", *arguments)
    assert (ended.status, ended.code, ended.out) == (64, code, "")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("timestamp,value\n2026-01-05 00:00:00,warm\n", "connectors.readings.not-a-number"),
        ("time,value\n2026-01-05 00:00:00,1\n", "connectors.readings.column"),
        ("", "connectors.readings.empty"),
    ],
)
def test_a_file_that_holds_no_readings_is_refused(tmp_path: Path, text: str, code: str) -> None:
    """The parser's own sentence, with file and line, and exit 64."""
    (tmp_path / "log.csv").write_text(text)
    ended = mutualedge("demo", f"--input={tmp_path / 'log.csv'}")
    assert (ended.status, ended.code) == (64, code)


def test_the_same_device_twice_is_refused(tmp_path: Path) -> None:
    """Two files of one name would mix in one detector: exit 64."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_readings(tmp_path / folder / "press.csv", [1.0, 2.0])
    inputs = [f"--input={tmp_path / folder / 'press.csv'}" for folder in ("a", "b")]
    columns = ("--time-column=when", "--value-column=celsius")
    ended = mutualedge("demo", *inputs, *columns)
    assert (ended.status, ended.code) == (64, "demo.input.same-device")


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    """`--keep` names a new folder; what stands in an old one stays."""
    (tmp_path / "precious").write_text("keys of last year")
    ended = mutualedge("demo", "--keep", tmp_path)
    assert (ended.status, ended.code) == (64, "demo.folder.exists")
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_an_unknown_option_is_a_usage_error() -> None:
    """Statuses 1 and 2 say what an audit found; a mistyped command says 64."""
    ended = mutualedge("audit", "verify", "--jsno", "x.jsonl")
    assert (ended.status, ended.code) == (64, "cli.arguments.refused")
    assert "--jsno" in ended.err
