"""Runs the rehearsal and shows it: every step as it happens, then the table and the verdict."""

import asyncio
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from mutualedge.app.auditing import report_text
from mutualedge.app.demo.cast import REPORTING
from mutualedge.app.demo.day import Day, plan_day, usual_invocations
from mutualedge.app.demo.script import BUNDLE_FILE, rehearse
from mutualedge.app.demo.stock import (
    Devices,
    File,
    invocations_for_all,
    stock_devices,
    verify_files,
)
from mutualedge.app.demo.summary import summarise
from mutualedge.app.demo.tables import sentences_of, table_of
from mutualedge.app.readings import read_series
from mutualedge.connectors import Series
from mutualedge.errors import UsageError

SCREEN_COLUMNS = 80

RESULTS_FILE = "results.jsonl"

LONG_DAY_INVOCATIONS = 2_000
"""Making synthetic readings for more takes over a second."""

NOTHING_KEPT = "Nothing was kept; `mutualedge demo --keep FOLDER` keeps stores, events and bundle."
KEPT = "Everything is kept in {0}; judge yourself: mutualedge audit verify {0}/{1}"
NEXT = "Next: docs/tutorial.md founds a consortium of your own, which another enterprise joins."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user asked for.

    Attributes:
        inputs: CSV files; each is a device.
        invocations: In total; as the day profiles and the load say if nothing.
        load: Factor on the arrival rate.
        keep: New folder for everything; otherwise a temporary one is removed afterwards.
        as_json: Print one JSON object at the end instead of telling the steps.
    """

    inputs: tuple[Path, ...]
    time_column: str
    value_column: str
    skip_invalid: bool
    seed: int
    invocations: int | None
    load: float
    keep: Path | None
    as_json: bool


def run_rehearsal(wishes: Wishes) -> int:
    """Run the rehearsal and return the exit status: 0 only if the auditor proved everything.

    Raises:
        UsageError: An input or a number cannot be used, the folder exists or cannot be made, a
            process did not start, or a step did not happen.
    """
    keep = wishes.keep
    if keep is not None and keep.exists():
        sentence = f"{keep} exists; name a new folder so that nothing is overwritten."
        raise UsageError("demo.folder.exists", sentence)
    usual = usual_invocations(REPORTING, wishes.load)
    day = _day(wishes, usual if wishes.invocations is None else wishes.invocations)
    files = [File(path=path, series=_series(path, wishes)) for path in wishes.inputs]
    verify_files(files)
    if keep is not None:
        _make(keep)
        return _run(keep, day, files, wishes)
    with tempfile.TemporaryDirectory(prefix="mutualedge-") as folder:
        return _run(Path(folder) / "rehearsal", day, files, wishes)


def _make(keep: Path) -> None:
    """Make the folder before anything is started for it.

    Raises:
        UsageError: It cannot be made there.
    """
    try:
        keep.mkdir(parents=True)
    except OSError as error:
        sentence = (
            f"{keep} cannot be made ({error.strerror}); name a new folder inside one of yours."
        )
        raise UsageError("demo.folder.unwritable", sentence) from error


def _day(wishes: Wishes, invocations: int) -> Day:
    return plan_day(REPORTING, invocations=invocations, load=wishes.load, seed=wishes.seed)


def _series(path: Path, wishes: Wishes) -> Series:
    return read_series(
        path,
        time_column=wishes.time_column,
        value_column=wishes.value_column,
        skip_invalid=wishes.skip_invalid,
    )


def _run(folder: Path, day: Day, files: Sequence[File], wishes: Wishes) -> int:
    started_s = time.monotonic()

    def say(sentence: str) -> None:
        if not wishes.as_json:
            _print(sentence, f"[{time.monotonic() - started_s:5.1f} s] ")

    if day.invocations > LONG_DAY_INVOCATIONS:
        say("Synthetic readings for so long a day are made first.")
    devices = stock_devices(day, files, wishes.seed)
    for sentence in _what_is_read(devices, files, wishes):
        say(sentence)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rehearsed = runner.run(rehearse(folder.resolve(), day, devices, say))
    if wishes.keep is not None:
        _write_results(folder / RESULTS_FILE, devices)
    summary = summarise(rehearsed, devices, time.monotonic() - started_s)
    if wishes.as_json:
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
        return rehearsed.report.exit_code
    sys.stdout.write(f"{report_text(rehearsed.report, as_json=False)}\n")
    sys.stdout.write(f"{table_of(rehearsed, summary)}\n\n")
    kept = NOTHING_KEPT if wishes.keep is None else KEPT.format(wishes.keep, BUNDLE_FILE)
    for sentence in (*sentences_of(rehearsed, devices, summary), kept, NEXT):
        _print(sentence)
    return rehearsed.report.exit_code


def _what_is_read(devices: Devices, files: Sequence[File], wishes: Wishes) -> Iterator[str]:
    """Yield which readings will be sent, file by file."""
    seed = f"seed {wishes.seed}"
    real = [(name, each) for name, own in devices.items() for each in own if not each.is_synthetic]
    if not real:
        yield f"Readings are synthetic, with labelled faults ({seed}); --input reads a file."
        return
    for name, device in real:
        total = len(device.series.values)
        part = "all" if device.readings_max == total else f"the first {device.readings_max} of"
        yield f"{device.label} is a device of {name}: {part} {total} readings are sent."
    others = sum(map(len, devices.values())) - len(real)
    yield f"{others} other devices send synthetic readings ({seed}) to keep the nodes busy."
    if any(device.readings_max < len(device.series.values) for _, device in real):
        enough = invocations_for_all([each.series for each in files], partial(_day, wishes))
        if enough is not None:
            yield f"--invocations {enough} sends all readings and takes longer."


def _write_results(path: Path, devices: Devices) -> None:
    """Write one line for each scored batch: whose, since when, scores and flags."""
    with path.open("wb") as file:
        for device in (each for own in devices.values() for each in own):
            for scored in device.scored:
                line = {
                    "device": device.label,
                    "timestamp": device.series.instants[scored.batch.start],
                    "scores": scored.scores,
                    "flags": scored.flags,
                }
                file.write(msgspec.json.encode(line) + b"\n")


def _print(sentence: str, prefix: str = "") -> None:
    """Print a sentence no wider than the screen, its further lines indented as far as its first."""
    words = sentence.lstrip()
    indent = " " * (len(sentence) - len(words))
    lines = textwrap.wrap(
        words,
        SCREEN_COLUMNS,
        initial_indent=prefix + indent,
        subsequent_indent=" " * len(prefix) + indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
