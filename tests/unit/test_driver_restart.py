"""A driver whose core wants to be made anew performs the whole decision, and then ends."""

import asyncio
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from mutualedge.app.driver import Driver, Ports, Restarting
from mutualedge.app.processes import WIND_UP_S, run_until_told, until_restarting, wound_up
from mutualedge.errors import Unreachable
from mutualedge.model import EnterpriseId
from mutualedge.protocol import (
    Accepted,
    Answer,
    Asked,
    AskOffer,
    Effects,
    Event,
    Note,
    Order,
    Reply,
    Request,
    Restart,
    Write,
)

REQUEST = AskOffer(function="ab" * 32)  # type: ignore[arg-type]  # any digest


@dataclass(slots=True, kw_only=True)
class Weary:
    """A core that answers its first question, and wants a new life with it."""

    happened: list[str] = field(default_factory=list)

    @property
    def wake_ns(self) -> int | None:
        return None

    def handle(self, event: Event, now_ns: int) -> Effects:
        assert isinstance(event, Asked)
        assert now_ns == 0
        return Effects(
            writes=[Write(bucket="b", key="k", value=b"v")],
            outputs=[
                Answer(ask_id=event.ask_id, reply=Accepted()),
                Restart(reason="trust file version 2"),
            ],
        )

    def commit(self, writes: Iterable[Write]) -> None:
        assert len(list(writes)) == 1
        self.happened.append("commit")

    def get(self, bucket: str, key: str) -> bytes | None:
        raise AssertionError((bucket, key))

    def scan(self, bucket: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        raise AssertionError((bucket, prefix))

    def last_key(self, bucket: str) -> str | None:
        raise AssertionError(bucket)

    def order(self, order: Order) -> None:
        raise AssertionError(order)

    def note(self, note: Note) -> None:
        self.happened.append(f"{note.name}: {dict(note.fields)}")

    async def request(self, peer: EnterpriseId, request: Request, timeout_ns: int) -> Reply:
        raise AssertionError((peer, request, timeout_ns))

    async def live(self) -> None:
        ports = Ports(store=self, bus=self, order=self.order, note=self.note, clock_ns=lambda: 0)
        driver = Driver(self, ports)
        async with asyncio.TaskGroup() as running:
            running.create_task(driver.run())
            assert await driver.ask("bakery", REQUEST) == Accepted()
            self.happened.append("answered")


def test_a_restart_ends_the_driver_after_its_decision() -> None:
    """Rows are durable, answers are out, the operator is told; only then comes the signal."""
    core = Weary()
    with pytest.raises(ExceptionGroup) as ended:
        asyncio.run(core.live())
    assert ended.group_contains(Restarting, match="trust file version 2")
    assert core.happened == [
        "commit",
        "core.restarted: {'reason': 'trust file version 2'}",
        "answered",
    ]


def test_a_restart_hides_no_other_end() -> None:
    """What fails beside it ends the process all the same."""

    async def fail(error: Exception) -> None:
        raise error

    async def serve(*errors: Exception) -> None:
        async with asyncio.TaskGroup() as running:
            for error in errors:
                running.create_task(fail(error))

    restart, lost = Restarting("trust file version 2"), Unreachable("nats.server.ended", "Gone.")
    asyncio.run(until_restarting(serve(restart)))
    with pytest.raises(ExceptionGroup) as ended:
        asyncio.run(until_restarting(serve(restart, lost)))
    assert ended.group_contains(Unreachable)
    assert not ended.group_contains(Restarting)


def test_who_is_told_to_end_does_not_start_again() -> None:
    """The word comes while the process winds up for a restart: it ends, and is no fault."""
    lives: list[str] = []

    async def wind_up() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.05)

    async def restart() -> None:
        raise Restarting("trust file version 2")

    async def serve() -> None:
        while len(lives) < 3:
            lives.append("life")
            await until_restarting(live())

    async def live() -> None:
        async with asyncio.TaskGroup() as running:
            running.create_task(wind_up())
            await asyncio.sleep(0)
            running.create_task(restart())

    run_until_told(serve)
    assert lives == ["life"]


@pytest.mark.parametrize("hangs", [False, True])
def test_who_is_told_to_end_has_a_moment_to_wind_up(hangs: bool) -> None:
    """The core hears of it first; one that does not come to an end is ended."""
    happened: list[str] = []

    async def end() -> None:
        told = asyncio.Event()

        async def serve() -> None:
            try:
                await told.wait()
                happened.append("wound up")
                await asyncio.sleep(10 * WIND_UP_S if hangs else 0)
            finally:
                happened.append("ended")
            raise Restarting("told to end")

        task = asyncio.create_task(wound_up(serve(), told.set))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(end())
    assert happened == ["wound up", "ended"]
