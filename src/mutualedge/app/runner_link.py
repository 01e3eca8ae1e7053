"""The node's end of the runner's socket: orders go in, answers come back as events."""

import asyncio
import socket
import sys
from collections.abc import Callable

from mutualedge.adapters.isolation import RunnerProcess, spawn_runner
from mutualedge.errors import MutualEdgeError
from mutualedge.protocol import (
    LENGTH_BYTES,
    Event,
    Note,
    RunnerAnswered,
    RunnerLost,
    RunnerOrder,
    RunnerStarted,
    encode_frame,
    parse_answer,
    parse_frame_length,
)

RESTART_DELAY_S = 0.2
"""Between a runner's end and the next one: long enough that a broken one does not spin."""

Post = Callable[[Event], None]


class RunnerLink:
    """Keeps one runner process alive and carries frames to and from it."""

    def __init__(self, platform: bytes, note: Callable[[Note], None]) -> None:
        """Take the simulated machine the runner runs on; ``run`` starts the first one."""
        self._platform = platform
        self._note = note
        self._writer: asyncio.StreamWriter | None = None

    def order(self, order: RunnerOrder) -> None:
        """Send an order to the runner that runs now; one that is gone answers with its loss."""
        if self._writer is not None:
            self._writer.write(encode_frame(order))

    async def run(self, post: Post) -> None:
        """Start a runner, serve it until it ends, and again, for ever."""
        while True:
            await self._live_once(post)
            await asyncio.sleep(RESTART_DELAY_S)

    async def _live_once(self, post: Post) -> None:
        ours, theirs = socket.socketpair()
        argv = [sys.executable, "-m", "mutualedge.app.runner_process"]
        with ours:
            with theirs:
                process = spawn_runner(argv, theirs.fileno())
            self._note(_started_note(process))
            try:
                await self._serve(ours, process, post)
            finally:
                self._writer = None
                await asyncio.to_thread(process.stop)
        post(RunnerLost())

    async def _serve(self, ours: socket.socket, process: RunnerProcess, post: Post) -> None:
        reader, writer = await asyncio.open_connection(sock=ours)
        platform = self._platform
        writer.write(len(platform).to_bytes(LENGTH_BYTES, "big") + platform)
        self._writer = writer
        post(RunnerStarted(timing=process.report.timing))
        try:
            while True:
                prefix = await reader.readexactly(LENGTH_BYTES)
                body = await reader.readexactly(parse_frame_length(prefix))
                post(RunnerAnswered(answer=parse_answer(body)))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self._note(Note(name="runner.ended", fields=(("why", type(error).__name__),)))
        except MutualEdgeError as error:
            self._note(Note(name="runner.misbehaved", fields=(("code", error.code),)))
        finally:
            writer.close()


def _started_note(process: RunnerProcess) -> Note:
    report = process.report
    return Note(
        name="runner.spawned",
        fields=(("layers", ", ".join(report.layers)), ("timing", report.timing)),
    )
