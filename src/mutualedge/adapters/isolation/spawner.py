"""The thread that starts runners: it blocks so that the event loop does not."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from mutualedge.adapters.isolation.process import RunnerProcess
from mutualedge.adapters.isolation.spawn import CONFINED_TIMEOUT_MS, spawn_runner


class RunnerSpawner:
    """One thread, of its own, that starts runners; ``async with`` it for as long as they may live.

    A runner dies with the thread that started it, so this one is never given back to a pool. It
    ends with the block, or with the process, and takes along what it started.
    """

    def __init__(self, *, confined_timeout_ms: int = CONFINED_TIMEOUT_MS) -> None:
        """Begin the thread with the first start.

        Args:
            confined_timeout_ms: A start that is not confined by then hangs.
        """
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="runner-parent")
        self._abandoned = threading.Event()
        self._confined_timeout_ms = confined_timeout_ms

    async def spawn(
        self, argv: Sequence[str], inherited_fd: int, bubblewrap: Path | None = None
    ) -> RunnerProcess:
        """Return a confined process; if cancelled, there is none once the cancellation arrives.

        Args:
            argv: Program with its full path, and arguments; the number of the descriptor follows.
            inherited_fd: The one descriptor it gets; may be closed when this returned or raised.
            bubblewrap: Path of ``bwrap``; the installed one by default.

        Raises:
            IsolationFailed: It could not be confined.
        """
        start = partial(
            spawn_runner,
            argv,
            inherited_fd,
            bubblewrap=bubblewrap,
            confined_timeout_ms=self._confined_timeout_ms,
            abandoned=self._abandoned,
        )
        starting = asyncio.get_running_loop().run_in_executor(self._thread, start)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._abandoned.set()
            await asyncio.wait([starting])
            if starting.exception() is None:
                await asyncio.to_thread(starting.result().stop)
            raise

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the thread, and with it what it started."""
        self._thread.shutdown()
