import asyncio
from pathlib import Path

import pytest

from mutualedge.adapters.nats import NatsClient, PasswordLogin, connect
from mutualedge.app.bus import DEVICE_SERVICE
from mutualedge.app.devices import DEVICE_USER, new_invocation
from mutualedge.app.processes import EVENTS_FILE
from mutualedge.errors import MutualEdgeError, RefusedByPolicy
from mutualedge.model import NS_PER_S, DeviceId, Nanoseconds
from mutualedge.protocol import Reading, ReadingScored, encode_json, parse_json_reply
from tests.e2e.command_line import mutualedge
from tests.e2e.conftest import KeptDemo
from tests.e2e.plant import BAKERY, HARBOUR, Plant, plant, start_all

pytestmark = pytest.mark.e2e

TIMINGS = frozenset({"prioritised", "best-effort"})
"""Nothing here may say `enforced`: no process can promise that for a whole machine."""

JOB_BUDGET_MS = 1_000
SHORT_S = 0.8
LONG_S = 3.0
FALSE_PROMISES = (b"enforced", b"guarantee", b"real-time", b"confidential")


async def ask(bus: NatsClient, deadline_s: float) -> bytes:
    """Return what the node says about one reading, as it stands on the wire."""
    reading = Reading(
        device=DeviceId("oven-1"),
        invocation=new_invocation(),
        readings=(41.7,),
        remaining_ns=Nanoseconds(round(deadline_s * NS_PER_S)),
    )
    return await bus.request(DEVICE_SERVICE, encode_json(reading), deadline_s + 2)


async def wait_placed(bus: NatsClient, deadline_s: float, placed: str) -> bytes:
    """Return the first result that this enterprise computed."""
    async with asyncio.timeout(60):
        while True:
            try:
                raw = await ask(bus, deadline_s)
            except MutualEdgeError:
                continue
            reply = parse_json_reply(raw)
            if isinstance(reply, ReadingScored) and reply.placed == placed:
                return raw
            await asyncio.sleep(0.1)


async def device_bus(founded: Plant) -> NatsClient:
    login = PasswordLogin(user=DEVICE_USER, password=founded.told(BAKERY).device_password)
    return await connect(founded.client_url(BAKERY), login, name="device", report=print)


def test_every_result_says_what_it_can_vouch_for(tmp_path: Path) -> None:
    """A result names place, assurance and timing, and promises nothing that nobody keeps."""

    async def main() -> None:
        async with plant(tmp_path / "trial", lease_ms=30_000) as founded:
            founded.reserve(BAKERY, JOB_BUDGET_MS)
            await start_all(founded)
            node_timing = str((await founded.wait_note(BAKERY, "runner.spawned"))["timing"])
            async with await device_bus(founded) as bus:
                own = await wait_placed(bus, LONG_S, BAKERY)
                borrowed = await wait_placed(bus, SHORT_S, HARBOUR)
            assert node_timing in TIMINGS
            assert_says(own, assurance="own", timing=node_timing)
            assert_says(borrowed, assurance="simulated", timing="best-effort")
            for name in (BAKERY, HARBOUR):
                events = (founded.own(name) / EVENTS_FILE).read_bytes()
                assert not [each for each in FALSE_PROMISES if each in events]

    asyncio.run(main())


def assert_says(raw: bytes, *, assurance: str, timing: str) -> None:
    scored = parse_json_reply(raw)
    assert isinstance(scored, ReadingScored)
    assert (scored.assurance, scored.timing) == (assurance, timing)
    assert not [each for each in FALSE_PROMISES if each in raw]


def test_a_guarantee_is_never_borrowed(tmp_path: Path) -> None:
    """Guaranteed work that has no room at home is refused, not sent where it may be late."""

    async def main() -> str:
        async with plant(tmp_path / "trial", lease_ms=30_000) as founded:
            founded.fill(BAKERY)
            await start_all(founded)
            async with await device_bus(founded) as bus, await founded.connect_device() as device:
                await wait_placed(bus, SHORT_S, HARBOUR)
                with pytest.raises(RefusedByPolicy) as refused:
                    await device.score(
                        DeviceId("oven-2"), [41.7], deadline_s=SHORT_S, guaranteed=True
                    )
                return refused.value.code

    assert asyncio.run(main()) in {"node.timing.best-effort", "admission.guarantee.no-compensation"}


def test_the_rehearsal_states_its_assurance(demo: KeptDemo) -> None:
    """The verdict says `simulated`, and no line of the audit claims more."""
    audit = mutualedge("audit", "verify", demo.bundle)
    assert "assurance: simulated" in audit.out
    assert not [each for each in FALSE_PROMISES if each in audit.out.encode()]
    assert not [each for each in FALSE_PROMISES if each in demo.told.out.encode()]
