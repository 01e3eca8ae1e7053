import msgspec
import pytest

from mutualedge.app.operation.queries import Child, ConsortiumView, ProcessState, ProcessView
from mutualedge.app.operation.status_text import (
    concerns,
    credits_text,
    duration_text,
    status_facts,
    status_table,
)
from mutualedge.app.plain_text import printable
from mutualedge.app.status import NS_PER_DAY
from mutualedge.model import NS_PER_S, format_instant, parse_instant
from tests.unit.status_samples import NOW_NS, node_snapshot, process, status

TERMINAL_COLUMNS = 80


def view(*processes: ProcessView) -> ConsortiumView:
    return ConsortiumView(folder="/srv/me", supervisor=None, processes=processes)


def running(**changes: object) -> ProcessView:
    return process(ProcessState.RUNNING, status(node=node_snapshot(**changes)))


def test_the_table_fits_a_terminal() -> None:
    """A row with large numbers in every column stays below 80 characters."""
    table = status_table(view(running(balance_microcredits=-123_456_789_123)), NOW_NS)
    (row,) = [line for line in table.splitlines() if line.startswith("candy")]
    assert len(row) < TERMINAL_COLUMNS
    assert row.split()[:3] == ["candy", "running", "1h01m"]
    assert row.endswith("-123456.789123")


def test_each_fact_stands_alone_on_its_line() -> None:
    """A screen reader or grep needs no other line to understand one."""
    facts = status_facts(view(running()), NOW_NS).splitlines()
    assert all(": " in line for line in facts)
    assert "candy: state: running" in facts
    assert "candy: devices connect to: nats://127.0.0.1:4222" in facts
    assert any(line.startswith("candy: lease ") and "connected" in line for line in facts)


def test_a_stopped_process_is_not_described_by_its_last_words() -> None:
    """What it said while it ran is no fact any more."""
    facts = status_facts(view(process(ProcessState.STOPPED, status(node=node_snapshot()))), NOW_NS)
    assert "candy: state: stopped" in facts
    assert "mileage" not in facts


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"is_runner_ready": False}, "no runner has loaded"),
        ({"is_runner_ready": True, "timing": "best-effort"}, "timing is best-effort"),
        ({"hub_since": None}, "the hub does not answer"),
        ({"hub_since": None, "is_member": False}, "has left '"),
    ],
)
def test_what_wants_attention_is_said(changes: dict[str, object], expected: str) -> None:
    """An operator who reads only the last lines misses nothing."""
    assert any(expected in line for line in concerns(running(**changes)))


def test_a_contented_process_wants_no_attention() -> None:
    """With runner, priority and hub there is nothing to look at."""
    assert not list(concerns(running(is_runner_ready=True, timing="prioritised")))


def test_missing_walls_want_attention() -> None:
    """Whatever the runner's start says is missing is repeated."""
    said = status(node=node_snapshot(is_runner_ready=True, timing="prioritised"))
    said.runner["missing"] = "bubblewrap (not installed)"
    (line,) = concerns(process(ProcessState.RUNNING, said))
    said.runner["missing"] = "none"
    assert not list(concerns(process(ProcessState.RUNNING, said)))
    told = "candy: less stands between a partner's work and this machine: "
    assert line == f"{told}bubblewrap (not installed)"


@pytest.mark.parametrize(
    ("days", "expected"), [(90, ""), (13, "credentials expire at"), (-1, "credentials expired at")]
)
def test_credentials_that_run_out_want_attention(days: int, expected: str) -> None:
    """In time, with the command that mends it."""
    said = status(node=node_snapshot(is_runner_ready=True, timing="prioritised"))
    end = format_instant(parse_instant(said.written) + days * NS_PER_DAY)
    dated = msgspec.structs.replace(said, credentials_end=end)
    told = list(concerns(process(ProcessState.RUNNING, dated)))
    assert bool(told) == bool(expected)
    assert all(expected in line and "mutualedge renew" in line for line in told)


def test_a_process_given_up_says_why() -> None:
    """The sentence it ended with, and what to do after correcting it."""
    child = Child(starts=3, is_given_up=True, last_words="port taken")
    (line,) = concerns(process(ProcessState.STOPPED, None, child))
    assert line.endswith("then 'down' and 'up': port taken")


def test_a_status_of_another_release_is_said_so() -> None:
    """The process runs; who updated the program starts it again."""
    (line,) = concerns(process(ProcessState.STALE, None))
    assert "not of this release" in line


def test_a_silent_process_is_said_to_be() -> None:
    """With how long it has been silent."""
    (line,) = concerns(process(ProcessState.STALE, status()))
    assert line == "candy: it runs and has said nothing for 0 s"


def test_the_table_ends_with_what_to_look_at() -> None:
    """Below the rows, one line for each."""
    table = status_table(view(running(hub_since=None)), NOW_NS)
    assert "Look at:\n  candy: " in table


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0s"),
        (59, "59s"),
        (61, "1m01s"),
        (3_661, "1h01m"),
        (90_061, "1d01h"),
        (-5, "0s"),
    ],
)
def test_durations_show_their_two_largest_units(seconds: int, expected: str) -> None:
    """Nobody needs the seconds of a day."""
    assert duration_text(seconds * NS_PER_S) == expected


@pytest.mark.parametrize(
    ("microcredits", "expected"),
    [
        (0, "0"),
        (1, "0.000001"),
        (-1, "-0.000001"),
        (1_500_000, "1.5"),
        (10_000_000, "10"),
        (-2_000_000, "-2"),
    ],
)
def test_credits_are_exact(microcredits: int, expected: str) -> None:
    """No float rounds them, no zero is lost."""
    assert credits_text(microcredits) == expected


def test_what_a_partner_wrote_cannot_steer_the_terminal() -> None:
    """Escape sequences are shown, not obeyed; letters of any alphabet stay."""
    assert printable("a\x1b[2Jb\rc\nd ü 漢") == "a\\x1b[2Jb\\x0dc\\x0ad ü 漢"
