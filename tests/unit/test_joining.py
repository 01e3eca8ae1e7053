"""What a newcomer asks of the office, where it was cut off and begins again."""

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from mutualedge.app.enterprise import EnterpriseSecrets
from mutualedge.app.membership import joining, orders
from mutualedge.app.membership.desk import Desk
from mutualedge.app.membership.invitation import Invitation
from mutualedge.identity import Consortium, parse_trust, verify_successor, with_member
from mutualedge.model import EnterpriseId, format_instant
from mutualedge.protocol import (
    Application,
    Apply,
    AskConsortium,
    ConsortiumShown,
    Credentials,
    Progress,
    Renew,
    Renewed,
    RenewOrder,
    Request,
)
from mutualedge.signing import Entropy, parse_canonical, sign_record
from tests.simulation.founding import RUNNER_MEASUREMENT, found, successor

R = TypeVar("R")
ALFA, BRAVO, CHARLIE, NEWCOMER = map(EnterpriseId, ("alfa", "bravo", "charlie", "newcomer"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Office(Desk):
    """The hub's office as a newcomer meets it; of a member it keeps no application."""

    versions: list[Consortium]
    doors: set[EnterpriseId] = field(default_factory=set)

    async def ask(self, request: Request, kind: type[R]) -> R:
        reply = self._reply(request)
        assert isinstance(reply, kind)
        return reply

    def _reply(self, request: Request) -> object:
        first, last = self.versions[0], self.versions[-1]
        match request:
            case AskConsortium():
                return ConsortiumShown(founding=first.envelope, trust=last.envelope)
            case Apply(application=application):
                if not last.has(NEWCOMER):
                    self.doors.clear()
                    self.doors.update(parse_canonical(application.payload, Application).activations)
                return Progress(approved=(), needed=3, is_admitted=last.has(NEWCOMER))
            case Renew(order=order):
                self.doors.update(parse_canonical(order.payload, RenewOrder).activations)
                told = Credentials(certificate_pem="", platform=b"", collateral=b"")
                return Renewed(credentials=told)
        raise AssertionError(request)


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> joining._Joining:
    """A newcomer before its first question."""
    for module in (joining, orders):
        monkeypatch.setattr(module, "runner_measurement", lambda: RUNNER_MEASUREMENT)
    founding = found((ALFA, BRAVO), (CHARLIE,)).consortium
    invitation = Invitation(
        consortium=EnterpriseId("simulated"),
        enterprise=NEWCOMER,
        founding=founding.digest,
        host="hub",
        leaf_port=1,
        office_port=2,
        root_pem="",
        secret=b"s" * 32,
        expires=format_instant(2 * 10**18),
    )
    return joining._Joining(
        invitation=invitation,
        desk=Office(host="hub", port=2, root_pem="", versions=[founding]),
        own=tmp_path,
        secrets=EnterpriseSecrets.draw(NEWCOMER, Entropy(os.urandom(32))),
        say=lambda _: None,
        timeout_s=1,
    )


def test_who_joined_while_an_application_was_cut_off_may_call_the_newcomer(
    begun: joining._Joining,
) -> None:
    """Killed after it applied, and admitted after somebody else was: the second try makes up."""
    office = begun.desk
    assert isinstance(office, Office)
    asyncio.run(joining._apply(begun))
    third = successor(office.versions[-1], ALFA, BRAVO, CHARLIE)
    office.versions.append(verify_successor(third, office.versions[-1]))
    fourth = with_member(office.versions[-1], begun.secrets.card())
    office.versions.append(parse_trust(sign_record(fourth)))
    _, opened = asyncio.run(joining._apply(begun))
    asyncio.run(joining._credentials(begun, office.versions[-1], opened))
    assert {ALFA, BRAVO, CHARLIE} <= office.doors


def test_nobody_who_was_let_in_is_let_in_again(begun: joining._Joining) -> None:
    """Each new leave has the hub start its bus again, for everybody."""
    office = begun.desk
    assert isinstance(office, Office)
    _, opened = asyncio.run(joining._apply(begun))
    let_in = set(office.doors)
    office.doors.clear()
    asyncio.run(joining._credentials(begun, office.versions[-1], opened))
    assert let_in >= {ALFA, BRAVO}
    assert office.doors == set()
