import asyncio
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mutualedge.app.driver import QUICK_COMMIT_NS, Driver, Ports
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
    Write,
)

REQUEST = AskOffer(function="ab" * 32)  # type: ignore[arg-type]  # any digest


@dataclass(slots=True, kw_only=True)
class Machine:
    """A core that writes, notes and answers; a store whose commits take as long as one says."""

    commit_ns: int
    now_ns: int = 0
    happened: list[str] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)

    @property
    def wake_ns(self) -> int | None:
        return None

    def handle(self, event: Event, now_ns: int) -> Effects:
        assert isinstance(event, Asked)
        assert now_ns == self.now_ns
        self.happened.append("handle")
        return Effects(
            writes=[Write(bucket="b", key="k", value=b"v")],
            outputs=[
                Note(name="call.kept", fields=()),
                Answer(ask_id=event.ask_id, reply=Accepted()),
            ],
        )

    def commit(self, writes: Iterable[Write]) -> None:
        assert [write.key for write in writes][-1] == "k"
        self.now_ns += self.commit_ns
        self.happened.append("commit")
        self.threads.append(threading.current_thread().name)

    def get(self, bucket: str, key: str) -> bytes | None:
        raise AssertionError((bucket, key))

    def scan(self, bucket: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        raise AssertionError((bucket, prefix))

    def last_key(self, bucket: str) -> str | None:
        raise AssertionError(bucket)

    def order(self, order: Order) -> None:
        raise AssertionError(order)

    def note(self, note: Note) -> None:
        self.happened.append(note.name)

    async def request(self, peer: EnterpriseId, request: Request, timeout_ns: int) -> Reply:
        raise AssertionError((peer, request, timeout_ns))


async def _ask(machine: Machine, *at_once: int) -> None:
    """Ask so many questions at once, and the next ones when those are answered."""
    ports = Ports(
        store=machine,
        bus=machine,
        order=machine.order,
        note=machine.note,
        clock_ns=lambda: machine.now_ns,
    )
    driver = Driver(machine, ports)
    running = asyncio.create_task(driver.run())
    for count in at_once:
        await asyncio.gather(*(driver.ask("bakery", REQUEST) for _ in range(count)))
        machine.happened.append("answered")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_nothing_leaves_before_a_quick_commit() -> None:
    """A commit on the loop's own thread is done before notes and answers leave."""
    machine = Machine(commit_ns=QUICK_COMMIT_NS - 1)
    asyncio.run(_ask(machine, 1, 1))
    assert machine.happened == ["handle", "commit", "call.kept", "answered"] * 2
    assert machine.threads == [threading.current_thread().name] * 2


def test_nothing_leaves_before_a_slow_commit() -> None:
    """A disk that turned slow gets a thread of its own, and outputs wait for it just the same."""
    machine = Machine(commit_ns=QUICK_COMMIT_NS)
    asyncio.run(_ask(machine, 1, 1))
    assert machine.happened == ["handle", "commit", "call.kept", "answered"] * 2
    assert machine.threads[1] != threading.current_thread().name


def test_what_arrives_together_is_committed_together() -> None:
    """Three questions of one moment cost one flush of the disk."""
    machine = Machine(commit_ns=1)
    asyncio.run(_ask(machine, 3))
    assert machine.happened.count("handle") == 3
    assert machine.happened.count("commit") == 1
