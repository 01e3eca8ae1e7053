"""A hand on a running runner."""

import os
import subprocess
from types import TracebackType
from typing import Self

from mutualedge.adapters.isolation.report import IsolationReport
from mutualedge.errors import IsolationFailed

LAST_WORDS_BYTES = 4_096
"""What is kept of a runner's standard error: the end of one traceback."""

STOP_TIMEOUT_S = 5.0
"""Until a killed process is gone; only a dying kernel takes longer."""


class RunnerProcess:
    """A running runner; a context manager that ends it."""

    def __init__(
        self, process: subprocess.Popen[bytes], report: IsolationReport, words_fd: int
    ) -> None:
        """Take a confined process and the file behind its standard error."""
        self._process = process
        self._words_fd: int | None = words_fd
        self._last_words = ""
        self.report = report

    @property
    def pid(self) -> int:
        """Number of the outermost process; killing it ends everything inside."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """How it ended (minus the signal's number, if by one), or nothing while it runs."""
        return self._process.poll()

    @property
    def last_words(self) -> str:
        """The end of what it wrote on standard error."""
        if self._words_fd is not None:
            self._last_words = tail(self._words_fd)
        return self._last_words

    def stop(self) -> None:
        """End it at once: keys live in its memory only, there is nothing to save.

        Raises:
            IsolationFailed: The kernel does not let it go.
        """
        end(self._process)
        if self._words_fd is not None:
            self._last_words = tail(self._words_fd)
            os.close(self._words_fd)
            self._words_fd = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process, whatever happened."""
        self.stop()


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and return once it is gone.

    Raises:
        IsolationFailed: The kernel does not let it go, as when it waits for storage.
    """
    process.kill()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        sentence = f"Process {process.pid} was killed and does not end; look at storage and kernel."
        raise IsolationFailed("isolation.process.stuck", sentence) from error


def tail(words_fd: int) -> str:
    """Return the end of what stands in the file behind a standard error."""
    length_bytes = os.fstat(words_fd).st_size
    start = max(0, length_bytes - LAST_WORDS_BYTES)
    return os.pread(words_fd, LAST_WORDS_BYTES, start).decode("utf-8", "replace")
