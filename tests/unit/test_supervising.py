import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from mutualedge.app.delays import RING_ANSWERS, DelayRing
from mutualedge.app.operation.rotation import RotatingFile, rotated_files
from mutualedge.app.operation.supervisor import (
    DELAY_FIRST_S,
    DELAY_MAX_S,
    STABLE_S,
    USAGE_TRIES_MAX,
    Pace,
)

KILLED = -signal.SIGKILL
FAILED = 70


def test_a_process_that_keeps_ending_is_started_ever_more_slowly() -> None:
    """Each pause is twice the one before, up to the longest."""
    pace = Pace()
    pauses = [pace.after(FAILED, 0.1) for _ in range(12)]
    assert pauses[:3] == [DELAY_FIRST_S, 2 * DELAY_FIRST_S, 4 * DELAY_FIRST_S]
    assert pauses[-1] == DELAY_MAX_S
    assert all(a is not None and b is not None and a <= b for a, b in pairwise(pauses))


def test_a_process_that_was_stable_starts_again_soon() -> None:
    """Having run long enough it is as good as new."""
    pace = Pace()
    for _ in range(8):
        pace.after(KILLED, 0.1)
    assert pace.after(KILLED, STABLE_S) == DELAY_FIRST_S


def test_what_cannot_be_used_is_given_up_after_a_few_tries() -> None:
    """A wrong file stays wrong."""
    pace = Pace()
    pauses = [pace.after(os.EX_USAGE, 0.1) for _ in range(USAGE_TRIES_MAX)]
    assert pauses[-1] is None
    assert None not in pauses[:-1]


def test_what_the_machine_lacks_is_tried_for_ever() -> None:
    """Whoever took the port, or filled the disk, may go at any time; then nobody has to come."""
    pace = Pace()
    assert [pace.after(os.EX_TEMPFAIL, 0.1) for _ in range(50)][-1] == DELAY_MAX_S


def test_only_usage_errors_in_a_row_give_up() -> None:
    """Another end in between begins the count anew; ends of other kinds never give up."""
    pace = Pace()
    for status in [os.EX_USAGE, KILLED] * 20 + [FAILED] * 20:
        assert (pace.after(status, 0.1) or 0.0) >= DELAY_FIRST_S


def write_lines(path: Path, count: int) -> None:
    with RotatingFile(path, bytes_max=40, keep=2) as file:
        for number in range(count):
            file.write(b"line %04d\n" % number)


def test_a_file_never_grows_beyond_its_bound(tmp_path: Path) -> None:
    """Its newest lines are kept, whole and in order; the oldest go."""
    write_lines(tmp_path / "log", 100)
    files = rotated_files(tmp_path / "log")
    assert [path.name for path in files] == ["log.2", "log.1", "log"]
    assert all(path.stat().st_size <= 40 for path in files)
    lines = b"".join(path.read_bytes() for path in files).decode().splitlines()
    assert lines == [f"line {number:04d}" for number in range(100 - len(lines), 100)]


def test_a_file_is_continued_where_it_ended(tmp_path: Path) -> None:
    """A new process adds to what the last one left, and only its owner may read it."""
    for _ in range(2):
        write_lines(tmp_path / "log", 2)
    assert (tmp_path / "log").read_bytes() == b"line 0000\nline 0001\n" * 2
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_line_longer_than_the_bound_is_kept_whole(tmp_path: Path) -> None:
    """Bounds cut files, never lines."""
    with RotatingFile(tmp_path / "log", bytes_max=10, keep=1) as file:
        file.write(b"x" * 50 + b"\n")
        file.write(b"y\n")
    assert (tmp_path / "log").read_bytes() == b"y\n"
    assert (tmp_path / "log.1").read_bytes() == b"x" * 50 + b"\n"


def test_delays_are_summed_up_over_the_last_ones() -> None:
    """Median and 99th percentile of a known series; what fell out of the ring counts no more."""
    ring = DelayRing()
    assert ring.summary() is None
    for milliseconds in [9_000] * 50 + list(range(RING_ANSWERS)):
        ring.add_since(time.perf_counter_ns() - milliseconds * 1_000_000)
    summary = ring.summary()
    assert summary is not None
    assert summary.count == RING_ANSWERS
    assert summary.p50_us // 1_000 == pytest.approx(RING_ANSWERS // 2, abs=1)
    assert summary.p99_us // 1_000 == pytest.approx(99 * RING_ANSWERS // 100, abs=1)
