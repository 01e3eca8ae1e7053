import json
from pathlib import Path

import msgspec
import pytest

from tests.e2e.command_line import mutualedge
from tests.e2e.conftest import KeptDemo

pytestmark = pytest.mark.e2e

DEMO_S_MAX = 30.0
SLACK_S = 30.0
"""Other tests run on the same processors at the same time."""

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


class Audit(msgspec.Struct):
    """The verdict inside what the demo prints."""

    status: str
    records: int


class Summary(msgspec.Struct):
    """What the demo promises to print."""

    local: int
    offloaded: int
    settled_microcredits: int
    ledger_sum_microcredits: int
    audit: Audit
    assurance: str
    elapsed_s: float


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


def test_the_rehearsal_offloads_settles_and_proves(demo: KeptDemo) -> None:
    """`mutualedge demo` ends by itself: work went to the partner, was paid and is proved."""
    assert (demo.told.status, demo.told.err) == (0, "")
    summary = msgspec.json.decode(demo.told.out, type=Summary)
    assert summary.local > 0
    assert summary.offloaded > 0
    assert summary.settled_microcredits > 0
    assert summary.ledger_sum_microcredits == 0
    assert summary.audit.status == "proved"
    assert summary.audit.records >= summary.offloaded
    assert summary.assurance == "simulated"
    assert summary.elapsed_s <= DEMO_S_MAX + SLACK_S


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
    folders = [f"--from={demo.folder / name}" for name in ("candy", "logistics")]
    assert mutualedge("audit", "export", again, *folders).status == 0
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
