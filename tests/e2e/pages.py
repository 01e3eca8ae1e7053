"""Reads a page's commands and runs them, as its reader would, in terminals of 80 columns.

What a page may say, all of it visible to its reader:

- ```` ```console ```` blocks hold commands (``$ ``) and what they answer; ``…`` alone on a line
  stands for lines left out. Numbers, times, digests and paths may differ.
- A paragraph with "second terminal" has the block below it run beside the rest: what is shown must
  come, then the page goes on. A later block without a command shows what that command says until
  it ends.
- A paragraph with "need not wait" has the command below it run beside the rest until it ends.
- A paragraph with "terminal of its own" has each command below run until the page ends.
- "WORD stands for" has WORD replaced by the last word the command before printed.
- "Not run by the tests: why." leaves the next block out.
"""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mutualedge.app.founding import free_ports
from tests.tidy.reading import HOUSE

COLUMNS, ROWS = 80, 24
COMMAND_TIMEOUT_S = 90.0
POLL_S = 0.05
WORD_CHARACTERS_MAX = 60
"""A word that long is broken nowhere: an invitation, a digest, a path."""

BESIDE, ASIDE, OWN = "second terminal", "need not wait", "terminal of its own"
LEFT_OUT = "Not run by the tests: "
STANDS_FOR = re.compile(r"\b([A-Z]{4,}) stands for")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INSTALLING = re.compile(r"git clone .*|cd mutual-edge|make install|\. \.venv/bin/activate")
DOCUMENTATION_ADDRESS = "192.0.2.10"
"""RFC 5737: an address in pages that belongs to nobody."""

STATUS = "echo $?"
GENERAL = (
    (re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\r"), ""),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
    (re.compile(r"mutualedge-invitation-1-\S+"), "<invitation>"),
    (re.compile(r"[0-9a-f]{4}(?: [0-9a-f]{4}){5}|\b[0-9a-f]{6}…|\b[0-9a-f]{16,}\b"), "<digest>"),
    (re.compile(r"(?<![\w.:/])/[\w./-]*[\w-]"), "<path>"),
    (re.compile(r"\b\d+[dhms](?:\d+[hms])?(?= ago)|\bjust now"), "<age>"),
    (re.compile(r"<age> ago"), "<age>"),
    (re.compile(r"\b\d+[dhms](?:\d+[hms])?\b"), "<span>"),
    (re.compile(r"-?\b\d[\d.,]*\b"), "<number>"),
    (re.compile(r"\s+"), " "),
)
"""What differs from run to run, in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command of a page; an empty one is what goes on in the second terminal.

    Attributes:
        shown: What the page shows of its answer.
        status: With which it must end.
        where: ``BESIDE``, ``ASIDE``, ``OWN`` or empty for the first terminal.
    """

    command: str
    shown: str
    where: str
    status: int = 0


def general(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, stands in GENERAL:
        text = pattern.sub(stands, text)
    return text.strip()


def is_shown(shown: str, said: str) -> bool:
    """Tell whether a command said what a page shows, with gaps only where the page has them."""
    parts = [general(part) for part in re.split(r"^…$", shown, flags=re.MULTILINE)]
    pattern = ".*".join(map(re.escape, parts))
    return re.fullmatch(pattern, general(said), re.DOTALL) is not None


def steps_of(page: str) -> Iterator[Step]:
    """Yield what a page has its reader do, in order."""
    end = 0
    for block in BLOCK.finditer(page):
        before, end = page[end : block.start()], block.end()
        if block[1] != "console" or LEFT_OUT in before:
            continue
        where = next((each for each in (BESIDE, ASIDE, OWN) if each in before), "")
        yield from _steps_of_block(block[2], where)


def _steps_of_block(block: str, where: str) -> Iterator[Step]:
    first, *parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
    if first:
        yield Step(command="", shown=first, where=where)
    pairs = [part.partition("\n") for part in parts]
    for index, (command, _, shown) in enumerate(pairs):
        following = pairs[index + 1] if index + 1 < len(pairs) else ("", "", "")
        status = int(following[2]) if following[0] == STATUS else 0
        if command != STATUS:
            yield Step(command=command, shown=shown, where=where, status=status)


def strays(page: str) -> list[str]:
    """Return commands that stand where no test runs them, and blocks left out without a reason."""
    others = [match[2] for match in BLOCK.finditer(page) if match[1] != "console"]
    commands = re.findall(r"^\$ .*$", "".join(others), re.MULTILINE)
    reasons = re.findall(rf"{LEFT_OUT}(.*)", page)
    return [*commands, *(reason for reason in reasons if len(reason.split()) < 3)]


@dataclass(slots=True)
class Running:
    """A command in a terminal, and what it has said so far."""

    process: subprocess.Popen[bytes]
    screen: int
    said: bytearray = field(default_factory=bytearray)
    reader: threading.Thread | None = None

    def text(self) -> str:
        return self.said.decode(errors="replace").replace("\r\n", "\n")

    def read(self) -> None:
        """Take what it says until it and all it started have closed the terminal."""
        while True:
            try:
                chunk = os.read(self.screen, 1 << 16)
            except OSError:
                return
            if not chunk:
                return
            self.said += chunk

    def ended(self) -> int:
        """Return its status once it ended and everything it said is read."""
        status = self.process.wait(COMMAND_TIMEOUT_S)
        assert self.reader is not None
        self.reader.join(COMMAND_TIMEOUT_S)
        os.close(self.screen)
        return status


class Reader:
    """Somebody who does what a page says, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[Running] = []
        self._aside: list[tuple[Step, Running]] = []
        self._beside: Running | None = None
        self._word = ""

    def follow(self, page: str) -> None:
        """Do everything a page says; fail at the first thing that is not as it says."""
        names = STANDS_FOR.findall(page)
        for step in steps_of(page):
            if INSTALLING.fullmatch(step.command):
                continue
            self._do(step, names)
        for step, running in self._aside:
            self._end(step, running)
        for running in self._running:
            assert running.process.poll() is None, running.text()
            os.killpg(running.process.pid, signal.SIGINT)
        for running in self._running:
            assert running.ended() == 0, running.text()

    def _do(self, step: Step, names: list[str]) -> None:
        if not step.command:
            self._end(step, self._beside)
            self._beside = None
            return
        running = self.start(self._adapted(step.command, names))
        if step.where == OWN:
            self._running.append(running)
        elif step.where == ASIDE:
            self._aside.append((step, running))
        elif step.where == BESIDE:
            self._beside = running
            self._wait_shown(step, running)
        else:
            self._end(step, running)

    def _adapted(self, command: str, names: list[str]) -> str:
        for name in names:
            command = command.replace(name, self._word)
        command = command.replace(DOCUMENTATION_ADDRESS, "127.0.0.1")
        if command.startswith("mutualedge init"):  # the usual ports may be taken on this machine
            leaf, office = free_ports("127.0.0.1", (0, 0))
            command += f" --leaf-port {leaf} --office-port {office}"
        return command

    def _wait_shown(self, step: Step, running: Running) -> None:
        end_s = time.monotonic() + COMMAND_TIMEOUT_S
        while general(step.shown) not in general(running.text()):
            assert running.process.poll() is None, f"{step.command}: {running.text()}"
            assert time.monotonic() < end_s, f"{step.command}: {running.text()}"
            time.sleep(POLL_S)
        running.said.clear()

    def _end(self, step: Step, running: Running | None) -> None:
        assert running is not None, "no command goes on in a second terminal"
        status, said = running.ended(), running.text()
        assert status == step.status, f"$ {step.command}\n{said}\nended with {status}"
        if step.shown:
            told = f"$ {step.command}\n--- page\n{step.shown}--- said\n{said}"
            assert is_shown(step.shown, said), told
        assert not too_wide(said), too_wide(said)
        words = said.split()
        self._word = words[-1] if words else ""

    def start(self, command: str) -> Running:
        """Run a command in a terminal of its own."""
        told = f'PATH="{Path(sys.executable).parent}:$PATH"; {command}'
        screen, keyboard = pty.openpty()
        fcntl.ioctl(keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = subprocess.Popen(
            ["env", "-u", "COLUMNS", f"XDG_DATA_HOME={self._folder}/data", "bash", "-c", told],
            cwd=self._folder,
            stdin=keyboard,
            stdout=keyboard,
            stderr=keyboard,
            start_new_session=True,
        )
        os.close(keyboard)
        running = Running(process, screen)
        running.reader = threading.Thread(target=running.read, daemon=True)
        running.reader.start()
        return running

    def leave(self) -> None:
        """End whatever still runs: what the reader started, and what runs in their folder."""
        aside = [running for _, running in self._aside]
        for running in [*self._running, *aside, *([self._beside] if self._beside else [])]:
            if running.process.poll() is None:
                os.killpg(running.process.pid, signal.SIGKILL)
        for supervised in self._folder.rglob("supervisor.json"):
            down = (sys.executable, "-m", "mutualedge", "down", str(supervised.parent))
            subprocess.run(down, check=False, capture_output=True, timeout=COMMAND_TIMEOUT_S)


def too_wide(said: str) -> list[str]:
    """Return the lines that do not fit a terminal although they could."""
    return [
        line
        for line in said.splitlines()
        if len(line) > COLUMNS and max(map(len, line.split())) <= WORD_CHARACTERS_MAX
    ]


def pages() -> dict[str, str]:
    """Return every page that shows commands, by its path."""
    found = {
        path.relative_to(HOUSE).as_posix(): path.read_text("utf-8")
        for path in sorted((HOUSE / "docs").rglob("*.md"))
        if "_build" not in path.parts
    }
    return {name: text for name, text in found.items() if re.search(r"^\$ ", text, re.MULTILINE)}
