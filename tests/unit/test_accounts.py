"""Leaves to be called, as the hub takes them when it starts: a bad one costs its two ends only."""

from mutualedge.adapters.nats import Nkey, Role
from mutualedge.app.accounts import account_key, account_tokens, open_door, valid_doors
from mutualedge.identity import HUB
from mutualedge.model import NS_PER_S, EnterpriseId
from tests.unit.ledger_world import NAMES, consortium
from tests.unit.test_enrolment import account_seed

NOW_NS = 1_800_000_000 * NS_PER_S
FIRST, SECOND, THIRD = NAMES[:3]


NOBODY = EnterpriseId("nobody")


def door(exporter: EnterpriseId, importer: EnterpriseId, at_ns: int = NOW_NS) -> str:
    account = account_key(account_seed(exporter))
    return open_door(account, consortium().accounts[importer], at_ns)


def test_only_leaves_that_count_open_a_door() -> None:
    """What cannot be read, has expired, is for another account or of a stranger is left out."""
    good = door(FIRST, HUB)
    given = {
        (FIRST, HUB): good,
        (FIRST, SECOND): "garbage",
        (SECOND, FIRST): door(SECOND, FIRST, 0),
        (THIRD, FIRST): door(THIRD, SECOND),
        (FIRST, NOBODY): door(FIRST, SECOND),
        (NOBODY, FIRST): "x",
    }
    found = valid_doors(given, consortium(), NOW_NS)
    assert found == {(FIRST, HUB): good}
    tokens = account_tokens(Nkey(Role.OPERATOR, b"o" * 32), consortium(), found, NOW_NS)
    assert len(tokens) == 1 + len(NAMES)
