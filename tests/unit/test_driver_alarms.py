import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from mutualedge.app.driver import Driver, Ports
from mutualedge.model import NS_PER_MS, EnterpriseId
from mutualedge.protocol import (
    Answered,
    Effects,
    Event,
    Note,
    Order,
    Reply,
    Request,
    TimerFired,
    Unanswered,
    Write,
)

PATIENCE_S = 5.0
FAR_NS = 3_600_000 * NS_PER_MS

NUDGE = Unanswered(request_id=1, code="any", sentence="Any event.")


@dataclass(slots=True)
class Clockwork:
    """A core that only waits: for the instants it was given, or those an event adds."""

    due_ns: list[int]
    rings_expected: int
    added_ns: list[int] = field(default_factory=list)
    rung_ns: list[int] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def wake_ns(self) -> int | None:
        return min(self.due_ns, default=None)

    def handle(self, event: Event, now_ns: int) -> Effects:
        assert not isinstance(event, Answered)
        if isinstance(event, TimerFired):
            assert self.wake_ns is not None
            assert now_ns >= self.wake_ns, "it rang too early"
            self.rung_ns.append(self.wake_ns)
            self.due_ns.remove(self.wake_ns)
        else:
            self.due_ns += self.added_ns
        if len(self.rung_ns) == self.rings_expected:
            self.done.set()
        return Effects()

    def commit(self, writes: Iterable[Write]) -> None:
        raise AssertionError(writes)

    def get(self, bucket: str, key: str) -> bytes | None:
        raise AssertionError((bucket, key))

    def scan(self, bucket: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        raise AssertionError((bucket, prefix))

    def last_key(self, bucket: str) -> str | None:
        raise AssertionError(bucket)

    def order(self, order: Order) -> None:
        raise AssertionError(order)

    def note(self, note: Note) -> None:
        raise AssertionError(note)

    async def request(self, peer: EnterpriseId, request: Request, timeout_ns: int) -> Reply:
        raise AssertionError((peer, request, timeout_ns))


def _drive(core: Clockwork, meanwhile: Callable[[Driver], None]) -> None:
    async def run() -> None:
        ports = Ports(
            store=core,
            bus=core,
            order=core.order,
            note=core.note,
            clock_ns=time.monotonic_ns,
        )
        driver = Driver(core, ports)
        running = asyncio.create_task(driver.run())
        asyncio.get_running_loop().call_later(0.02, meanwhile, driver)
        async with asyncio.timeout(PATIENCE_S):
            await core.done.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


def test_every_instant_rings_once_in_order() -> None:
    """Alarms ring by themselves, the next one is set when one rang."""
    now_ns = time.monotonic_ns()
    dues = [now_ns + each * NS_PER_MS for each in (10, 30, 60)]
    core = Clockwork(due_ns=list(dues), rings_expected=3)
    _drive(core, lambda _driver: None)
    assert core.rung_ns == dues


def test_an_event_may_ask_for_an_earlier_alarm() -> None:
    """An instant added before the one waited for is not slept through."""
    now_ns = time.monotonic_ns()
    soon_ns = now_ns + 60 * NS_PER_MS
    core = Clockwork(due_ns=[now_ns + FAR_NS], rings_expected=1, added_ns=[soon_ns])
    _drive(core, lambda driver: driver.post(NUDGE))
    assert core.rung_ns == [soon_ns]
