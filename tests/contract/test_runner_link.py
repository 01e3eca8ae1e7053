import asyncio
from pathlib import Path

import pytest

from mutualedge.adapters.isolation import IsolationReport, MissingLayer
from mutualedge.adapters.linux import Priority
from mutualedge.adapters.tee_sim import make_platform, make_test_root
from mutualedge.app.measurement import runner_measurement
from mutualedge.app.runner_link import RunnerLink, started_note, weakest_timing
from mutualedge.app.words import WORDS
from mutualedge.model import NS_PER_S
from mutualedge.protocol import Event, Note, RunnerLost, RunnerStarted
from mutualedge.signing import Envelope
from tests.contract.test_isolation_starts import program

STEP_TIMEOUT_S = 30.0

RAISED = Priority(is_raised=True, words="nice -19")

TRUST = Envelope(payload=b"{}", payload_type="x", signatures=())
"""Nobody reads it here."""


def failing_first(folder: Path, starts: int) -> Path:
    """Return a bwrap that is killed in so many starts and then says that it cannot."""
    return program(
        folder,
        f"for each in $(seq {3 * starts}); do\n"
        f'  if mkdir "{folder}/killed-$each" 2>/dev/null; then kill -9 $$; fi\n'
        "done\n"
        "echo 'this kernel has no namespaces' >&2; exit 1",
    )


def live_until(name: str, platform: bytes = b"no platform") -> tuple[list[Note], list[Event]]:
    """Return what a link noted and posted until it noted this."""
    notes: list[Note] = []
    events: list[Event] = []

    async def live() -> None:
        happened = asyncio.Event()

        def note(each: Note) -> None:
            notes.append(each)
            if each.name == name:
                happened.set()

        link = RunnerLink(platform, TRUST, RAISED, note)
        living = asyncio.create_task(link.run(events.append))
        async with asyncio.timeout(STEP_TIMEOUT_S):
            await happened.wait()
        living.cancel()
        await asyncio.wait([living])

    asyncio.run(live())
    return notes, events


def test_a_node_whose_runner_does_not_start_tries_again_ever_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says why each time, as often as it takes, and goes on once the machine is mended."""
    failing_first(tmp_path, starts=2)
    monkeypatch.setenv("PATH", str(tmp_path))
    notes, _ = live_until("runner.spawned")
    failed = [dict(each.fields) for each in notes if each.name == "runner.failed"]
    assert [each["code"] for each in failed] == ["isolation.start.killed"] * 2
    assert "killed" in str(failed[0]["sentence"])
    assert [each["again_ms"] for each in failed] == [400, 800]
    spawned = {name: str(text) for name, text in notes[-1].fields}
    assert "bubblewrap" not in spawned["layers"]
    assert "bubblewrap: bwrap does not work here: this kernel has no names" in spawned["missing"]
    assert "let it make namespaces" in spawned["missing"]


def test_a_runner_that_ends_is_lost_and_another_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner refuses its platform and ends; the node learns how, and starts the next."""
    monkeypatch.setenv("PATH", str(tmp_path))
    notes, events = live_until("runner.ended")
    assert [each.name for each in notes] == ["runner.spawned", "runner.ended"]
    assert [type(each) for each in events] == [RunnerStarted, RunnerLost]


def test_what_is_missing_reaches_the_terminal() -> None:
    """A wall that is missing, and the priority, are told with what to do about them."""
    report = IsolationReport(
        layers=("wasm", "rlimits"),
        missing=(
            MissingLayer(name="no-capabilities", reason="still root"),
            MissingLayer(name="unprivileged-user", reason="still root"),
            MissingLayer(name="bubblewrap", reason="install it"),
        ),
        timing="best-effort",
        timing_reason="real time refused; grant CAP_SYS_NICE",
    )
    fields = dict(started_note(report, RAISED).fields)
    told_once = "no-capabilities, unprivileged-user: still root / bubblewrap: install it"
    assert fields["missing"] == told_once
    told = WORDS["runner.spawned"].format(who="candy", **fields)
    assert "\n" not in told
    for part in ("isolated by wasm, rlimits", "bubblewrap: install it", "grant CAP_SYS_NICE"):
        assert part in told


def test_a_reading_is_as_timely_as_the_least_of_what_it_passes() -> None:
    """A prioritised runner behind an ordinary node promises nothing; the reason names the node."""
    report = IsolationReport(
        layers=(), missing=(), timing="prioritised", timing_reason="SCHED_RR 1"
    )
    ordinary = Priority(is_raised=False, words="nice refused; grant LimitNICE=-19")
    fields = dict(started_note(report, ordinary).fields)
    assert fields["timing"] == weakest_timing(report, ordinary) == "best-effort"
    assert fields["timing_reason"] == "runner SCHED_RR 1; node nice refused; grant LimitNICE=-19"
    assert weakest_timing(report, RAISED) == "prioritised"


def test_a_runner_of_another_release_names_both_measurements() -> None:
    """Its machine vouches for what it was founded with; the operator learns what to install."""
    now_ns = 1_800_000_000 * NS_PER_S
    root = make_test_root("trial", bytes(32), now_ns)
    founded = make_platform(root, "ab" * 16, now_ns, mr_enclave="cd" * 32, mr_signer="0" * 64)
    notes, _ = live_until("runner.ended", founded.to_bytes())
    ended = dict(notes[-1].fields)
    assert ended["status"] == "78"
    words = str(ended["words"])
    assert all(each in words for each in (runner_measurement(), "cd" * 32, "mutualedge renew"))
