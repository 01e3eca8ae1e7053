"""Start the requester's node again and again; each start opens a session and calls once."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter_ns

import nats
import uvloop
from nats.aio.client import Client

from benchmarks.consortium import (
    LENDER,
    PERIOD_MS,
    Borrower,
    borrower,
    echo_process,
    lending_consortium,
)
from benchmarks.echo import BARE_SUBJECT
from benchmarks.lines import Metric, Target, timed
from benchmarks.media import fresh_folder, media
from mutualedge.adapters.nats import partner_subject
from mutualedge.app.bus import NODE_USER
from mutualedge.app.files import enterprise_folder

LIVES = 50
WARM_UP_LIVES = 10
"""Together below the 64 calls a lease may have unsigned: a life ends before it signs its one."""

PAYLOAD = bytes(1024)
REQUEST_TIMEOUT_S = 5.0

FIRST, SESSION, CALL, BARE = (
    "first call: session, appraisal and call",
    "session and appraisal",
    "call in a fresh session",
    "bare nats-py request",
)
TARGETS = (Target(quantity="p50", at_most=15.0),)

Times = dict[str, list[int]]


def run() -> list[Metric]:
    """Return how long opening and first call take, and each beside a bare request."""
    parent = media()["disk"]
    with (
        fresh_folder(parent) as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        times = runner.run(_measure(folder))
    floor = (BARE, times[BARE])
    return [
        timed(FIRST, times[FIRST], unit="ms", baseline=floor, targets=TARGETS),
        timed(SESSION, times[SESSION], unit="ms", baseline=floor),
        timed(CALL, times[CALL], unit="ms", baseline=floor),
    ]


async def _measure(folder: Path) -> Times:
    times: Times = {FIRST: [], SESSION: [], CALL: [], BARE: []}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(lending_consortium(folder))
        ours = await stack.enter_async_context(borrower(folder))
        await stack.enter_async_context(echo_process(enterprise_folder(folder, LENDER)))
        password = ours.told.node_password
        plain = await nats.connect(ours.server.client_url, user=NODE_USER, password=password)
        stack.push_async_callback(plain.close)
        for number in range(WARM_UP_LIVES + LIVES):
            spans = (*await _first_call(ours), await _bare(plain))
            if number >= WARM_UP_LIVES:
                for kept, span_ns in zip(times.values(), spans, strict=True):
                    kept.append(span_ns)
    return times


async def _first_call(ours: Borrower) -> tuple[int, int, int]:
    """Return nanoseconds from the decision to open a session to the opened result, and its parts.

    The node is restored from its store, so it holds the lease and finds it without a session. It
    only borrows here: its own runner takes no part.
    """
    async with ours.life(has_runner=False) as life:
        await life.wait_session()
        ready_ns = perf_counter_ns()
        stamps = await life.offload()
        await asyncio.sleep(PERIOD_MS / 1_000)
    return (
        stamps.opened_ns - stamps.session_begun_ns,
        ready_ns - stamps.session_begun_ns,
        stamps.opened_ns - stamps.asked_ns,
    )


async def _bare(plain: Client) -> int:
    subject = partner_subject(LENDER, BARE_SUBJECT.rpartition(".")[2])
    begun_ns = perf_counter_ns()
    await plain.request(subject, PAYLOAD, timeout=REQUEST_TIMEOUT_S)
    return perf_counter_ns() - begun_ns
