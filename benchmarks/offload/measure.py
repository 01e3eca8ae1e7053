"""Measure calls and their floors in turns, once on the disk and once without one."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter_ns

import msgspec
import nats
import uvloop

from benchmarks.consortium import (
    LENDER,
    PERIOD_MS,
    Borrower,
    Life,
    borrower,
    echo_process,
    lending_consortium,
)
from benchmarks.echo import ADAPTER_SUBJECT, BARE_SUBJECT
from benchmarks.lines import Metric, Target, timed
from benchmarks.media import fresh_folder, media
from benchmarks.offload.floor import DiskFloor
from benchmarks.offload.runner_alone import runner_alone
from mutualedge.adapters.nats import PasswordLogin, connect, partner_subject
from mutualedge.app.bus import NODE_USER
from mutualedge.app.files import NodeFile, enterprise_folder, read_process_file
from mutualedge.errors import Unreachable
from mutualedge.functions import anomaly
from mutualedge.node.leases import BORROWED, LeaseRow
from mutualedge.protocol import READINGS_MAX
from mutualedge.signing import Envelope

TURNS = 600
WARM_UP_TURNS = 200
"""Until connections, caches and the functions' compiled paths have settled."""

PAUSE_S = (PERIOD_MS + 1) / 1_000
"""Before each step: a lease allows one call per period, and one that comes faster is delayed. A
floor waits as long: what follows at once finds processor and caches warm."""

REQUEST_TIMEOUT_S = 5.0

BARE = "bare nats-py request"
CALL = "call"
TARGETS = (
    Target(quantity="ratio_p50", at_most=2.2),
    Target(quantity="ratio_p99", at_most=3.0),
)

Step = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Times:
    """Durations by what was measured, in nanoseconds."""

    by_name: dict[str, list[int]] = field(default_factory=dict)

    def add(self, name: str, duration_ns: int) -> None:
        self.by_name.setdefault(name, []).append(duration_ns)

    def clear(self) -> None:
        self.by_name.clear()


def run() -> list[Metric]:
    """Return the metrics of both runs: everything on the disk, everything in memory."""
    metrics: list[Metric] = []
    for medium, parent in media().items():
        with (
            fresh_folder(parent) as folder,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            metrics += runner.run(_measure(folder, medium))
    return metrics


async def _measure(folder: Path, medium: str) -> list[Metric]:
    times, lender = _Times(), enterprise_folder(folder, LENDER)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(lending_consortium(folder))
        ours = await stack.enter_async_context(borrower(folder))
        await stack.enter_async_context(echo_process(lender))
        life = await stack.enter_async_context(ours.life(has_runner=True))
        await life.wait_session()
        await life.offload()
        steps = await _steps(stack, folder, ours, life, times)
        await _take_turns(steps, WARM_UP_TURNS)
        times.clear()
        await _take_turns(steps, TURNS)
    return _metrics(times.by_name, medium)


async def _steps(
    stack: AsyncExitStack, folder: Path, ours: Borrower, life: Life, times: _Times
) -> list[Step]:
    """Return everything that takes a turn; each adds its durations itself."""
    lender = enterprise_folder(folder, LENDER)
    floor = stack.enter_context(DiskFloor(folder / "floor", lender))
    told = read_process_file(lender, NodeFile)
    alone = stack.enter_context(runner_alone(told, ours.told, _agreement(ours)))
    request = anomaly.encode_request(anomaly.INITIAL_STATE, [40.0] * READINGS_MAX)

    async def offload() -> None:
        stamps = await life.offload()
        times.add(CALL, stamps.opened_ns - stamps.asked_ns)
        times.add("reading", stamps.answered_ns - stamps.asked_ns)
        times.add("on the way", stamps.done_ns - stamps.call_ns)

    def blocking(name: str, step: Callable[[], object]) -> Step:
        async def timed_step() -> None:
            begun_ns = perf_counter_ns()
            step()
            times.add(name, perf_counter_ns() - begun_ns)

        return timed_step

    return [
        offload,
        *await _requests(stack, ours, request, times),
        blocking("flush", floor.flush),
        blocking("commit", floor.commit),
        blocking("runner", lambda: alone.round_trip(request)),
    ]


async def _requests(
    stack: AsyncExitStack, ours: Borrower, request: bytes, times: _Times
) -> list[Step]:
    """Return the bare requests: to the partner, bare and through our adapter, and to ourselves."""
    url, password = ours.server.client_url, ours.told.node_password
    await stack.enter_async_context(echo_process(ours.folder))
    plain = await nats.connect(url, user=NODE_USER, password=password)
    stack.push_async_callback(plain.close)
    login = PasswordLogin(user=NODE_USER, password=password)
    adapter = await stack.enter_async_context(
        await connect(url, login, name="bench", report=lambda _event, _detail: None)
    )

    async def bare(name: str, subject: str) -> None:
        begun_ns = perf_counter_ns()
        reply = await plain.request(subject, request, timeout=REQUEST_TIMEOUT_S)
        times.add(name, perf_counter_ns() - begun_ns)
        assert reply.data == request

    async def through_adapter() -> None:
        begun_ns = perf_counter_ns()
        reply = await adapter.request(adapter_subject, request, REQUEST_TIMEOUT_S)
        times.add("adapter", perf_counter_ns() - begun_ns)
        assert reply == request

    adapter_subject = _partner(ADAPTER_SUBJECT)
    await _wait_answer(lambda: adapter.request(adapter_subject, request, REQUEST_TIMEOUT_S))
    return [
        lambda: bare(BARE, _partner(BARE_SUBJECT)),
        lambda: bare("local", BARE_SUBJECT),
        through_adapter,
    ]


async def _wait_answer(ask: Callable[[], Awaitable[bytes]]) -> None:
    """Return once the new responder is known on the whole way."""
    async with asyncio.timeout(REQUEST_TIMEOUT_S):
        while True:
            try:
                await ask()
            except Unreachable:
                await asyncio.sleep(0.02)
            else:
                return


def _partner(subject: str) -> str:
    return partner_subject(LENDER, subject.rpartition(".")[2])


def _agreement(ours: Borrower) -> Envelope:
    """Return a lease that the session of a runner can be about."""
    ((_, raw),) = ours.store.scan(BORROWED)
    return msgspec.msgpack.decode(raw, type=LeaseRow).agreement


async def _take_turns(steps: Sequence[Step], turns: int) -> None:
    """Take every step once a turn, each turn in another order, each after the same pause."""
    order, shuffled = random.Random(1), list(steps)
    for _ in range(turns):
        order.shuffle(shuffled)
        for step in shuffled:
            await asyncio.sleep(PAUSE_S)
            await step()


def _metrics(by_name: dict[str, list[int]], medium: str) -> list[Metric]:
    floor = (BARE, by_name[BARE])
    names = {
        "reading": "reading in to answer out, requester's commit included",
        "on the way": "sealed call out to sealed reply in",
        "adapter": "request through our adapter",
        "local": "bare nats-py request on the own server",
        "flush": "fdatasync of one call's bytes",
        "commit": "SQLite commit of one call's rows",
        "runner": "sealed runner round trip alone",
    }
    call = timed(
        f"offload 1 KiB, {medium}: sealed, executed, committed, opened",
        by_name[CALL],
        baseline=floor,
        targets=TARGETS if medium == "disk" else (),
    )
    others = [
        timed(f"{said}, {medium}", by_name[name], baseline=floor) for name, said in names.items()
    ]
    return [call, *others]
