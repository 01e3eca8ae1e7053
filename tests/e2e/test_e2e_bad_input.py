import asyncio
import os
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest

from mutualedge.adapters.nats import (
    PAYLOAD_BYTES_MAX,
    NatsClient,
    PasswordLogin,
    connect,
    partner_subject,
)
from mutualedge.app.bus import DEVICE_SERVICE, NODE_USER, PARTNER_VERB
from mutualedge.app.devices import DEVICE_USER, connect_device
from mutualedge.app.files import PROCESS_FILE, STORE_FILE
from mutualedge.app.founding import HUB, found_consortium
from mutualedge.app.options import HubOptions
from mutualedge.app.settings import read_options
from mutualedge.errors import MutualEdgeError, UsageError
from mutualedge.model import DeviceId, EnterpriseId, InvocationId, Nanoseconds
from mutualedge.protocol import (
    READINGS_MAX,
    Reading,
    Refused,
    encode_json,
    encode_message,
    parse_json_reply,
    parse_reply,
)
from tests.e2e.command_line import Ended, mutualedge
from tests.e2e.plant import BAKERY, HARBOUR, Plant, founding, plant, start_all

pytestmark = pytest.mark.e2e

SENSOR = DeviceId("oven-1")
PATIENCE_S = 5.0

BAD_READINGS = {
    "no JSON": b"temperature 41.7",
    "no UTF-8": b'{"type":"Reading","device":"oven-\xff"}',
    "unknown type": b'{"type":"Shutdown"}',
    "unknown field": b'{"type":"Reading","device":"oven-1","colour":"red"}',
    "no readings": b'{"type":"Reading","device":"oven-1","invocation":"'
    + b"0" * 32
    + b'","readings":[],"remaining_ns":1}',
    "not a number": b'{"type":"Reading","device":"oven-1","invocation":"'
    + b"0" * 32
    + b'","readings":[NaN],"remaining_ns":1}',
    "a partner's request": b'{"type":"AskOffer","function":"' + b"0" * 64 + b'"}',
    "nested": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nothing": b"",
}


@asynccontextmanager
async def bakery_alone(folder: Path) -> AsyncIterator[Plant]:
    """Run one enterprise without its hub: its own devices need nobody else."""
    async with plant(folder) as founded:
        await founded.start(BAKERY)
        await founded.wait_note(BAKERY, "runner.started")
        yield founded


async def device_bus(founded: Plant) -> NatsClient:
    """Connect as a device does, free to send anything."""
    login = PasswordLogin(user=DEVICE_USER, password=founded.told(BAKERY).device_password)
    return await connect(founded.client_url(BAKERY), login, name="intruder", report=print)


async def assert_still_scores(founded: Plant) -> None:
    async with await founded.connect_device() as device:
        scored = await device.score(SENSOR, [41.7], deadline_s=PATIENCE_S)
        assert scored.placed == BAKERY


def test_bad_readings_are_refused_one_by_one(tmp_path: Path) -> None:
    """Whatever a device sends, it is told a code and a sentence; the next good one is scored."""

    async def main() -> None:
        async with bakery_alone(tmp_path / "trial") as founded:
            async with await device_bus(founded) as bus:
                for what, raw in BAD_READINGS.items():
                    reply = parse_json_reply(await bus.request(DEVICE_SERVICE, raw, PATIENCE_S))
                    assert isinstance(reply, Refused), what
                    assert reply.code == "protocol.message.malformed", what
                    assert reply.sentence.startswith("The message cannot be read: "), what
            await assert_still_scores(founded)

    asyncio.run(main())


def test_too_many_readings_are_refused(tmp_path: Path) -> None:
    """One more reading than a request carries is refused; the limit itself is scored."""

    async def main() -> None:
        async with (
            bakery_alone(tmp_path / "trial") as founded,
            await founded.connect_device() as device,
        ):
            with pytest.raises(MutualEdgeError) as caught:
                await device.score(SENSOR, [1.0] * (READINGS_MAX + 1), deadline_s=PATIENCE_S)
            assert caught.value.code == "protocol.message.malformed"
            full = await device.score(SENSOR, [1.0] * READINGS_MAX, deadline_s=PATIENCE_S)
            assert len(full.scores) == READINGS_MAX

    asyncio.run(main())


def test_an_oversized_payload_is_refused_on_both_ends(tmp_path: Path) -> None:
    """Our client does not send it; a node refuses what another client sends; neither breaks."""

    async def main() -> None:
        async with bakery_alone(tmp_path / "trial") as founded:
            async with await device_bus(founded) as bus:
                with pytest.raises(UsageError) as unsent:
                    await bus.request(DEVICE_SERVICE, bytes(PAYLOAD_BYTES_MAX + 1), PATIENCE_S)
                assert unsent.value.code == "nats.payload.too-large"
                # The same client without its own check: some other program's.
                too_large, inbox = bytes(PAYLOAD_BYTES_MAX + 1), f"_INBOX.{DEVICE_USER}.foreign"
                answered = await bus._connection.subscribe(inbox)
                headers = {"Me-Version": "1"}
                await bus._connection.publish(DEVICE_SERVICE, too_large, inbox, headers)
                reply = await answered.next_msg(PATIENCE_S)
                assert (reply.headers or {})["Me-Refusal"] == "nats.payload.too-large"
            await assert_still_scores(founded)

    asyncio.run(main())


def test_a_partner_cannot_speak_as_a_device(tmp_path: Path) -> None:
    """Readings that come over the partners' subject are refused and leave no trace."""

    async def main() -> None:
        async with plant(tmp_path / "trial") as founded:
            await start_all(founded)
            login = PasswordLogin(user=NODE_USER, password=founded.told(HARBOUR).node_password)
            url = founded.client_url(HARBOUR)
            async with await connect(url, login, name="harbour", report=print) as partner:
                subject = partner_subject(BAKERY, PARTNER_VERB)
                forged = encode_message(reading())
                refused = parse_reply(await partner.request(subject, forged, PATIENCE_S))
                assert isinstance(refused, Refused)
                assert refused.code == "protocol.request.misplaced"
                garbage = parse_reply(await partner.request(subject, b"\xc1", PATIENCE_S))
                assert isinstance(garbage, Refused)
                assert garbage.code == "protocol.message.malformed"
            with founded.store(BAKERY) as store:
                assert not list(store.scan("device"))

    asyncio.run(main())


def reading() -> Reading:
    return Reading(
        device=SENSOR,
        invocation=InvocationId("0" * 32),
        readings=(41.7,),
        remaining_ns=Nanoseconds(1_000_000_000),
    )


def test_a_repeated_reading_has_one_answer(tmp_path: Path) -> None:
    """A device that did not hear the answer asks again: the same scores, one change of state."""

    async def main() -> None:
        async with bakery_alone(tmp_path / "trial") as founded, await device_bus(founded) as bus:
            once = await bus.request(DEVICE_SERVICE, encode_json(reading()), PATIENCE_S)
            with founded.store(BAKERY) as store:
                before = store.get("device", SENSOR)
            again = await bus.request(DEVICE_SERVICE, encode_json(reading()), PATIENCE_S)
            with founded.store(BAKERY) as store:
                assert store.get("device", SENSOR) == before
            assert once == again

    asyncio.run(main())


def test_a_wrong_device_password_is_refused(tmp_path: Path) -> None:
    """Who does not know the password learns that, and nothing else; others are undisturbed."""

    async def main() -> None:
        async with bakery_alone(tmp_path / "trial") as founded:
            with pytest.raises(UsageError) as caught:
                await connect_device(founded.client_url(BAKERY), "letmein")
            assert caught.value.code == "nats.connection.unauthorised"
            assert "letmein" not in caught.value.sentence
            await assert_still_scores(founded)

    asyncio.run(main())


def test_a_second_process_cannot_use_the_store(tmp_path: Path) -> None:
    """The node that runs keeps its store; the second one says so and ends with 75."""

    async def main() -> None:
        async with bakery_alone(tmp_path / "trial") as founded:
            second = await asyncio.to_thread(mutualedge, "node", founded.own(BAKERY))
            assert (second.status, second.code) == (75, "store.file.in-use")
            await assert_still_scores(founded)

    asyncio.run(main())


def founded_folder(folder: Path, name: EnterpriseId) -> Path:
    found_consortium(founding(lease_ms=4_000), folder)
    return folder / name


def test_an_occupied_port_is_named(tmp_path: Path) -> None:
    """The hub says that its port is taken; once it is free the hub starts."""
    own = founded_folder(tmp_path / "trial", HUB)
    port = read_options(own, HubOptions).network.leaf_port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        refused = mutualedge("hub", own)
        assert (refused.status, refused.code) == (75, "nats.server.port-taken")
        assert str(port) in refused.err

    async def main() -> None:
        async with plant(tmp_path / "again") as founded:
            await founded.start(HUB)
            assert await founded.stop(HUB) == 0

    asyncio.run(main())


def start_refused(own: Path, *, status: int, code: str) -> None:
    """A start must end at once with this status and this code."""
    ended: Ended = mutualedge("node", own)
    assert (ended.status, ended.code) == (status, code)


def test_a_process_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Secrets that leaked are not used; the sentence says how to close the file."""
    own = founded_folder(tmp_path / "trial", BAKERY)
    (own / PROCESS_FILE).chmod(0o640)
    start_refused(own, status=64, code="app.file.exposed")
    assert f"chmod 600 {own / PROCESS_FILE}" in mutualedge("node", own).err


def test_a_missing_process_file_is_named(tmp_path: Path) -> None:
    """An empty folder is not a node."""
    start_refused(tmp_path, status=64, code="app.file.missing")


def test_a_process_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A hub's file does not make a node, and half a file makes nothing."""
    own = founded_folder(tmp_path / "trial", HUB)
    start_refused(own, status=64, code="app.file.other-process")
    raw = (own / PROCESS_FILE).read_bytes()
    (own / PROCESS_FILE).write_bytes(raw[: len(raw) // 2])
    start_refused(own, status=64, code="app.file.malformed")


def test_a_foreign_store_is_refused_unchanged(tmp_path: Path) -> None:
    """What is no database of ours is neither used nor overwritten."""
    own = founded_folder(tmp_path / "trial", BAKERY)
    foreign = b"the shift plan of last week\n" * 1000
    (own / STORE_FILE).write_bytes(foreign)
    start_refused(own, status=70, code="store.file.damaged")
    assert (own / STORE_FILE).read_bytes() == foreign


def used_store(folder: Path) -> Path:
    """Return the store of a node that scored a reading and was stopped in order."""

    async def main() -> Path:
        async with bakery_alone(folder) as founded:
            await assert_still_scores(founded)
            await founded.stop(BAKERY)
            return founded.own(BAKERY) / STORE_FILE

    return asyncio.run(main())


def test_damaged_pages_stop_the_node_with_a_sentence(tmp_path: Path) -> None:
    """Pages that cannot be read are not guessed: the node stops until a backup is restored."""
    store = used_store(tmp_path / "trial")
    page_bytes = 4096
    with store.open("r+b") as file:
        file.seek(page_bytes)
        file.write(os.urandom(store.stat().st_size - page_bytes))
    start_refused(store.parent, status=70, code="store.file.damaged")


def test_a_damaged_row_stops_the_node_with_a_sentence(tmp_path: Path) -> None:
    """A row that says nothing we can read is not skipped: it may be somebody's money."""
    store = used_store(tmp_path / "trial")
    with closing(sqlite3.connect(store)) as database, database:
        changed = database.execute("UPDATE row SET value = x'c1' WHERE bucket = 'device'")
        assert changed.rowcount == 1
    start_refused(store.parent, status=70, code="store.row.unreadable")


def test_a_trust_file_that_nobody_signed_is_refused(tmp_path: Path) -> None:
    """One changed character in what the members signed, and the node does not start."""
    own = founded_folder(tmp_path / "trial", BAKERY)
    raw = msgspec.json.decode((own / PROCESS_FILE).read_bytes(), type=dict[str, msgspec.Raw])
    trust = msgspec.json.decode(raw["trust"], type=dict[str, msgspec.Raw])
    payload = msgspec.json.decode(trust["payload"], type=str)
    trust["payload"] = msgspec.Raw(msgspec.json.encode(payload[:40] + "AAAA" + payload[44:]))
    raw["trust"] = msgspec.Raw(msgspec.json.encode(trust))
    (own / PROCESS_FILE).write_bytes(msgspec.json.encode(raw))
    ended = mutualedge("node", own)
    assert ended.status == 70
    assert ended.code.startswith(("identity.", "signing."))
