"""A consortium for measuring: hub and provider as processes, the requester's node in this one."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

import msgspec

from benchmarks.echo import LISTENING
from mutualedge.adapters.linux import Priority
from mutualedge.adapters.nats import NatsServer, start_server
from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.accounts import callers
from mutualedge.app.bus import NatsBus, connect_node, serve_devices, serve_partners
from mutualedge.app.delays import DelayRing
from mutualedge.app.driver import Driver, Ports
from mutualedge.app.files import STORE_FILE, NodeFile, enterprise_folder, read_process_file
from mutualedge.app.founding import HUB, Founding, found_consortium
from mutualedge.app.local_processes import Processes
from mutualedge.app.node_process import enterprise_server, restore_node
from mutualedge.app.options import (
    BorrowingSettings,
    LendingSettings,
    NodeOptions,
    TimingSettings,
    write_settings,
)
from mutualedge.app.processes import (
    NATS_FOLDER,
    settle_memory,
    steady_clock,
    write_ready,
)
from mutualedge.app.runner_link import RunnerLink
from mutualedge.app.settings import read_options
from mutualedge.model import (
    NS_PER_S,
    DeviceId,
    EnterpriseId,
    InvocationId,
    Microcredits,
    Milliseconds,
    Nanoseconds,
)
from mutualedge.node import Node
from mutualedge.protocol import (
    READINGS_MAX,
    Answered,
    Ask,
    Call,
    CallDone,
    Effects,
    Event,
    Note,
    OpenSession,
    Reading,
    ReadingScored,
    Reply,
    Request,
)

BORROWER = EnterpriseId("bakery")
LENDER = EnterpriseId("harbour")

PERIOD_MS = 3
"""The lease's least distance between two calls; measured calls keep a little more."""

TIMING = TimingSettings(
    job_budget_ms=1,
    network_ms=Milliseconds(1),
    window_calls=64,
    window_ms=Milliseconds(10_000),
    dispute_window_ms=Milliseconds(60_000),
    settle_grace_ms=Milliseconds(1_000),
    checkpoint_every_ms=Milliseconds(1_000),
    follow_every_ms=Milliseconds(200),
    request_timeout_ms=Milliseconds(2_000),
)
"""Window and rhythms as the design has them: vouchers, checkpoints and blocks happen meanwhile."""

LENDING = LendingSettings(
    budget_ms=2,
    period_ms=PERIOD_MS,
    deadline_ms=PERIOD_MS,
    price_microcredits=Microcredits(50),
    credit_microcredits=Microcredits(1_000_000_000),
)

LEASE_MS = 300_000
"""Longer than any measurement, so that none of them contains a new lease."""

FULL_NODE_BUDGET_MS = 60_000
"""The borrower reserves a minute for each job of its own, so nothing fits there: all is lent."""

REMAINING_NS = 2 * NS_PER_S
SESSION_TIMEOUT_S = 30.0


def founding() -> Founding:
    """Return two enterprises, of which one borrows all it needs."""
    borrowing = BorrowingSettings(
        providers=(LENDER,),
        lease_ms=Milliseconds(LEASE_MS),
        renew_before_ms=Milliseconds(0),
        price_max_microcredits=LENDING.price_microcredits,
    )
    return Founding(
        consortium=EnterpriseId("bench"),
        timing=TIMING,
        lending=LENDING,
        borrowers={BORROWER: borrowing},
        members=(BORROWER, LENDER),
    )


@asynccontextmanager
async def lending_consortium(folder: Path) -> AsyncIterator[dict[EnterpriseId, int]]:
    """Found in ``folder`` and start hub and lender; yield their process ids.

    The borrower's node is left to ``borrower``.
    """
    found_consortium(founding(), folder)
    own = enterprise_folder(folder, BORROWER)
    options = read_options(own, NodeOptions)
    full = msgspec.structs.replace(options.timing, job_budget_ms=FULL_NODE_BUDGET_MS)
    write_settings(own, msgspec.structs.replace(options, timing=full, lending=None))
    async with Processes(folder, lambda _name, _event, _fields: None) as processes:
        hub_pid = await processes.start("hub", HUB)
        yield {HUB: hub_pid, LENDER: await processes.start("node", LENDER)}


@asynccontextmanager
async def echo_process(folder: Path) -> AsyncIterator[None]:
    """Answer bare requests on the server of the enterprise in ``folder``."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.echo", str(folder), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert await child.stdout.readline() == LISTENING, "the echo process did not start"
        yield
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


ORDINARY = Priority(is_raised=False, words="shares the process of the measurement")


@dataclass(slots=True)
class Stamps:
    """When the steps of one offload happened, on this process's clock.

    Attributes:
        session_begun_ns: The core was handed what made it write message 1.
        asked_ns: A device's reading was handed to the node.
        call_ns: The sealed call was handed to the bus.
        done_ns: The bus returned the sealed reply.
        opened_ns: The core had opened and checked it.
        answered_ns: The device had its answer, after our own commit.
    """

    session_begun_ns: int = 0
    asked_ns: int = 0
    call_ns: int = 0
    done_ns: int = 0
    opened_ns: int = 0
    answered_ns: int = 0


class _StampedCore:
    """The node, with its watch on what goes in and out."""

    def __init__(self, node: Node, stamps: Stamps) -> None:
        self._node = node
        self._stamps = stamps

    @property
    def wake_ns(self) -> int:
        return self._node.wake_ns

    def handle(self, event: Event, now_ns: int) -> Effects:
        begun_ns = perf_counter_ns()
        effects = self._node.handle(event, now_ns)
        if isinstance(event, Answered) and isinstance(event.reply, CallDone):
            self._stamps.opened_ns = perf_counter_ns()
        for output in effects.outputs:
            if isinstance(output, Ask) and isinstance(output.request, OpenSession):
                self._stamps.session_begun_ns = begun_ns
        return effects


class _StampedBus:
    """The bus, with its watch on calls."""

    def __init__(self, bus: NatsBus, stamps: Stamps) -> None:
        self._bus = bus
        self._stamps = stamps

    async def request(self, peer: EnterpriseId, request: Request, timeout_ns: int) -> Reply:
        if not isinstance(request, Call):
            return await self._bus.request(peer, request, timeout_ns)
        self._stamps.call_ns = perf_counter_ns()
        reply = await self._bus.request(peer, request, timeout_ns)
        self._stamps.done_ns = perf_counter_ns()
        return reply


class Life:
    """One start of the borrower's node, until the block ends."""

    def __init__(self) -> None:
        """Begin without anything noted."""
        self.stamps = Stamps()
        self.notes: list[Note] = []
        self.session_opened = asyncio.Event()
        self.driver: Driver | None = None
        self._count = 0

    def note(self, note: Note) -> None:
        """Take what the node notes."""
        self.notes.append(note)
        if note.name == "session.opened":
            self.session_opened.set()

    async def wait_session(self) -> None:
        """Return once calls can be placed.

        Raises:
            TimeoutError: They cannot, for long; the last notes say why.
        """
        try:
            async with asyncio.timeout(SESSION_TIMEOUT_S):
                await self.session_opened.wait()
        except TimeoutError as error:
            error.add_note(f"the borrower's last notes: {self.notes[-5:]}")
            raise

    async def offload(self) -> Stamps:
        """Score two minutes of readings at the partner and return when what happened."""
        assert self.driver is not None
        self._count += 1
        reading = Reading(
            device=DeviceId("press-1"),
            invocation=InvocationId(f"{perf_counter_ns():032x}"),
            readings=tuple(40.0 + (index * 7 + self._count) % 5 for index in range(READINGS_MAX)),
            remaining_ns=Nanoseconds(REMAINING_NS),
        )
        self.stamps.asked_ns = perf_counter_ns()
        reply = await self.driver.ask("device", reading)
        self.stamps.answered_ns = perf_counter_ns()
        assert isinstance(reply, ReadingScored), reply
        assert reply.placed == LENDER, "this call was to be lent"
        return self.stamps


def _unheard(_event: str, _detail: str) -> None:
    """Take no note of what happens to a connection: a call that needs it will say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrower:
    """The requester's side in this process: its server and store outlive its node's lives."""

    told: NodeFile
    options: NodeOptions
    folder: Path
    server: NatsServer
    store: SqliteStore

    @asynccontextmanager
    async def life(self, *, has_runner: bool) -> AsyncIterator[Life]:
        """Run a node as ``mutualedge node`` does, restored from its store.

        Args:
            has_runner: Start its runner too; a node that only borrows can do without.
        """
        life, clock_ns = Life(), steady_clock()
        async with connect_node(self.told, self.server.client_url, _unheard) as connections:
            node = restore_node(self.told, self.options, self.store, clock_ns())
            link = RunnerLink(self.told.platform, node.consortium.envelope, ORDINARY, life.note)
            ports = Ports(
                store=self.store,
                bus=_StampedBus(NatsBus(connections.partners), life.stamps),
                order=link.order,
                note=life.note,
                clock_ns=clock_ns,
            )
            life.driver = driver = Driver(_StampedCore(node, life.stamps), ports)
            await serve_partners(connections.partners, driver, callers(node.consortium))
            await serve_devices(connections.devices, driver, DelayRing())
            tasks = [asyncio.create_task(driver.run())]
            settle_memory()
            if has_runner:
                tasks.append(asyncio.create_task(link.run(driver.post)))
            try:
                yield life
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [each for each in ended if isinstance(each, Exception)]
        if failed:
            raise ExceptionGroup("the borrower's node failed", failed)


@asynccontextmanager
async def borrower(folder: Path) -> AsyncIterator[Borrower]:
    """Start the borrower's server and open its store; ``folder`` is the consortium's."""
    own = enterprise_folder(folder, BORROWER)
    told, options = read_process_file(own, NodeFile), read_options(own, NodeOptions)
    async with AsyncExitStack() as stack:
        store = stack.enter_context(SqliteStore(own / STORE_FILE))
        server = await stack.enter_async_context(
            await start_server(enterprise_server(told, options, time.time_ns()), own / NATS_FOLDER)
        )
        write_ready(own, server.client_url)
        yield Borrower(told=told, options=options, folder=own, server=server, store=store)
