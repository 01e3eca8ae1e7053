"""What a member that leaves is told while it waits."""

import asyncio
from pathlib import Path

import pytest

from mutualedge.app.founding import found_consortium
from mutualedge.app.membership import leaving
from mutualedge.app.membership.leaving import Unsettled
from mutualedge.app.membership.site import member_site
from tests.e2e.plant import BAKERY, founding


def test_a_hub_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is settled without it; whoever waits must not look for the reason elsewhere."""
    found_consortium(founding(lease_ms=4_000), tmp_path / "trial")
    member = member_site(tmp_path / "trial" / BAKERY)
    waits = [Unsettled(leases=1, commands=0, ends=""), Unsettled(leases=0, commands=0, ends="")]
    monkeypatch.setattr(leaving, "unsettled", lambda _own: waits.pop(0))
    monkeypatch.setattr(leaving, "POLL_S", 0)
    said: list[str] = []
    asyncio.run(leaving._wait_settled(member, said.append, 60))
    assert said[0].startswith("Not settled yet: leases 1")
    assert "does not answer" in said[1]
    assert len(said) == 2
