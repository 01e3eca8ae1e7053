import asyncio
import os
import signal

import pytest

from mutualedge.app.processes import run_until_told


def test_a_cancellation_that_nobody_ordered_is_a_fault() -> None:
    """A library that gives up by cancelling must not look like an end in order."""

    async def serve() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run_until_told(serve)


@pytest.mark.parametrize("signals", [1, 2])
def test_told_once_or_twice_a_process_ends_in_order(signals: int) -> None:
    """What it must do at its end is done, and no error comes of it."""
    ended: list[str] = []

    async def serve() -> None:
        for _ in range(signals):
            os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(10)
        finally:
            ended.append("in order")

    run_until_told(serve)
    assert ended == ["in order"]
