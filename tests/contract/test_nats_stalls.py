import asyncio
import gc
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from mutualedge.adapters.nats import (
    PAYLOAD_BYTES_MAX,
    NatsServer,
    PasswordLogin,
    Request,
    connect,
    start_server,
)
from mutualedge.adapters.nats.client import CLOSE_TIMEOUT_S, CUT_TIMEOUT_S, FLUSH_TIMEOUT_S
from mutualedge.errors import Unreachable
from tests.contract.nats_consortium import (
    ALONE,
    BAKERY,
    HARBOUR,
    HUB,
    PATIENCE_S,
    alone,
    consortium,
    echo,
    error_of,
    on_loop,
    wait_answer,
)

TURNS_MAX = 1_000
"""Turns of the loop that a connection takes at most; some tens here."""

SLACK_S = 2.0
"""Other tests run on the same processors; what these tests rule out is longer by far."""


@contextmanager
def frozen(server: NatsServer) -> Iterator[None]:
    """Stop a server's clock: its sockets stay open and nobody reads them."""
    os.kill(server.process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process_id, signal.SIGCONT)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what is waited for happens in other tasks
        await asyncio.sleep(0.01)


@on_loop
async def test_a_wait_for_the_server_that_was_given_up_harms_nobody_else(tmp_path: Path) -> None:
    """The server's late answer to one who no longer waits leaves the connection as it was."""
    async with alone(tmp_path) as world:
        client = await world.connect(BAKERY)
        await client.serve("me.same", echo, max_in_flight=1, timeout_s=5)
        given_up = asyncio.create_task(client.serve("me.more", echo, max_in_flight=1, timeout_s=5))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait({given_up})
        assert given_up.cancelled()
        assert await client.request("me.same", b"x", timeout_s=PATIENCE_S) == b"x"
        failure = await error_of(client.request("me.more", b"x", timeout_s=PATIENCE_S))
        assert failure.code == "nats.request.no-responders"
        assert world.reported == []


@on_loop
async def test_a_server_that_does_not_read_costs_no_more_than_the_time_given(
    tmp_path: Path,
) -> None:
    """Every request ends within its own time, also those that wait for the socket."""
    async with alone(tmp_path) as world:
        client, service = await world.connect(BAKERY), await world.connect(BAKERY)
        await service.serve("me.same", echo, max_in_flight=32, timeout_s=30)
        payload = bytes(PAYLOAD_BYTES_MAX)
        with frozen(world.servers[BAKERY]):
            begun_s = time.monotonic()
            failures = await asyncio.gather(
                *(error_of(client.request("me.same", payload, 0.5)) for _ in range(32))
            )
            assert time.monotonic() - begun_s < 0.5 + SLACK_S < FLUSH_TIMEOUT_S
        codes = {failure.code for failure in failures}
        assert codes == {"nats.request.timeout"}
        assert await wait_answer(client, "me.same") == b"ping"


@on_loop
async def test_leaving_a_server_that_does_not_read_takes_bounded_time(tmp_path: Path) -> None:
    """A client closes whatever its server does; a process must be able to end."""
    async with alone(tmp_path) as world:
        client = await world.connect(BAKERY)
        with frozen(world.servers[BAKERY]):
            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    asking = client.request("me.same", bytes(PAYLOAD_BYTES_MAX), 60)
                    group.create_task(error_of(asking))
                await asyncio.sleep(0.1)
                begun_s = time.monotonic()
                await client.close()
                assert time.monotonic() - begun_s < FLUSH_TIMEOUT_S + SLACK_S
        await client.wait_closed()


@on_loop
async def test_a_client_that_is_closed_while_it_reconnects_stays_closed(tmp_path: Path) -> None:
    """An attempt that fails in the moment of closing is the last one; nothing outlives the close.

    Without pauses between attempts that moment is most of the time.
    """
    async with alone(tmp_path) as world:
        clients = [await world.connect(BAKERY) for _ in range(20)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mutualedge.adapters.nats.client.RECONNECT_DELAY_MIN_S", 0.0)
            await world.servers[BAKERY].kill()
            await until(lambda: not any(client.is_connected for client in clients))
            for client in clients:
                await client.close()
            trying = [client._connection._reconnection_task for client in clients]
            assert [task for task in trying if task is not None and not task.done()] == []


@on_loop
async def test_a_server_that_hangs_from_its_start_on_keeps_nobody(tmp_path: Path) -> None:
    """The kernel takes the connection, nobody answers on it: giving up is bounded as well."""
    async with alone(tmp_path) as world:
        begun_s = time.monotonic()
        with frozen(world.servers[BAKERY]):
            login = PasswordLogin(user="node", password=ALONE.node_user.password)
            url = world.servers[BAKERY].client_url
            connecting = connect(url, login, name="late", report=world.report, timeout_s=0.5)
            failure = await error_of(connecting)
        assert failure.code == "nats.connection.timeout"
        assert time.monotonic() - begun_s < 0.5 + CLOSE_TIMEOUT_S + 2 * CUT_TIMEOUT_S + SLACK_S


@on_loop
async def test_closing_while_reconnecting_to_a_hung_server_is_bounded(tmp_path: Path) -> None:
    """The server came back and hangs before its first word; a process can end all the same."""
    async with alone(tmp_path) as world:
        client = await world.connect(BAKERY)
        server = world.servers[BAKERY]
        await server.kill()
        await until(lambda: not client.is_connected)
        settings = replace(ALONE, client_port=server.client_port)
        async with await start_server(settings, tmp_path / "again") as again:
            with frozen(again):
                await asyncio.sleep(0.2)
                begun_s = time.monotonic()
                await client.close()
                assert time.monotonic() - begun_s < CLOSE_TIMEOUT_S + 2 * CUT_TIMEOUT_S + SLACK_S
        await client.wait_closed()


@pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning")  # by nats-py
@on_loop
async def test_what_nats_py_does_not_end_is_left_behind_and_reported(tmp_path: Path) -> None:
    """Its closing ignores the closed socket and our cancellation: we are closed all the same."""
    async with alone(tmp_path) as world:
        client = await world.connect(BAKERY)
        release = asyncio.Event()

        async def deaf() -> None:
            while not release.is_set():
                with suppress(asyncio.CancelledError):
                    await release.wait()

        closing, client._connection.close = client._connection.close, deaf  # type: ignore[method-assign]
        with frozen(world.servers[BAKERY]):
            begun_s = time.monotonic()
            await client.close()
            assert time.monotonic() - begun_s < CLOSE_TIMEOUT_S + 2 * CUT_TIMEOUT_S + SLACK_S
        await client.wait_closed()
        assert [event for event, _ in world.reported][-1:] == ["connection.failed"]
        assert "left the closing of its connection behind" in world.reported[-1][1]
        release.set()
        await closing()
    gc.collect()  # what it left behind is this test's, not the next one's


@on_loop
async def test_a_partner_that_is_cut_off_in_the_middle_of_a_call_is_a_timeout(
    tmp_path: Path,
) -> None:
    """The link breaks while the partner works: the caller hears in its own time, and it heals."""
    async with consortium(tmp_path, BAKERY, HARBOUR) as world:
        bakery, harbour = await world.connect(BAKERY), await world.connect(HARBOUR)
        begun, release = asyncio.Event(), asyncio.Event()

        async def handler(request: Request) -> bytes:
            if request.payload == b"slow":
                begun.set()
                await release.wait()
            return request.payload

        await harbour.serve("me.in.>", handler, max_in_flight=4, timeout_s=30)
        await wait_answer(bakery, "me.at.harbour.x")
        asking = asyncio.create_task(bakery.request("me.at.harbour.x", b"slow", timeout_s=1.0))
        await begun.wait()
        leaf_port = world.servers[HUB].leaf_port
        assert leaf_port is not None
        await world.servers[HUB].kill()
        release.set()
        failure = await error_of(asking)
        assert isinstance(failure, Unreachable)
        assert failure.code == "nats.request.timeout"
        await world.start_hub(leaf_port=leaf_port)
        assert await wait_answer(bakery, "me.at.harbour.x") == b"ping"


@on_loop
async def test_a_reply_that_cannot_leave_is_reported(tmp_path: Path) -> None:
    """A handler that ends while its server is gone: its work is done, and its loss is on record."""
    async with alone(tmp_path) as world:
        client, service = await world.connect(BAKERY), await world.connect(BAKERY)
        begun, release = asyncio.Event(), asyncio.Event()

        async def handler(request: Request) -> bytes:
            begun.set()
            await release.wait()
            return request.payload

        await service.serve("me.slow", handler, max_in_flight=4, timeout_s=30)
        asking = asyncio.create_task(client.request("me.slow", b"x", timeout_s=30))
        await begun.wait()
        await world.servers[BAKERY].kill()
        assert (await error_of(asking)).code == "nats.connection.lost"
        await until(lambda: not service.is_connected)
        release.set()
        await until(lambda: "reply.lost" in [event for event, _ in world.reported])


@on_loop
async def test_who_gives_up_connecting_is_heard_at_any_moment(tmp_path: Path) -> None:
    """Cancelled after one turn of the loop, after two, and so on until it is connected."""
    async with alone(tmp_path) as world:
        url, login = (
            world.servers[BAKERY].client_url,
            PasswordLogin(user="node", password="node-secret"),
        )
        for turns in range(1, TURNS_MAX):
            connecting = asyncio.create_task(connect(url, login, name="x", report=world.report))
            for _ in range(turns):
                await asyncio.sleep(0)
            if connecting.done():
                await connecting.result().close()
                return
            connecting.cancel()
            await asyncio.wait({connecting})
            assert connecting.cancelled(), turns
        pytest.fail("it never connected")
