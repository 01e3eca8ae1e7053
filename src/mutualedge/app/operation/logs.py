"""What every process of a consortium noted, in one order of time, in words where there are some."""

import contextlib
import heapq
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from mutualedge.app.operation.queries import require_processes
from mutualedge.app.operation.rotation import rotated_files
from mutualedge.app.operation.supervisor import SUPERVISOR_EVENTS
from mutualedge.app.plain_text import printable
from mutualedge.app.processes import EVENTS_FILE
from mutualedge.app.settings import default_folder
from mutualedge.app.terminal import fitted
from mutualedge.app.words import WORDS
from mutualedge.errors import Unreachable, UsageError
from mutualedge.model import NS_PER_S, Instant, format_instant, parse_instant

SUPERVISOR = "supervisor"
FOLLOW_EVERY_S = 0.3
UNTIL_S = 60.0
"""An event of a consortium that works comes within a lease's handshake or its statement."""

UNREADABLE_EVENT = "line.unreadable"
"""Stands for a line that a loss of power or a full disk cut short."""

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
DIGEST_SHOWN = 8
_DIGEST = re.compile(r"[0-9a-f]{32,64}")
_PAST = re.compile(r"([0-9]{1,6})([smhd])")
PROCESS_WORDS = {
    "supervisor.started": "the supervisor keeps {processes} processes running from now on",
    "supervisor.stopped": "the supervisor has ended, and every process with it",
    "process.started": "{process} starts as process {pid}, start number {starts}",
    "process.ended": "{process} ended by itself (status {status}): {words}",
    "process.stopped": "{process} was told to stop (status {status})",
    "process.given_up": "{process} is not started again: {words}",
}

Fields = dict[str, str | int]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event: when, whose process, what."""

    at: str
    of: str
    event: str
    fields: Fields


class Tail:
    """Reads a rotating file to its end, and later what came since, over its renamings."""

    def __init__(self, path: Path) -> None:
        """Begin with the oldest file that is kept."""
        self._path = path
        self._waiting = rotated_files(path)
        self._file: IO[bytes] | None = None
        self._rest = b""

    def lines(self) -> Iterator[bytes]:
        """Yield the whole lines that have not been read yet."""
        while self._file is not None or self._open_next():
            assert self._file is not None
            for line in self._file:
                self._rest += line
                if self._rest.endswith(b"\n"):
                    yield self._rest
                    self._rest = b""
            if not self._is_put_aside():
                return
            self._file.close()
            self._file = None

    def _open_next(self) -> bool:
        path = self._waiting.pop(0) if self._waiting else self._path
        if not path.exists():
            return False
        self._file = path.open("rb")
        return True

    def _is_put_aside(self) -> bool:
        """Tell whether what is open is no longer the newest file."""
        assert self._file is not None
        try:
            newest = self._path.stat().st_ino
        except FileNotFoundError:
            return False
        return newest != os.fstat(self._file.fileno()).st_ino

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()


def print_logs(
    folder: Path | None,
    *,
    of: Sequence[str],
    follow: bool,
    since: str | None,
    until: str | None,
    as_json: bool,
) -> int:
    """Print the events of a consortium's processes and return 0.

    Args:
        folder: The consortium's; the user's own local one if not named.
        of: Names of processes, ``supervisor`` among them; all if empty.
        follow: Go on with what comes, until Ctrl-C.
        since: An instant, or how far back: ``90s``, ``10m``, ``2h``, ``1d``.
        until: Go on until an event of this name, and end with it.
        as_json: Print each event as one JSON object with its process.

    Raises:
        UsageError: No such consortium, process or time.
        Unreachable: The event that was waited for did not come in time.
    """
    where = (folder or default_folder()).absolute()
    from_instant = since_instant(since, time.time_ns())
    tails = {name: Tail(path) for name, path in event_files(where, of).items()}
    try:
        _print_all(tails, from_instant, follow=follow, until=until, as_json=as_json)
    except BrokenPipeError:
        # Whoever read has seen enough; at exit Python must find nothing left to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 0
    finally:
        for tail in tails.values():
            tail.close()
    return 0


def _print_all(
    tails: dict[str, Tail], since: str, *, follow: bool, until: str | None, as_json: bool
) -> None:
    end_s = time.monotonic() + UNTIL_S
    while True:
        streams = (entries(name, tail.lines()) for name, tail in tails.items())
        for entry in heapq.merge(*streams, key=lambda entry: entry.at):
            if entry.at >= since:
                told = entry_json(entry) if as_json else fitted(entry_text(entry), sys.stdout)
                sys.stdout.write(f"{told}\n")
                if entry.event == until:
                    return
        sys.stdout.flush()
        if until is not None and time.monotonic() > end_s:
            sentence = f"No event '{until}' within {UNTIL_S:.0f} s; is its name right?"
            raise Unreachable("app.operation.logs.silent", sentence)
        if not follow and until is None:
            return
        time.sleep(FOLLOW_EVERY_S)


def event_files(folder: Path, of: Sequence[str]) -> dict[str, Path]:
    """Return where the events of the named processes are, of all if none is named.

    Raises:
        UsageError: There is no such process.
    """
    files = {name: own / EVENTS_FILE for name, own in require_processes(folder).items()}
    files[SUPERVISOR] = folder / SUPERVISOR_EVENTS
    unknown = [name for name in of if name not in files]
    if unknown:
        sentence = f"There is no process '{unknown[0]}'; there are: {', '.join(files)}."
        raise UsageError("app.process.unknown", sentence)
    return {name: path for name, path in files.items() if not of or name in of}


def since_instant(since: str | None, now_ns: int) -> Instant:
    """Return the instant from which events are wanted; the first of all if it is not said.

    Raises:
        UsageError: It is neither an instant nor a span of time.
    """
    if since is None:
        return format_instant(0)
    past = _PAST.fullmatch(since)
    if past is not None:
        return format_instant(max(0, now_ns - int(past[1]) * SECONDS[past[2]] * NS_PER_S))
    return format_instant(parse_instant(since))


def entries(name: str, lines: Iterator[bytes]) -> Iterator[Entry]:
    """Yield the events of one process; a line that is none stands where it was found."""
    at = format_instant(0)
    for line in lines:
        try:
            fields = msgspec.json.decode(line, type=Fields)
            at, event = Instant(str(fields.pop("at"))), str(fields.pop("event"))
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
            event, fields = UNREADABLE_EVENT, {}
        yield Entry(at=at, of=name, event=event, fields=fields)


def entry_text(entry: Entry) -> str:
    """Return an event as a line: its sentence where there is one, else its fields."""
    words = (WORDS | PROCESS_WORDS).get(entry.event)
    whose = f"{entry.of}: "
    told = f"{entry.event} " + " ".join(
        f"{key}={_shortened(value)}" for key, value in entry.fields.items()
    )
    if words is not None:
        # A release that said less left its fields, which say what there is.
        with contextlib.suppress(KeyError):
            told = words.format(who=entry.of, **entry.fields)
            whose = "" if words.startswith("{who}") else whose
    return printable(f"{entry.at} {whose}{told.strip()}")


def _shortened(value: str | int) -> str:
    """Return a field for a person; digests, which ``--json`` has whole, by their beginning."""
    text = str(value)
    return f"{text[:DIGEST_SHOWN]}…" if _DIGEST.fullmatch(text) else text


def entry_json(entry: Entry) -> str:
    """Return an event as it was noted, with the process it is of."""
    told = {"at": entry.at, "of": entry.of, "event": entry.event, **entry.fields}
    return msgspec.json.encode(told).decode()
