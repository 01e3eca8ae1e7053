import asyncio
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nats
import pytest
import uvloop
from nats.aio.msg import Msg

from mutualedge.adapters.nats import (
    PAYLOAD_BYTES_MAX,
    NatsClient,
    Nkey,
    PasswordLogin,
    Request,
    Role,
    connect,
    link_ends_ns,
    renew_link,
    start_server,
)
from mutualedge.adapters.nats.configuration import LINK_FILE, LOG_FILE
from mutualedge.errors import (
    PeerError,
    RefusedByPeer,
    Unreachable,
    UsageError,
)
from mutualedge.model import NS_PER_S
from tests.contract.nats_consortium import (
    ALONE,
    BAKERY,
    HARBOUR,
    HUB,
    PATIENCE_S,
    RIVAL,
    Consortium,
    alone,
    consortium,
    echo,
    error_of,
    listen,
    on_loop,
    seed,
    wait_answer,
)

SHORT_NS = 4 * NS_PER_S
"""Longer than a busy machine needs to link once."""


async def wait_line(log: Path, text: str) -> None:
    def is_written() -> bool:
        return text in log.read_text()

    while not is_written():  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.02)


async def who_calls(request: Request) -> bytes:
    return (request.caller or "").encode()


@on_loop
async def test_a_request_crosses_the_hub_and_shows_the_importing_account(tmp_path: Path) -> None:
    """A partner's handler gets the payload, the exported subject and the caller's account."""
    async with consortium(tmp_path, BAKERY, HARBOUR) as world:
        bakery, harbour = await world.connect(BAKERY), await world.connect(HARBOUR)

        async def handler(request: Request) -> bytes:
            return f"{request.subject} {request.caller} ".encode() + request.payload

        await harbour.serve("me.in.>", handler, max_in_flight=4, timeout_s=5)
        answer = await wait_answer(bakery, "me.at.harbour.invoke")
        assert answer.decode() == f"me.in.invoke {world.accounts[BAKERY].public} ping"


async def ask_forging(url: str, user: str, subject: str) -> bytes:
    """Ask as a client of ours would, but claim to be somebody else."""
    forged = {"Me-Version": "1", "Nats-Request-Info": '{"acc":"somebody else"}'}
    bare = await nats.connect(
        url, user=user, password=f"{user}-secret", inbox_prefix=f"_INBOX.{user}"
    )
    async with bare:
        return (await bare.request(subject, b"", PATIENCE_S, headers=forged)).data


@on_loop
async def test_a_caller_cannot_claim_to_be_another(tmp_path: Path) -> None:
    """The server overwrites what a partner says about who it is; what a device says is ignored."""
    async with consortium(tmp_path, BAKERY, HARBOUR) as world:
        bakery, harbour = await world.connect(BAKERY), await world.connect(HARBOUR)
        intake = await world.connect(HARBOUR, "intake")
        await harbour.serve("me.in.>", who_calls, max_in_flight=4, timeout_s=5)
        await intake.serve("me.device.>", who_calls, max_in_flight=4, timeout_s=5)
        await wait_answer(bakery, "me.at.harbour.x")
        partner = await ask_forging(world.servers[BAKERY].client_url, "node", "me.at.harbour.x")
        assert partner.decode() == world.accounts[BAKERY].public
        device = await ask_forging(world.servers[HARBOUR].client_url, "press", "me.device.x")
        assert device == b""


@on_loop
async def test_the_hub_neither_hears_devices_nor_speaks_for_them(tmp_path: Path) -> None:
    """Even with all rights on both ends of the link the enterprise's own server keeps it so."""
    async with consortium(tmp_path) as world:
        world.leaves_confined = False
        await world.start_enterprise(BAKERY)
        node, intake = await world.connect(BAKERY), await world.connect(BAKERY, "intake")
        device = await world.connect(BAKERY, "press")
        hub = await world.connect_hub(world.accounts[HUB])
        spy = await world.connect_hub(world.accounts[BAKERY], is_confined=False)
        asked: list[bytes] = []

        async def note(request: Request) -> bytes:
            asked.append(request.payload)
            return b"re: " + request.payload

        await intake.serve("me.device.>", note, max_in_flight=4, timeout_s=5)
        await node.serve("me.in.>", note, max_in_flight=4, timeout_s=5)
        await wait_answer(hub, "me.at.bakery.x")
        for subject in ("me.device.x", "_INBOX.press.x", "_INBOX.intake.x"):
            unheard = await error_of(spy.request(subject, b"", PATIENCE_S))
            assert unheard.code == "nats.request.no-responders"
        ears = await listen(spy, ">")
        # The hub told the link of the ears before this passed it, so from here on they hear.
        await spy.request("me.in.x", b"to the node as a partner", timeout_s=PATIENCE_S)
        asked.clear()
        # The only one who answers is the node, so an answer says that it was asked.
        answer = await device.request("me.device.x", b"from the press", timeout_s=PATIENCE_S)
        assert answer == b"re: from the press"
        await hub.request("me.at.bakery.x", b"from the hub", timeout_s=PATIENCE_S)
        assert asked == [b"from the press", b"from the hub"]
        await node.request("me.in.x", b"last", timeout_s=PATIENCE_S)
        await ears.wait_payload(b"last")
        assert not [payload for payload in ears.payloads if b"from the press" in payload]


@on_loop
async def test_the_hub_calls_a_member_and_is_called(tmp_path: Path) -> None:
    """The consortium's own process is a partner like the others."""
    async with consortium(tmp_path, BAKERY) as world:
        bakery, hub = await world.connect(BAKERY), await world.connect_hub(world.accounts[HUB])
        await bakery.serve("me.in.>", who_calls, max_in_flight=4, timeout_s=5)
        await hub.serve("me.in.>", who_calls, max_in_flight=4, timeout_s=5)
        assert await wait_answer(bakery, "me.at.hub.x") == world.accounts[BAKERY].public.encode()
        assert await wait_answer(hub, "me.at.bakery.x") == world.accounts[HUB].public.encode()


@on_loop
async def test_what_was_not_imported_cannot_be_called(tmp_path: Path) -> None:
    """Only the offered subject crosses; a partner's other subjects stay inside."""
    async with consortium(tmp_path, BAKERY, HARBOUR) as world:
        bakery, harbour = await world.connect(BAKERY), await world.connect(HARBOUR)
        for subject in ("me.in.>", "me.device.>", "me.secret"):
            await harbour.serve(subject, echo, max_in_flight=4, timeout_s=5)
        await wait_answer(bakery, "me.at.harbour.x")
        for subject in ("me.device.x", "me.secret", "me.in.x", "me.at.bakery.x"):
            failure = await error_of(bakery.request(subject, b"", timeout_s=PATIENCE_S))
            assert failure.code == "nats.request.no-responders"


@on_loop
async def test_an_account_without_activation_is_out(tmp_path: Path) -> None:
    """A member that shows another's activation reaches nobody; the others are undisturbed."""
    async with consortium(tmp_path, BAKERY, HARBOUR, RIVAL) as world:
        bakery, harbour = await world.connect(BAKERY), await world.connect(HARBOUR)
        rival = await world.connect(RIVAL)
        await harbour.serve("me.in.>", echo, max_in_flight=4, timeout_s=5)
        await wait_answer(bakery, "me.at.harbour.x")
        # Without these lines the rival might only not have tried yet.
        await wait_line(tmp_path / "hub" / LOG_FILE, "activation token doesn't match account")
        await wait_line(tmp_path / RIVAL / LOG_FILE, "Authorization Violation")
        failure = await error_of(rival.request("me.at.harbour.x", b"", timeout_s=PATIENCE_S))
        assert failure.code == "nats.request.no-responders"


@on_loop
async def test_a_forged_account_is_refused_at_connect(tmp_path: Path) -> None:
    """A user signed by an account that the operator never signed is turned away at once."""
    async with consortium(tmp_path) as world:
        forged = Nkey(Role.ACCOUNT, seed("forged"))
        failure = await error_of(world.connect_hub(forged))
        assert isinstance(failure, UsageError)
        assert failure.code == "nats.connection.unauthorised"


@on_loop
async def test_a_certificate_of_another_root_is_refused(tmp_path: Path) -> None:
    """Good credentials without a certificate of the consortium do not link."""
    async with consortium(tmp_path, HARBOUR) as world:
        other = Consortium(folder=tmp_path, stack=world.stack, entropy=world.entropy)
        settings = world.enterprise_settings(BAKERY)
        assert settings.hub is not None
        stranger = replace(other.tls(BAKERY), root_pem=world.authority.certificate_pem)
        hub = replace(settings.hub, tls=stranger)
        server = await start_server(replace(settings, hub=hub), tmp_path / "stranger")
        async with server:
            await wait_line(tmp_path / "hub" / LOG_FILE, "TLS leafnode handshake error")
            world.servers[BAKERY] = server
            bakery = await world.connect(BAKERY)
            failure = await error_of(bakery.request("me.at.harbour.x", b"", timeout_s=PATIENCE_S))
            assert failure.code == "nats.request.no-responders"


@on_loop
async def test_without_the_hub_local_traffic_goes_on_and_cross_traffic_recovers(
    tmp_path: Path,
) -> None:
    """A crash of the hub is invisible locally, a refusal across, and heals by itself."""
    async with consortium(tmp_path, BAKERY, HARBOUR) as world:
        bakery, harbour = await world.connect(BAKERY), await world.connect(HARBOUR)
        await harbour.serve("me.in.>", echo, max_in_flight=4, timeout_s=5)
        await harbour.serve("me.local.>", echo, max_in_flight=4, timeout_s=5)
        await wait_answer(bakery, "me.at.harbour.x")
        leaf_port = world.servers[HUB].leaf_port
        assert leaf_port is not None
        await world.servers[HUB].kill()
        other = await world.connect(HARBOUR)
        assert (
            await other.request("me.local.x", b"still here", timeout_s=PATIENCE_S) == b"still here"
        )
        failure = await error_of(bakery.request("me.at.harbour.x", b"", timeout_s=0.5))
        assert isinstance(failure, Unreachable)
        await world.start_hub(leaf_port=leaf_port)
        assert await wait_answer(bakery, "me.at.harbour.x") == b"ping"
        assert await other.request("me.local.x", b"", timeout_s=PATIENCE_S) == b""


@on_loop
async def test_a_link_outlives_its_credentials_if_they_are_renewed_in_time(tmp_path: Path) -> None:
    """The hub cuts it at their end; the server links again with those in its folder by then."""
    async with consortium(tmp_path, HARBOUR) as world:
        harbour = await world.connect(HARBOUR)
        await harbour.serve("me.in.>", echo, max_in_flight=4, timeout_s=5)
        settings = world.enterprise_settings(BAKERY)
        assert settings.hub is not None
        fresh, short = settings.hub.credentials, world.leaf_credentials(BAKERY, SHORT_NS)
        linked = replace(settings, hub=replace(settings.hub, credentials=short))
        folder = tmp_path / BAKERY
        async with await start_server(linked, folder) as server:
            world.servers[BAKERY] = server
            bakery = await world.connect(BAKERY)
            assert await wait_answer(bakery, "me.at.harbour.x") == b"ping"
            ends_ns = link_ends_ns(folder)
            renew_link(folder, fresh)
            assert link_ends_ns(folder) > ends_ns
            await wait_line(folder / LOG_FILE, "Authentication Expired")
            assert await wait_answer(bakery, "me.at.harbour.x") == b"ping"
            assert (folder / LINK_FILE).stat().st_mode & 0o777 == 0o600


@on_loop
async def test_an_expelled_member_is_out_after_the_hub_restarts(tmp_path: Path) -> None:
    """Without its account token a member neither calls nor is called; the rest goes on."""
    async with consortium(tmp_path, BAKERY, HARBOUR) as world:
        bakery, harbour = await world.connect(BAKERY), await world.connect(HARBOUR)
        for client in (bakery, harbour):
            await client.serve("me.in.>", echo, max_in_flight=4, timeout_s=5)
        await wait_answer(bakery, "me.at.harbour.x")
        leaf_port = world.servers[HUB].leaf_port
        assert leaf_port is not None
        await world.servers[HUB].stop()
        settings = replace(world.hub_settings(BAKERY, HUB), leaf_port=leaf_port)
        world.servers[HUB] = await start_server(settings, tmp_path / "hub")
        async with world.servers[HUB]:
            hub = await world.connect_hub(world.accounts[HUB])
            assert await wait_answer(hub, "me.at.bakery.x") == b"ping"
            for client, subject in ((bakery, "me.at.harbour.x"), (harbour, "me.at.bakery.x")):
                failure = await error_of(client.request(subject, b"", timeout_s=PATIENCE_S))
                assert failure.code == "nats.request.no-responders"


@on_loop
async def test_a_device_reaches_its_node_by_one_subject_only(tmp_path: Path) -> None:
    """A device can neither call partners, nor listen in, nor answer in its node's place."""
    async with alone(tmp_path) as world:
        node, intake = await world.connect(BAKERY), await world.connect(BAKERY, "intake")
        device = await world.connect(BAKERY, "press")
        await intake.serve("me.device.>", echo, max_in_flight=4, timeout_s=5)
        await node.serve("me.in.>", echo, max_in_flight=4, timeout_s=5)
        answer = await device.request("me.device.press.reading", b"41.7", timeout_s=PATIENCE_S)
        assert answer == b"41.7"
        for subject in ("me.in.x", "me.at.harbour.x", "_INBOX.intake.x", "_INBOX.oven.x"):
            await assert_cannot_ask(device, subject)
        for subject in (">", "_INBOX.>", "_INBOX.oven.>", "me.device.>"):
            await assert_cannot_answer(device, subject)


@on_loop
async def test_towards_devices_a_node_only_answers(tmp_path: Path) -> None:
    """What hears devices can ask nothing and hears nothing else; partners' side hears no device."""
    async with alone(tmp_path) as world:
        node, intake = await world.connect(BAKERY), await world.connect(BAKERY, "intake")
        device = await world.connect(BAKERY, "press")
        for subject in ("me.device.x", "me.in.x", "me.at.harbour.x"):
            await assert_cannot_ask(intake, subject)
        for subject in (">", "_INBOX.>", "_INBOX.press.>", "me.in.>"):
            await assert_cannot_answer(intake, subject)
        await node.serve("me.device.>", echo, max_in_flight=1, timeout_s=5)
        failure = await error_of(device.request("me.device.x", b"", timeout_s=PATIENCE_S))
        assert failure.code == "nats.request.no-responders"


async def assert_cannot_ask(client: NatsClient, subject: str) -> None:
    failure = await error_of(client.request(subject, b"", timeout_s=PATIENCE_S))
    assert failure.code == "nats.request.forbidden"


async def assert_cannot_answer(client: NatsClient, subject: str) -> None:
    listening = client.serve(subject, echo, max_in_flight=1, timeout_s=5)
    assert (await error_of(listening)).code == "nats.subscription.forbidden"


@on_loop
async def test_too_large_a_payload_is_refused_on_both_sides(tmp_path: Path) -> None:
    """1 MiB passes; one byte more fails before sending, on arrival, and as a reply."""
    async with alone(tmp_path) as world:
        client, service = await world.connect(BAKERY), await world.connect(BAKERY)

        async def one_more(request: Request) -> bytes:
            return request.payload + b"x"

        await service.serve("me.same", echo, max_in_flight=1, timeout_s=5)
        await service.serve("me.more", one_more, max_in_flight=1, timeout_s=5)
        largest = b"x" * PAYLOAD_BYTES_MAX
        assert await client.request("me.same", largest, timeout_s=PATIENCE_S) == largest
        failure = await error_of(client.request("me.same", largest + b"x", timeout_s=PATIENCE_S))
        assert failure.code == "nats.payload.too-large"
        refused = await error_of(client.request("me.more", largest, timeout_s=PATIENCE_S))
        assert isinstance(refused, RefusedByPeer)
        assert refused.reason == "nats.payload.too-large"
        bare = await nats.connect(
            world.servers[BAKERY].client_url, user="node", password="node-secret"
        )
        reply = await bare.request("me.same", largest + b"x", 5, headers={"Me-Version": "1"})
        await bare.close()
        assert reply.headers == {"Me-Version": "1", "Me-Refusal": "nats.payload.too-large"}


@on_loop
async def test_a_burst_of_large_requests_loses_nothing(tmp_path: Path) -> None:
    """32 MiB at once come back whole; more is refused to the sender, not dropped on the way."""
    async with alone(tmp_path) as world:
        client, service = await world.connect(BAKERY), await world.connect(BAKERY)
        await service.serve("me.same", echo, max_in_flight=32, timeout_s=10)
        async with asyncio.TaskGroup() as group:
            sent = [
                group.create_task(client.request("me.same", bytes([i]) * PAYLOAD_BYTES_MAX, 10))
                for i in range(32)
            ]
            await asyncio.sleep(0)
            failure = await error_of(client.request("me.same", b"one byte more", 10))
        assert failure.code == "nats.request.too-many"
        assert [task.result()[:1] for task in sent] == [bytes([i]) for i in range(32)]


@on_loop
async def test_one_request_over_the_limit_is_refused_at_once(tmp_path: Path) -> None:
    """With every slot taken a caller hears so immediately; those at work finish."""
    async with alone(tmp_path) as world:
        client, service = await world.connect(BAKERY), await world.connect(BAKERY)
        release, full = asyncio.Event(), asyncio.Barrier(4)

        async def held(request: Request) -> bytes:
            await full.wait()
            await release.wait()
            return request.payload

        counts = await service.serve("me.slow", held, max_in_flight=3, timeout_s=10)
        async with asyncio.TaskGroup() as group:
            accepted = [
                group.create_task(client.request("me.slow", b"%d" % i, timeout_s=10))
                for i in range(3)
            ]
            await full.wait()
            refusals = [await error_of(client.request("me.slow", b"", 10)) for _ in range(50)]
            release.set()
        assert {refusal.code for refusal in refusals} == {"nats.request.overloaded"}
        assert [task.result() for task in accepted] == [b"0", b"1", b"2"]
        assert counts.refused_count == 50


@on_loop
async def test_handlers_of_one_subject_run_side_by_side(tmp_path: Path) -> None:
    """Each of eight handlers waits for all eight to have begun; one after the other would hang."""
    async with alone(tmp_path) as world:
        client, service = await world.connect(BAKERY), await world.connect(BAKERY)
        together = asyncio.Barrier(8)

        async def meet(request: Request) -> bytes:
            await together.wait()
            return request.payload

        await service.serve("me.meet", meet, max_in_flight=8, timeout_s=5)
        answers = await asyncio.gather(*(client.request("me.meet", b"x", 5) for _ in range(8)))
        assert answers == [b"x"] * 8


@on_loop
async def test_a_failing_handler_refuses_with_its_code(tmp_path: Path) -> None:
    """An error of ours travels as its code; a bug as one code only, and is reported."""
    async with alone(tmp_path) as world:
        client, service = await world.connect(BAKERY), await world.connect(BAKERY)

        async def handler(request: Request) -> bytes:
            if request.payload == b"expired":
                raise UsageError("market.lease.expired", "The path /secret/lease has expired.")
            if request.payload == b"slow":
                await asyncio.sleep(60)
            raise KeyError(request.payload)

        await service.serve("me.fail", handler, max_in_flight=4, timeout_s=0.2)
        expected = {
            b"expired": "market.lease.expired",
            b"slow": "nats.handler.timeout",
            b"bug": "nats.handler.failed",
        }
        for payload, reason in expected.items():
            failure = await error_of(client.request("me.fail", payload, timeout_s=PATIENCE_S))
            assert isinstance(failure, RefusedByPeer)
            assert failure.reason == reason
            assert "secret" not in failure.sentence
        assert ("handler.failed", "me.fail: KeyError(b'bug')") in world.reported


@on_loop
async def test_what_does_not_speak_our_version_is_not_believed(tmp_path: Path) -> None:
    """A reply without our header is an error, and a request without it is refused."""
    async with alone(tmp_path) as world:
        client = await world.connect(BAKERY)
        url = world.servers[BAKERY].client_url
        bare = await nats.connect(url, user="node", password="node-secret")
        await bare.subscribe("me.bare", cb=acknowledge_like_a_stream)
        for _ in range(2):  # its first PING overtakes the subscription
            await bare.flush()
        failure = await error_of(client.request("me.bare", b"", timeout_s=PATIENCE_S))
        assert isinstance(failure, PeerError)
        assert failure.code == "nats.reply.unversioned"
        await client.serve("me.ours", echo, max_in_flight=1, timeout_s=PATIENCE_S)
        reply = await bare.request("me.ours", b"", PATIENCE_S)
        await bare.close()
        assert reply.headers == {"Me-Version": "1", "Me-Refusal": "nats.request.unversioned"}


async def acknowledge_like_a_stream(message: Msg) -> None:
    await message._client.publish(message.reply, b'{"stream":"CALLS","seq":1}')


@on_loop
async def test_a_silent_handler_times_the_caller_out(tmp_path: Path) -> None:
    """No answer in time is an error whose outcome is unknown; a late answer changes nothing."""
    async with alone(tmp_path) as world:
        client, service = await world.connect(BAKERY), await world.connect(BAKERY)

        async def late(request: Request) -> bytes:
            await asyncio.sleep(0.2)
            return request.payload

        await service.serve("me.late", late, max_in_flight=4, timeout_s=5)
        failure = await error_of(client.request("me.late", b"first", timeout_s=0.05))
        assert failure.code == "nats.request.timeout"
        assert await client.request("me.late", b"second", timeout_s=PATIENCE_S) == b"second"


@on_loop
async def test_a_broken_connection_fails_requests_and_heals(tmp_path: Path) -> None:
    """Requests in flight fail at once; client and service return with the server."""
    async with alone(tmp_path) as world:
        client, service = await world.connect(BAKERY), await world.connect(BAKERY)
        begun = asyncio.Event()

        async def handler(request: Request) -> bytes:
            begun.set()
            await asyncio.sleep(0 if request.payload else 60)
            return request.payload

        await service.serve("me.hang", handler, max_in_flight=4, timeout_s=60)
        waiting = asyncio.create_task(client.request("me.hang", b"", timeout_s=60))
        await begun.wait()
        server = world.servers[BAKERY]
        await server.kill()
        assert (await error_of(waiting)).code == "nats.connection.lost"
        assert (await error_of(client.request("me.hang", b"", 1))).code == "nats.connection.lost"
        again = await start_server(
            replace(ALONE, client_port=server.client_port), tmp_path / "alone"
        )
        async with again:
            assert await wait_answer(client, "me.hang") == b"ping"


@on_loop
async def test_cancelling_a_request_cancels_it(tmp_path: Path) -> None:
    """Cancellation reaches the caller and leaves nothing waiting; closing drains handlers."""
    async with alone(tmp_path) as world:
        client, service = await world.connect(BAKERY), await world.connect(BAKERY)
        begun = asyncio.Event()

        async def slow(request: Request) -> bytes:
            begun.set()
            await asyncio.sleep(0.1)
            return request.payload

        await service.serve("me.slow", slow, max_in_flight=4, timeout_s=5)
        kept = asyncio.create_task(client.request("me.slow", b"kept", timeout_s=PATIENCE_S))
        dropped = asyncio.create_task(client.request("me.slow", b"dropped", timeout_s=PATIENCE_S))
        await begun.wait()
        dropped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dropped
        await service.close(drain_timeout_s=PATIENCE_S)
        assert await kept == b"kept"
        assert not client._waiting


@on_loop
async def test_wrong_password_and_missing_server_are_told_apart(tmp_path: Path) -> None:
    """Bad credentials are our mistake, at once; no server is unreachability, in bounded time."""
    async with alone(tmp_path) as world:
        wrong = PasswordLogin(user="node", password="guessed")
        url = world.servers[BAKERY].client_url
        failure = await error_of(connect(url, wrong, name="guesser", report=world.report))
        assert failure.code == "nats.connection.unauthorised"
        await world.servers[BAKERY].stop()
        trying = connect(url, wrong, name="lost", report=world.report, timeout_s=0.3)
        assert (await error_of(trying)).code == "nats.connection.timeout"


def test_closing_after_the_server_died_is_no_fault_of_ours(tmp_path: Path) -> None:
    """What was still to be sent is lost with the connection; the process ends as it meant to."""

    async def main() -> None:
        async with asyncio.timeout(20), alone(tmp_path) as world:
            client = await world.connect(BAKERY)
            connection = client._connection
            assert connection._transport is not None
            connection._transport.close()  # type: ignore[no-untyped-call]  # theirs has none
            await asyncio.sleep(0)
            connection._pending, connection._pending_data_size = [b"PING"], 4
            await client.close()
            assert not client.is_connected
            assert client._closed.is_set()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@on_loop
async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Port taken, binary missing, settings refused and too slow have their own codes."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = replace(ALONE, client_port=taken.getsockname()[1])
        failure = await error_of(start_server(busy, tmp_path / "busy"))
        assert failure.code == "nats.server.port-taken"
        assert f"127.0.0.1:{busy.client_port}; " in failure.sentence
    missing = start_server(ALONE, tmp_path / "missing", binary=tmp_path / "no-such-server")
    assert (await error_of(missing)).code == "nats.server.binary-missing"
    async with consortium(tmp_path) as world:
        garbled = replace(world.hub_settings(), operator_token="not a token")
        failure = await error_of(start_server(garbled, tmp_path / "garbled"))
        assert failure.code == "nats.server.failed"
    silent = tmp_path / "silent-server"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o700)
    hanging = start_server(ALONE, tmp_path / "silent", binary=silent, timeout_s=0.2)
    assert (await error_of(hanging)).code == "nats.server.not-ready"


@on_loop
async def test_secrets_of_a_server_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    """Configuration, key and credentials carry mode 0600 in a tmp_path of mode 0700."""
    async with consortium(tmp_path, BAKERY):
        for name in ("nats-server.conf", "private-key.pem", "leaf.creds"):
            assert (tmp_path / BAKERY / name).stat().st_mode & 0o777 == 0o600
        assert (tmp_path / BAKERY).stat().st_mode & 0o777 == 0o700


PARENT = """
import asyncio, sys
from pathlib import Path
from mutualedge.adapters.nats import start_server
from tests.contract.test_nats_adapter import ALONE

async def main():
    server = await start_server(ALONE, Path(sys.argv[1]))
    print(server.process_id, flush=True)
    await server.wait_stopped()

asyncio.run(main())
"""


def is_running(process_id: int) -> bool:
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_server_and_client_work_on_uvloop(tmp_path: Path) -> None:
    """The faster loop starts, asks and stops the same way."""

    async def scenario() -> None:
        async with alone(tmp_path) as world:
            client = await world.connect(BAKERY)
            await client.serve("me.same", echo, max_in_flight=1, timeout_s=5)
            assert await client.request("me.same", b"x", timeout_s=PATIENCE_S) == b"x"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is a Linux call")
def test_the_server_dies_with_its_parent(tmp_path: Path) -> None:
    """A parent that is killed outright leaves no server behind."""
    search = os.pathsep.join(path for path in (*sys.path, str(Path(__file__).parents[2])) if path)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "server")],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": search},
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait(timeout=10)
    for _ in range(1000):
        if not is_running(child):
            return
        signal.sigtimedwait([], 0.005)
    pytest.fail(f"nats-server {child} outlived its parent by five seconds")
