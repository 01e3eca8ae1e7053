import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mutualedge.adapters.isolation import RunnerSpawner, find_bubblewrap, spawn_runner
from mutualedge.errors import IsolationFailed, UsageError
from tests.contract.confined_probe import ARGV, PATIENCE_S, confined_probe, needs_bubblewrap

HANGS_MS = 600
"""How long these tests give a start that never ends."""


def program(folder: Path, lines: str) -> Path:
    """Return a bwrap that does this instead."""
    script = folder / "bwrap"
    script.write_text(f"#!/bin/sh\n{lines}\n")
    script.chmod(0o755)
    return script


def killed_first(folder: Path, times: int) -> Path:
    """Return a bwrap that is killed so often before it becomes the installed one."""
    return program(
        folder,
        f"for each in $(seq {times}); do\n"
        f'  if mkdir "{folder}/killed-$each" 2>/dev/null; then kill -9 $$; fi\n'
        "done\n"
        f'exec {find_bubblewrap()} "$@"',
    )


def hangs(folder: Path) -> Path:
    """Return a bwrap that leaves its number and never ends."""
    return program(
        folder, f'echo $$ >"{folder}/new"\nmv "{folder}/new" "{folder}/pid"\nexec sleep 600'
    )


def wait_for(path: Path) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < until_s, path
        time.sleep(0.01)


def is_running(process_id: int) -> bool:
    return Path(f"/proc/{process_id}").exists()


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(PATIENCE_S)
        yield ours, theirs


def failure(bubblewrap: Path, timeout_ms: int = 10_000) -> IsolationFailed:
    """Return why no runner starts behind this bwrap."""
    with pair() as (_, theirs), pytest.raises(IsolationFailed) as failed:
        spawn_runner(ARGV, theirs.fileno(), bubblewrap=bubblewrap, confined_timeout_ms=timeout_ms)
    return failed.value


@needs_bubblewrap
def test_a_start_that_was_killed_is_repeated_behind_the_same_walls(tmp_path: Path) -> None:
    """A wall is given up because it does not stand here, not because its builder was shot."""
    with confined_probe(killed_first(tmp_path, times=2)) as probe:
        assert probe.process.report.missing == ()
        assert probe.process.report.layers[-1] == "bubblewrap"


def test_a_start_that_is_always_killed_fails(tmp_path: Path) -> None:
    """No runner is better than one with fewer walls than this machine offers."""
    assert failure(killed_first(tmp_path, times=9)).code == "isolation.start.killed"
    assert len(list(tmp_path.glob("killed-*"))) == 3


def test_a_start_that_hangs_fails_and_is_ended(tmp_path: Path) -> None:
    """It is told apart from one that was killed, costs its time once, and leaves no process."""
    failed = failure(hangs(tmp_path), timeout_ms=HANGS_MS)
    assert failed.code == "isolation.start.hung"
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_a_full_machine_gives_no_wall_up() -> None:
    """Without a descriptor left, the start fails; it is not tried with fewer walls."""
    with pair():
        next_fd = os.dup(0)
        os.close(next_fd)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_fd, limits[1]))
        try:
            with pytest.raises(IsolationFailed) as failed:
                spawn_runner(ARGV, 0, bubblewrap=Path("/bin/false"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert failed.value.code == "isolation.start.exhausted"


def test_a_failed_start_is_not_the_callers_mistake(tmp_path: Path) -> None:
    """The command line ends with 64 for those only; this is 70."""
    assert not isinstance(failure(killed_first(tmp_path, times=9)), UsageError)


def test_the_loop_turns_while_a_start_hangs(tmp_path: Path) -> None:
    """A node answers its devices and partners meanwhile."""
    longest_s = 0.0

    async def turn() -> None:
        nonlocal longest_s
        while True:
            before_s = time.monotonic()
            await asyncio.sleep(0.01)
            longest_s = max(longest_s, time.monotonic() - before_s)

    async def start() -> None:
        turning = asyncio.create_task(turn())
        with pair() as (_, theirs):
            async with RunnerSpawner(confined_timeout_ms=HANGS_MS) as spawner:
                with pytest.raises(IsolationFailed) as failed:
                    await spawner.spawn(ARGV, theirs.fileno(), hangs(tmp_path))
        turning.cancel()
        assert failed.value.code == "isolation.start.hung"

    asyncio.run(start())
    assert 0 < longest_s < HANGS_MS / 1000 / 2


def test_who_stops_waits_for_no_start(tmp_path: Path) -> None:
    """A node that is told to stop while its runner's start hangs does, and leaves no process."""

    async def stop_early() -> None:
        with pair() as (_, theirs):
            async with RunnerSpawner() as spawner:
                starting = asyncio.create_task(
                    spawner.spawn(ARGV, theirs.fileno(), hangs(tmp_path))
                )
                await asyncio.to_thread(wait_for, tmp_path / "pid")
                starting.cancel()
                await asyncio.wait([starting])
                assert starting.cancelled()

    begun_s = time.monotonic()
    asyncio.run(stop_early())
    assert time.monotonic() - begun_s < 5
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_a_runner_outlives_its_start_and_ends_with_the_spawner() -> None:
    """It dies with the thread that started it, so that thread stays, idle, until the end."""

    async def live() -> bytes:
        with pair() as (ours, theirs):
            async with RunnerSpawner() as spawner:
                process = await spawner.spawn(ARGV, theirs.fileno())
                theirs.close()
                await asyncio.sleep(0.3)
                assert process.exit_status is None
                ours.sendall(b'"said = 7"\n')
                assert await asyncio.to_thread(ours.recv, 10) == b"7\n"
            left = await asyncio.to_thread(ours.recv, 10)
            process.stop()
        return left

    assert asyncio.run(live()) == b""


def test_a_runner_dies_with_its_node() -> None:
    """SIGKILL, which no handler sees, ends a runner that the spawner's thread started as well."""
    node = f"""
import asyncio, os, sys
from mutualedge.adapters.isolation import RunnerSpawner
async def main():
    async with RunnerSpawner() as spawner:
        await spawner.spawn({ARGV!r}, int(sys.argv[1]))
        os.close(int(sys.argv[1]))
        print("started", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""
    with pair() as (ours, theirs):
        with subprocess.Popen(
            [sys.executable, "-c", node, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdout=subprocess.PIPE,
        ) as parent:
            theirs.close()
            assert parent.stdout is not None
            parent.stdout.readline()
            ours.sendall(b'"said = 1"\n')
            assert ours.recv(100) == b"1\n"
            parent.send_signal(signal.SIGKILL)
        assert ours.recv(100) == b""
