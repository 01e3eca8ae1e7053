"""The node's end of the runner's socket: orders go in, answers come back as events."""

import asyncio
import socket
import sys
from collections.abc import Callable

from mutualedge.adapters.isolation import IsolationReport, RunnerProcess, RunnerSpawner, Timing
from mutualedge.adapters.linux import Priority
from mutualedge.errors import IsolationFailed, MutualEdgeError
from mutualedge.protocol import (
    LENGTH_BYTES,
    Event,
    Note,
    Order,
    RunnerAnswered,
    RunnerLost,
    RunnerStarted,
    encode_frame,
    parse_answer,
    parse_frame_length,
)
from mutualedge.signing import Envelope, canonical_bytes

RESTART_DELAY_S = 0.2
"""Between a runner's end and the next one: long enough that a broken one does not spin."""

RESTART_DELAY_MAX_S = 30.0
"""The delay doubles with each start that fails, up to this: an operator who mended the machine
waits no longer."""

END_POLL_S = 0.02
END_POLLS = 15
"""A runner that closed its socket has 0.3 s to be gone by itself, so that we learn how it ended."""

WORDS_MAX = 400
"""Characters kept of a runner's last line: the sentence that says why."""

Post = Callable[[Event], None]


def runner_greeting(platform: bytes, trust: Envelope) -> bytes:
    """Return what a runner reads before its first order, each part behind its length."""
    parts = (platform, canonical_bytes(trust))
    return b"".join(len(part).to_bytes(LENGTH_BYTES, "big") + part for part in parts)


class RunnerLink:
    """Keeps one runner process alive and carries frames to and from it."""

    def __init__(
        self,
        platform: bytes,
        trust: Envelope,
        priority: Priority,
        note: Callable[[Note], None],
    ) -> None:
        """Take what each runner is told first; ``run`` starts the first one.

        Args:
            platform: The simulated machine it runs on.
            trust: The trust file it believes for its life.
            priority: Of this process and its message server, through which each reading passes.
            note: Takes what happens to it.
        """
        self._priority = priority
        self._greeting = runner_greeting(platform, trust)
        self._note = note
        self._transport: asyncio.Transport | None = None
        self._life = 0

    def order(self, order: Order) -> None:
        """Send an order to the runner it is for; one that is gone answers with its loss."""
        transport = self._transport
        if transport is not None and not transport.is_closing() and order.life == self._life:
            transport.write(encode_frame(order.order))

    async def run(self, post: Post) -> None:
        """Start a runner, serve it until it ends, and again, for ever.

        The node goes on without a runner for as long as none can be started.
        """
        delay_s = RESTART_DELAY_S
        async with RunnerSpawner() as spawner:
            while True:
                try:
                    await self._live_once(spawner, post)
                except IsolationFailed as error:
                    delay_s = min(2 * delay_s, RESTART_DELAY_MAX_S)
                    self._note(_failed_note(error, delay_s))
                else:
                    delay_s = RESTART_DELAY_S
                await asyncio.sleep(delay_s)

    async def _live_once(self, spawner: RunnerSpawner, post: Post) -> None:
        ours, theirs = socket.socketpair()
        # -B: where it may write, its limit on file size would leave half of a compiled module.
        argv = [sys.executable, "-B", "-m", "mutualedge.app.runner_process"]
        with ours:
            with theirs:
                process = await spawner.spawn(argv, theirs.fileno())
            self._note(started_note(process.report, self._priority))
            try:
                why = await self._serve(ours, process, post)
                status = await _exit_status(process)
            finally:
                post(RunnerLost())
                await asyncio.to_thread(process.stop)
        self._note(_ended_note(why, status, process.last_words))

    async def _serve(self, ours: socket.socket, process: RunnerProcess, post: Post) -> str:
        """Carry answers until the runner is gone or says nonsense; return which it was."""
        loop = asyncio.get_running_loop()
        transport, answers = await loop.create_connection(lambda: _Answers(post), sock=ours)
        transport.write(self._greeting)
        self._transport = transport
        self._life += 1
        timing = weakest_timing(process.report, self._priority)
        post(RunnerStarted(timing=timing, life=self._life))
        try:
            return await answers.ended
        finally:
            self._transport = None
            transport.abort()


class _Answers(asyncio.Protocol):
    """Cuts what the runner says into answers, in the very read that brought their last byte."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._buffer = bytearray()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Post every answer that is complete; nonsense ends the conversation."""
        self._buffer += data
        try:
            while not self.ended.done() and (body := self._next_body()) is not None:
                self._post(RunnerAnswered(answer=parse_answer(body)))
        except MutualEdgeError as error:
            self._end(f"it said what nobody understands: {error.code}")

    def _next_body(self) -> bytes | None:
        end = LENGTH_BYTES
        if len(self._buffer) >= end:
            end += parse_frame_length(bytes(self._buffer[:LENGTH_BYTES]))
        if len(self._buffer) <= LENGTH_BYTES or len(self._buffer) < end:
            return None
        body = bytes(self._buffer[LENGTH_BYTES:end])
        del self._buffer[:end]
        return body

    def connection_lost(self, _error: Exception | None) -> None:
        """Say that the runner is gone, however it went."""
        self._end("it closed its socket")

    def _end(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)


def weakest_timing(report: IsolationReport, priority: Priority) -> Timing:
    """Return the grade of all that a reading passes: message server, node and runner."""
    return report.timing if priority.is_raised else "best-effort"


def started_note(report: IsolationReport, priority: Priority) -> Note:
    """Return what an operator is told about a runner's walls and everybody's priority."""
    walls: dict[str, list[str]] = {}
    for each in report.missing:
        walls.setdefault(each.reason, []).append(each.name)
    missing = " / ".join(f"{', '.join(names)}: {reason}" for reason, names in walls.items())
    return Note(
        name="runner.spawned",
        fields=(
            ("layers", ", ".join(report.layers)),
            ("missing", missing or "none"),
            ("timing", weakest_timing(report, priority)),
            ("timing_reason", f"runner {report.timing_reason}; node {priority.words}"),
        ),
    )


def _failed_note(error: IsolationFailed, delay_s: float) -> Note:
    again_ms = round(delay_s * 1000)
    fields = (("code", error.code), ("sentence", error.sentence), ("again_ms", again_ms))
    return Note(name="runner.failed", fields=fields)


async def _exit_status(process: RunnerProcess) -> str:
    """Return how a runner ended by itself; one that still runs is about to be stopped by us."""
    for _ in range(END_POLLS):
        if process.exit_status is not None:
            return str(process.exit_status)
        await asyncio.sleep(END_POLL_S)
    return "stopped by its node"


def _ended_note(why: str, status: str, last_words: str) -> Note:
    words = (last_words.strip().splitlines() or ["none"])[-1][:WORDS_MAX]
    return Note(name="runner.ended", fields=(("why", why), ("status", status), ("words", words)))
