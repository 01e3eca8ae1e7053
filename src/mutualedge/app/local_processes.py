"""The processes of a consortium on one machine: start, watch what they note, stop."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from mutualedge.app.files import enterprise_folder
from mutualedge.app.processes import READY_FILE, Ready
from mutualedge.app.words import sentence_of
from mutualedge.errors import UsageError
from mutualedge.model import EnterpriseId

EVENTS_FILE = "events.jsonl"
ERRORS_FILE = "errors.txt"
READY_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.02


class Processes:
    """Child processes of this one; leaving the block stops them all."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """Take where the consortium was founded and who listens to what happens."""
        self._folder = folder
        self._say = say
        self._children: dict[EnterpriseId, asyncio.subprocess.Process] = {}
        self._readers: list[asyncio.Task[None]] = []
        self._seen: Counter[str] = Counter()
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
                events.write(line)
                self._take(name, line)

    def _take(self, name: EnterpriseId, line: bytes) -> None:
        note = msgspec.json.decode(line, type=dict[str, str | int])
        event = str(note.pop("event"))
        del note["at"]
        self._seen[f"{name} {event}"] += 1
        self._changed.set()
        told = sentence_of(name, event, note, self._seen[f"{name} {event}"])
        if told is not None:
            self._say(told)

    async def wait_for(self, name: EnterpriseId, event: str, timeout_s: float) -> None:
        """Return once a process noted this event.

        Raises:
            UsageError: It did not in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self._seen[f"{name} {event}"]:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            own = enterprise_folder(self._folder, name)
            sentence = f"'{event}' did not happen at '{name}'; look at {own / EVENTS_FILE}."
            raise UsageError("app.process.step-missing", sentence) from error

    async def stop(self) -> None:
        """End every process: politely, then for good."""
        for child in self._children.values():
            if child.returncode is None:
                child.send_signal(signal.SIGTERM)
        for child in self._children.values():
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await child.wait()
            except TimeoutError:
                child.kill()
                await child.wait()
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
        await self.stop()
