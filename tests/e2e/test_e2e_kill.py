import asyncio
import contextlib
import signal
import time
from pathlib import Path

import msgspec
import pytest

from mutualedge.adapters.nats import PasswordLogin, connect, start_server
from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.files import STORE_FILE, NodeFile, read_process_file
from mutualedge.app.founding import HUB, found_consortium
from mutualedge.app.local_processes import ERRORS_FILE
from mutualedge.app.node_process import enterprise_server
from mutualedge.app.options import NodeOptions
from mutualedge.app.processes import cause_of, while_up
from mutualedge.app.settings import read_options
from mutualedge.errors import MutualEdgeError, Unreachable
from mutualedge.model import DeviceId, EnterpriseId
from mutualedge.node.logbook import CheckpointRow
from mutualedge.protocol import Write
from tests.e2e.chaos import ROLES, Outcome, rage
from tests.e2e.plant import (
    BAKERY,
    HARBOUR,
    Plant,
    descendants,
    founding,
    kill_process,
    plant,
    start_all,
)
from tests.e2e.settlement import unsigned

pytestmark = pytest.mark.e2e

KILLS = 200
SEED = 20
STORM_TIMEOUT_S = 600
"""Some 200 s on two busy processors; a storm that does not end is a failure with this name."""

OFFLOADED_MIN = 20
"""A storm in which the harbour hardly worked would prove nothing."""


def test_random_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """Whatever is killed at whatever moment: each invocation has its end, and is paid once at most.

    The product's own supervisor is killed as well, and `mutualedge up` said again.
    """

    async def bounded() -> Outcome:
        async with asyncio.timeout(STORM_TIMEOUT_S):
            return await rage(tmp_path / "trial", KILLS, SEED)

    outcome = asyncio.run(bounded())
    assert outcome.broken == []
    assert outcome.audit == "proved"
    assert sum(outcome.killed.values()) >= KILLS
    assert set(outcome.killed) == ROLES
    assert outcome.invocations.delivered[HARBOUR] >= OFFLOADED_MIN
    assert outcome.posted_microcredits > 0
    assert outcome.balances_microcredits == 0


def child_of(founded: Plant, name: EnterpriseId, program: str) -> int:
    below = descendants(founded.children[name].pid)
    return [pid for pid, command in below if program in command][-1]


@pytest.mark.parametrize("name", [BAKERY, HUB])
def test_a_process_ends_with_its_nats_server(tmp_path: Path, name: EnterpriseId) -> None:
    """Without its server a process is deaf: it says so and ends, for a supervisor to start it."""

    async def main() -> str:
        async with plant(tmp_path / "trial") as founded:
            await founded.start(name)
            kill_process(child_of(founded, name, "nats-server"))
            async with asyncio.timeout(20):
                assert await founded.children[name].wait() == 75
            await founded.start(name)
            assert await founded.stop(name) == 0
            return (founded.own(name) / ERRORS_FILE).read_text()

    said = asyncio.run(main())
    assert said == (
        "mutualedge: Our NATS server ended by itself (status -9); start this process again. "
        "[nats.server.ended]\n"
    )


def test_a_nats_server_that_dies_before_it_is_used_is_noticed_at_once(tmp_path: Path) -> None:
    """Between its start and our connection nobody listens; we do not knock until a timeout."""

    async def main() -> BaseException:
        found_consortium(founding(lease_ms=4_000), tmp_path / "trial")
        own = tmp_path / "trial" / BAKERY
        told = read_process_file(own, NodeFile)
        settings = enterprise_server(told, read_options(own, NodeOptions), time.time_ns())
        server = await start_server(settings, tmp_path / "nats")
        await server.kill()
        login = PasswordLogin(user="node", password=told.node_password)
        connecting = connect(server.client_url, login, name=BAKERY, report=lambda *_: None)
        with pytest.raises(ExceptionGroup) as failed:
            await while_up(server, connecting)
        return cause_of(failed.value)

    cause = asyncio.run(main())
    assert isinstance(cause, MutualEdgeError)
    assert cause.code == "nats.server.ended"


def test_what_fails_because_the_nats_server_died_names_the_server(tmp_path: Path) -> None:
    """Between our connection and our first subscription it dies: not the lost line is the cause."""

    async def main() -> BaseException:
        found_consortium(founding(lease_ms=4_000), tmp_path / "trial")
        own = tmp_path / "trial" / BAKERY
        told = read_process_file(own, NodeFile)
        settings = enterprise_server(told, read_options(own, NodeOptions), time.time_ns())
        server = await start_server(settings, tmp_path / "nats")

        async def subscribe() -> None:
            kill_process(server.process_id)
            raise Unreachable("nats.connection.lost", "Nothing was sent; the connection is down.")

        with pytest.raises(ExceptionGroup) as failed:
            await while_up(server, subscribe())
        return cause_of(failed.value)

    cause = asyncio.run(main())
    assert isinstance(cause, MutualEdgeError)
    assert cause.code == "nats.server.ended"


def test_a_killed_runner_is_replaced_by_its_node(tmp_path: Path) -> None:
    """The node starts another runner by itself and goes on scoring."""

    async def main() -> None:
        async with plant(tmp_path / "trial") as founded:
            await founded.start(BAKERY)
            await founded.wait_note(BAKERY, "runner.started")
            kill_process(child_of(founded, BAKERY, "runner_process"))
            ended = await founded.wait_note(BAKERY, "runner.ended")
            assert ended["status"] in {str(-signal.SIGKILL), "137"}
            await founded.wait_note(BAKERY, "runner.started", beyond=1)
            async with await founded.connect_device() as device:
                scored = await device.score(DeviceId("oven-1"), [41.7], deadline_s=5.0)
                assert scored.placed == BAKERY

    asyncio.run(main())


def test_a_killed_node_leaves_no_process_behind(tmp_path: Path) -> None:
    """Server and runner die with their node, so that the next one finds ports and store free."""

    async def main() -> None:
        async with plant(tmp_path / "trial") as founded:
            await founded.start(BAKERY)
            await founded.wait_note(BAKERY, "runner.started")
            below = [pid for pid, _ in descendants(founded.children[BAKERY].pid)]
            assert len(below) >= 2
            founded.kill(BAKERY)
            await founded.until(lambda: not any(map(is_running, below)), 20)

    asyncio.run(main())


def test_a_cosignature_lost_in_a_crash_is_asked_for_again(tmp_path: Path) -> None:
    """A witness that cosigned while we died is asked again: the log is quiet, not unproved."""

    async def main() -> None:
        async with plant(tmp_path / "trial", lease_ms=120_000) as founded:
            founded.fill(BAKERY)
            await start_all(founded)
            await score_away(founded)
            await founded.until(lambda: has_cosignatures(founded), 30)
            await founded.stop(HARBOUR)
            forget_cosignatures(founded)
            await founded.start(HARBOUR)
            await founded.until(lambda: has_cosignatures(founded), 10)

    asyncio.run(main())


async def score_away(founded: Plant) -> None:
    """Have the harbour score one reading, so that its log has an entry."""
    async with asyncio.timeout(30), await founded.connect_device() as device:
        while not founded.notes(HARBOUR, "voucher.received"):
            with contextlib.suppress(MutualEdgeError):
                await device.score(DeviceId("oven-1"), [41.7], deadline_s=2.0)
            await asyncio.sleep(0.5)


def has_cosignatures(founded: Plant) -> bool:
    with founded.store(HARBOUR) as store:
        return store.last_key("entry") is not None and not list(unsigned(store))


def forget_cosignatures(founded: Plant) -> None:
    """Leave the store as a node leaves it that is killed before the witnesses' answers arrive."""
    with SqliteStore(founded.own(HARBOUR) / STORE_FILE) as store:
        raw = store.get("checkpoint", "latest")
        assert raw is not None, "the log was published"
        row = msgspec.msgpack.decode(raw, type=CheckpointRow)
        bare = msgspec.structs.replace(row, cosignatures=())
        store.commit([Write(bucket="checkpoint", key="latest", value=msgspec.msgpack.encode(bare))])


def is_running(process_id: int) -> bool:
    """Tell a process from one that is gone, or only waits to be noticed."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
