"""The shop floors: devices report when their turn comes, and ask again what got no result."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from mutualedge.app.demo.day import Turn
from mutualedge.app.demo.stock import Device
from mutualedge.app.demo.tally import Asked, Outcome, Tally, outcome_of_refusal
from mutualedge.app.devices import DeviceClient, connect_device
from mutualedge.errors import MutualEdgeError, RefusedByPolicy
from mutualedge.model import EnterpriseId

DEADLINE_S = 0.12
"""Five jobs of a node, one after the other, and a little; a partner needs 70 ms at most."""

NODE_OFF = "device.node.off"
"""Our code for a device that finds nobody to send its readings to."""

AGAIN_S = 0.1
"""Between two tries of what was refused, after the day: no peak is left to wait for."""

OVERTIME_TRIES_MAX = 100
"""Ten seconds; a node that has no room for one batch in all that time has none."""


class Floor:
    """The devices of one enterprise and their connection to its node."""

    def __init__(self, name: EnterpriseId, devices: Sequence[Device], tally: Tally) -> None:
        """Take who reports; ``connect`` comes first."""
        self._name = name
        self._devices = devices
        self._tally = tally
        self._client: DeviceClient | None = None
        self._connection = AsyncExitStack()
        self._freed = asyncio.Event()
        self._turns = 0

    async def connect(self, url: str, password: str) -> None:
        """Connect to the node.

        Raises:
            Unreachable: Nothing answers there.
        """
        client = await connect_device(url, password)
        self._client = await self._connection.enter_async_context(client)

    async def disconnect(self) -> None:
        """Let go of the node; devices that report find nobody."""
        self._client = None
        await self._connection.aclose()

    async def work(self, turns: Sequence[Turn], since_s: float) -> None:
        """Report at each turn; ``since_s`` is when the day begins on the loop's clock."""
        clock_s = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as reporting:
            for turn in turns:
                await asyncio.sleep(max(0.0, since_s + turn.at_s - clock_s()))
                device = await self._next_device()
                reporting.create_task(self._report(device, turn.hour))

    async def _next_device(self) -> Device:
        """Return who reports next: a file's device before synthetic ones, who waited longest.

        Somebody always has readings left: synthetic devices hold more than their share.
        """
        while not (
            idle := [each for each in self._devices if not each.is_busy and not each.is_done]
        ):
            self._freed.clear()
            await self._freed.wait()
        device = min(idle, key=lambda each: (each.is_synthetic, each.last_turn))
        self._turns += 1
        device.last_turn, device.is_busy = self._turns, True
        return device

    @property
    def has_backlog(self) -> bool:
        """Whether readings of a file that the day had room for have no result."""
        return any(not each.is_synthetic and not each.is_done for each in self._devices)

    async def catch_up(self, hour: int) -> None:
        """Send again what was refused of the files, so that their results are complete."""
        for device in self._devices:
            for _ in range(OVERTIME_TRIES_MAX):
                if device.is_synthetic or device.is_done:
                    break
                device.is_busy = True
                await self._report(device, hour)
                if not device.is_done:
                    await asyncio.sleep(AGAIN_S)

    async def _report(self, device: Device, hour: int) -> None:
        try:
            self._tally.add(await self._ask(device, hour))
        finally:
            device.is_busy = False
            self._freed.set()

    async def _ask(self, device: Device, hour: int) -> Asked:
        started_s = time.perf_counter()  # the loop's own clock has milliseconds only
        outcome, code, placed = Outcome.UNANSWERED, NODE_OFF, ""
        batch = device.next_batch()
        if self._client is not None:
            try:
                scored = await self._client.score(
                    device.name, batch.values, deadline_s=DEADLINE_S, invocation=batch.invocation
                )
            except RefusedByPolicy as refused:
                code, outcome = refused.code, outcome_of_refusal(refused.code)
            except MutualEdgeError as error:
                code = error.code
            else:
                code, placed = "", scored.placed
                outcome = Outcome.LOCAL if placed == self._name else Outcome.OFFLOADED
                device.take(scored.scores, scored.flags)
        latency_s = time.perf_counter() - started_s
        return Asked(
            enterprise=self._name,
            invocation=batch.invocation,
            hour=hour,
            outcome=outcome,
            latency_s=latency_s,
            is_late=bool(placed) and latency_s > DEADLINE_S,
            placed=placed,
            code=code,
        )
