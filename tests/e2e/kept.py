"""A consortium that `mutualedge up` keeps running, as its operator and its processes see it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from mutualedge.adapters.linux import is_locked
from mutualedge.app.devices import DeviceClient, connect_device
from mutualedge.app.founding import HUB, found_consortium
from mutualedge.app.operation.queries import (
    SUPERVISOR_LOCK,
    Child,
    process_folders,
    running_supervisor,
)
from mutualedge.app.operation.supervisor import SUPERVISOR_EVENTS
from mutualedge.model import EnterpriseId
from tests.e2e.command_line import Ended, mutualedge
from tests.e2e.plant import (
    BAKERY,
    HARBOUR,
    READY_TIMEOUT_S,
    Note,
    Plant,
    command_of,
    descendants,
    founding,
)

SUPERVISOR = EnterpriseId("supervisor")
NAMES = (HUB, BAKERY, HARBOUR)


class KeptPlant(Plant):
    """The processes of one consortium below the product's own supervisor."""

    async def up(self) -> Ended:
        """Say `mutualedge up` and return how that ended."""
        return await asyncio.to_thread(mutualedge, "up", self.folder)

    async def down(self) -> None:
        ended = await asyncio.to_thread(mutualedge, "down", self.folder)
        assert ended.status == 0, ended

    def is_supervised(self) -> bool:
        return is_locked(self.folder / SUPERVISOR_LOCK)

    def child(self, name: EnterpriseId) -> Child:
        """Return what the supervisor knows of a process."""
        told = running_supervisor(self.folder)
        return Child() if told is None else told.children[name]

    def alive(self) -> Iterator[tuple[str, int]]:
        """Yield role and number of every process that runs, the supervisor first."""
        told = running_supervisor(self.folder)
        if told is None:
            return
        yield SUPERVISOR, told.pid
        names = {str(own): name for name, own in process_folders(self.folder).items()}
        owner = ""
        for process_id, command in descendants(told.pid):
            # A process's own command line ends with its folder; what it starts comes after it.
            folder = command.split()[-1]
            if folder in names:
                owner = names[folder]
                yield owner, process_id
            elif role := role_of(command):
                yield f"{owner} {role}", process_id

    def process_id(self, role: str) -> int:
        """Return the number of the newest process in this role."""
        return [process_id for each, process_id in self.alive() if each == role][-1]

    async def wait_restarted(self, name: EnterpriseId, before: int) -> None:
        """Return once a process runs and answers that was started after this many starts."""
        ready = self.own(name) / "ready.json"
        await self.until(
            lambda: self.child(name).starts > before and ready.exists(), READY_TIMEOUT_S
        )

    def ends(self) -> list[Note]:
        """Return how processes ended, as far back as the supervisor keeps it."""
        paths = [self.folder / f"{SUPERVISOR_EVENTS}.1", self.folder / SUPERVISOR_EVENTS]
        lines = [line for path in paths if path.exists() for line in path.read_bytes().splitlines()]
        notes = [msgspec.json.decode(line, type=Note) for line in lines]
        return [note for note in notes if note["event"] == "process.ended"]

    async def connect_device(self, name: EnterpriseId = BAKERY) -> DeviceClient:
        """Connect where devices find a node before and after each of its restarts."""
        port = self.options(name).network.client_port
        return await connect_device(f"nats://127.0.0.1:{port}", self.told(name).device_password)

    async def kill_everything(self) -> None:
        """Kill the supervisor, and return once all that dies with it is gone."""
        below = [process_id for _, process_id in self.alive()]
        if below:
            os.kill(below[0], signal.SIGKILL)
        await self.until(lambda: not any(map(command_of, below)), READY_TIMEOUT_S)


def role_of(command: str) -> str:
    """Return what a process below a node or the hub is; empty for a copy that is yet to begin."""
    programs = {"nats-server": "nats-server", "runner_process": "runner"}
    return next((role for program, role in programs.items() if program in command), "")


@asynccontextmanager
async def kept_plant(folder: Path, *, lease_ms: int) -> AsyncIterator[KeptPlant]:
    """Found a consortium to be brought up; whatever still runs at the end is killed."""
    found_consortium(replace(founding(lease_ms), are_ports_fixed=True), folder)
    founded = KeptPlant(folder)
    try:
        yield founded
    finally:
        await founded.kill_everything()
