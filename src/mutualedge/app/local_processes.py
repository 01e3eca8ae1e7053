"""The processes of a consortium on one machine: start, watch what they note, stop."""

import asyncio
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from mutualedge.app.files import enterprise_folder
from mutualedge.app.processes import EVENTS_FILE, READY_FILE, Ready
from mutualedge.errors import UsageError
from mutualedge.model import EnterpriseId

ERRORS_FILE = "errors.txt"
READY_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.02

Fields = Mapping[str, str | int]
"""What an event carries, its name and time left out."""

Hear = Callable[[EnterpriseId, str, Fields], None]
"""Called with whose process noted what, as it happens."""


class Processes:
    """Child processes of this one; leaving the block stops them all."""

    def __init__(self, folder: Path, hear: Hear) -> None:
        """Take where the consortium was founded and who listens to what happens."""
        self._folder = folder
        self._hear = hear
        self._children: dict[EnterpriseId, asyncio.subprocess.Process] = {}
        self._readers: list[asyncio.Task[None]] = []
        self._notes: dict[tuple[EnterpriseId, str], list[Fields]] = defaultdict(list)
        self._changed = asyncio.Event()

    @staticmethod
    def ready(folder: Path) -> Ready:
        """Return what a process wrote when it became ready.

        Raises:
            UsageError: It did not.
        """
        try:
            return msgspec.json.decode((folder / READY_FILE).read_bytes(), type=Ready)
        except OSError as error:
            sentence = f"No process is ready in {folder}; start it first."
            raise UsageError("app.process.not-ready", sentence) from error

    async def start(self, kind: str, name: EnterpriseId) -> int:
        """Start a hub or node process and return its process id once it answers.

        Raises:
            UsageError: It ended or was not ready in time.
        """
        own = enterprise_folder(self._folder, name)
        (own / READY_FILE).unlink(missing_ok=True)
        with (own / ERRORS_FILE).open("ab") as errors:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "mutualedge",
                kind,
                str(own),
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        self._children[name] = child
        self._readers.append(asyncio.create_task(self._read(name, own, child)))
        await self._wait_ready(name, own, child)
        return child.pid

    async def _wait_ready(
        self, name: EnterpriseId, own: Path, child: asyncio.subprocess.Process
    ) -> None:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while not (own / READY_FILE).exists():
                    if child.returncode is not None:
                        said = (own / ERRORS_FILE).read_text()[-2000:]
                        sentence = f"The process of '{name}' ended ({child.returncode}): {said}"
                        raise UsageError("app.process.ended", sentence)
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            sentence = f"The process of '{name}' was not ready within {READY_TIMEOUT_S:.0f} s."
            raise UsageError("app.process.slow", sentence) from error

    async def _read(self, name: EnterpriseId, own: Path, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        with (own / EVENTS_FILE).open("ab") as events:
            async for line in child.stdout:
                if not line.endswith(b"\n"):
                    return  # killed within a word
                events.write(line)
                self._take(name, line)

    def _take(self, name: EnterpriseId, line: bytes) -> None:
        note = msgspec.json.decode(line, type=dict[str, str | int])
        event = str(note.pop("event"))
        del note["at"]
        self._notes[name, event].append(note)
        self._changed.set()
        self._hear(name, event, note)

    def notes(self, name: EnterpriseId, event: str) -> Sequence[Fields]:
        """Return what a process noted under this name so far, over all its starts."""
        return self._notes[name, event]

    async def wait_for(
        self, name: EnterpriseId, event: str, timeout_s: float, *, count: int = 1
    ) -> None:
        """Return once a process noted this event so often, over all its starts.

        Raises:
            UsageError: It did not in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while len(self._notes[name, event]) < count:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            own = enterprise_folder(self._folder, name)
            sentence = f"'{event}' did not happen at '{name}'; look at {own / EVENTS_FILE}."
            raise UsageError("app.process.step-missing", sentence) from error

    async def kill(self, name: EnterpriseId) -> None:
        """End a process as a loss of power would, with all that runs below it."""
        child = self._children[name]
        child.kill()
        await child.wait()

    async def stop(self, name: EnterpriseId) -> None:
        """End one process: politely, then for good."""
        child = self._children[name]
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()

    async def stop_all(self) -> None:
        """End every process, all at once."""
        await asyncio.gather(*map(self.stop, self._children))
        await asyncio.gather(*self._readers)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop every process."""
        await self.stop_all()
