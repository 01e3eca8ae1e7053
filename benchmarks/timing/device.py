"""A device with a deadline: ``python -m benchmarks.timing.device``, a ``Round`` on standard input.

A process of its own, for a device shares no processor with the node it asks: it takes real-time
priority where it may, so that what is measured is the node's delay rather than its own. It asks
each node in turn and writes an ``Answer`` for each question, in the order they were asked.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from time import perf_counter

import msgspec
import uvloop

from benchmarks.timing.round import WARM, WARM_UP_CALLS, Answer, Asked, Outcome, Round
from mutualedge.adapters.nats import NatsClient, PasswordLogin, connect
from mutualedge.app.bus import DEVICE_SERVICE
from mutualedge.app.devices import DEVICE_USER, new_invocation
from mutualedge.errors import MutualEdgeError
from mutualedge.model import NS_PER_MS, DeviceId, Nanoseconds
from mutualedge.protocol import (
    READINGS_MAX,
    Reading,
    ReadingScored,
    Refused,
    encode_json,
    parse_json_reply,
)

PRIORITY = 2
"""Above a runner's, so that a job never delays the question that follows it."""

GRACE_S = 2.0
"""A result that comes later than this after its deadline is as good as none."""

LEISURE_MS = 10_000
"""The deadline of questions that are not counted."""


async def _ask(
    bus: NatsClient, name: str, deadline_ms: int, *, is_guaranteed: bool = False
) -> Answer:
    reading = Reading(
        device=DeviceId("press-1"),
        invocation=new_invocation(),
        readings=(41.7,) * READINGS_MAX,
        remaining_ns=Nanoseconds(deadline_ms * NS_PER_MS),
        guaranteed=is_guaranteed,
    )
    begun_s = perf_counter()
    try:
        raw = await bus.request(DEVICE_SERVICE, encode_json(reading), deadline_ms / 1_000 + GRACE_S)
    except MutualEdgeError as error:
        return Answer(name=name, code=error.code, delay_us=_us_since(begun_s))
    delay_us = _us_since(begun_s)
    match parse_json_reply(raw):
        case ReadingScored(timing=timing):
            return Answer(name=name, timing=timing, delay_us=delay_us)
        case Refused(code=code):
            return Answer(name=name, code=code, delay_us=delay_us)
        case other:
            return Answer(name=name, code=f"unexpected {type(other).__name__}", delay_us=delay_us)


def _us_since(begun_s: float) -> int:
    return round((perf_counter() - begun_s) * 1_000_000)


async def _keep_asking(bus: NatsClient, asked: Asked, told: Round, begin_s: float) -> list[Answer]:
    """Ask at fixed instants, however late an answer is: a machine does not wait for its watcher."""
    clock_s = asyncio.get_running_loop().time
    asking: list[asyncio.Task[Answer]] = []
    async with asyncio.TaskGroup() as group:
        for number in range(told.calls):
            at_s = begin_s + number * told.period_ms / 1_000
            await asyncio.sleep(at_s - clock_s())
            asking.append(group.create_task(_ask(bus, asked.name, told.deadline_ms)))
    return [each.result() for each in asking]


async def _main(told: Round) -> Outcome:
    async with AsyncExitStack() as stack:
        buses = [await _warm_bus(stack, asked) for asked in told.nodes]
        _say(WARM)
        await asyncio.to_thread(sys.stdin.readline)
        apart_s, begin_s = told.period_ms / 1_000 / len(buses), asyncio.get_running_loop().time()
        rounds = [
            _keep_asking(bus, asked, told, begin_s + place * apart_s)
            for place, (bus, asked) in enumerate(zip(buses, told.nodes, strict=True))
        ]
        answers = [answer for each in await asyncio.gather(*rounds) for answer in each]
        guaranteed = [
            await _ask(bus, asked.name, LEISURE_MS, is_guaranteed=True)
            for bus, asked in zip(buses, told.nodes, strict=True)
        ]
        return Outcome(answers=tuple(answers), guaranteed=tuple(guaranteed))


async def _warm_bus(stack: AsyncExitStack, asked: Asked) -> NatsClient:
    login = PasswordLogin(user=DEVICE_USER, password=asked.password)
    connection = await connect(asked.url, login, name=DEVICE_USER, report=lambda *_: None)
    bus = await stack.enter_async_context(connection)
    for _ in range(WARM_UP_CALLS):
        await _ask(bus, asked.name, LEISURE_MS)
    return bus


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _take_priority() -> None:
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
    except PermissionError:
        sys.stderr.write("no real-time priority: the device's own delay counts as the node's\n")


if __name__ == "__main__":
    _take_priority()
    order = msgspec.json.decode(sys.stdin.readline(), type=Round)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        _say(msgspec.json.encode(runner.run(_main(order))).decode())
