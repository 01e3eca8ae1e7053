import asyncio
from pathlib import Path

import pytest

from mutualedge.app import founding as founding_module
from mutualedge.app.founding import HUB
from mutualedge.app.measurement import runner_measurement
from mutualedge.model import Digest
from tests.e2e.command_line import Ended, mutualedge
from tests.e2e.plant import BAKERY, HARBOUR, plant

pytestmark = pytest.mark.e2e

BEFORE = Digest("cd" * 32)
MEMBERS = (BAKERY, HARBOUR)


async def command(*arguments: object) -> Ended:
    ended = await asyncio.to_thread(mutualedge, *arguments)
    assert ended.err == ""
    return ended


def test_members_adopt_the_release_they_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Founded with another one, no runner runs; approved by all and renewed, they lend again."""
    monkeypatch.setattr(founding_module, "runner_measurement", lambda: BEFORE)

    async def main() -> None:
        async with plant(tmp_path / "trial") as founded:
            await founded.start(HUB)
            await asyncio.gather(*map(founded.start, MEMBERS))
            ended = await founded.wait_note(BAKERY, "runner.ended")
            assert ended["status"] == "78"
            assert BEFORE in str(ended["words"])
            assert runner_measurement() in str(ended["words"])
            first = await command("approve", founded.own(BAKERY), "--release", "--yes")
            assert "1 more must" in first.out
            listed = await command("approve", founded.own(HARBOUR))
            assert f"runner measured {runner_measurement()}; approved by {BAKERY}" in listed.out
            last = await command("approve", founded.own(HARBOUR), "--release", "--yes")
            assert "believed from now on" in last.out
            for name in MEMBERS:
                await command("renew", founded.own(name))
                await founded.stop(name)
            await asyncio.gather(*map(founded.start, MEMBERS))
            await founded.wait_note(BAKERY, "session.opened")

    asyncio.run(main())
