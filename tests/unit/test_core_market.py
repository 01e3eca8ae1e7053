"""Agreements: what one may say, what it costs, and whose signatures make it a lease."""

import msgspec
import pytest

from mutualedge.errors import PeerError
from mutualedge.market import (
    CALLS_MAX,
    WINDOW_CALLS_MAX,
    Agreement,
    Commitment,
    commitment_of,
    verify_agreement,
)
from mutualedge.model import NS_PER_MS, EnterpriseId, LeaseId, NodeId, format_instant
from mutualedge.signing import Envelope, canonical_bytes, parse_canonical, sign_record
from tests.unit.ledger_world import (
    ACME,
    BOLT,
    START_NS,
    consortium,
    settlement_key,
    sign_terms,
    terms,
)


def changed(**changes: object) -> bytes:
    fields = msgspec.json.decode(canonical_bytes(terms()), type=dict[str, object])
    return msgspec.json.encode(fields | changes, order="sorted")


def code_of(envelope: Envelope) -> str:
    with pytest.raises(PeerError) as refused:
        verify_agreement(envelope, consortium())
    return refused.value.code


def test_both_signatures_make_a_lease() -> None:
    """The lease's identity is the digest of the terms, whoever signed first."""
    envelope = sign_terms(terms())
    lease, agreed = verify_agreement(envelope, consortium())
    assert agreed == terms()
    swapped = msgspec.structs.replace(envelope, signatures=envelope.signatures[::-1])
    assert verify_agreement(swapped, consortium()) == (lease, agreed)
    assert str(lease) == str(envelope.payload_digest)


@pytest.mark.parametrize("signer", [ACME, BOLT, "cord"])
def test_one_signature_makes_no_lease(signer: str) -> None:
    """A proposal is not an agreement, and nobody else signs for a party."""
    assert code_of(sign_record(terms(), settlement_key(signer))) == "signing.envelope.unsigned"


def test_a_party_must_be_a_member() -> None:
    """An agreement with a stranger has no key to check."""
    agreed = msgspec.structs.replace(terms(), provider=EnterpriseId("nobody"))
    assert code_of(sign_terms(agreed)) == "identity.member.unknown"


def test_the_node_must_be_the_providers() -> None:
    """A provider cannot lease out another member's node."""
    agreed = msgspec.structs.replace(terms(), node=NodeId("cord-node"))
    assert code_of(sign_terms(agreed)) == "market.agreement.node"


@pytest.mark.parametrize(
    "changes",
    [
        {"provider": "acme"},
        {"ends": format_instant(START_NS)},
        {"window_calls": WINDOW_CALLS_MAX + 1},
        {"window_calls": 0},
        {"budget_ns": 0},
        {"period_ns": 0},
        {"price_microcredits": -1},
        {"ends": "tomorrow"},
        {"assurance": "confidential"},
        {"period_ns": 60_000_000_000 // CALLS_MAX - 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_nonsense_terms_are_refused_on_reading(changes: dict[str, object]) -> None:
    """What arithmetic or common sense refuses never becomes a value."""
    with pytest.raises(PeerError) as refused:
        parse_canonical(changed(**changes), Agreement)
    assert refused.value.code == "signing.json.malformed"


def test_a_call_is_charged_in_whole_milliseconds() -> None:
    """The budget is rounded up once, then multiplied by the price."""
    for budget_ns, rs_ms in ((1, 1), (NS_PER_MS, 1), (NS_PER_MS + 1, 2), (10 * NS_PER_MS, 10)):
        agreed = msgspec.structs.replace(terms(price=7), budget_ns=budget_ns)
        assert agreed.call_rs_ms == rs_ms
        assert agreed.call_microcredits == 7 * rs_ms


def test_the_sums_of_a_lease_follow_from_its_window() -> None:
    """One call a period, the first at the start: 3001 in a minute at 20 ms; W is 64 of them."""
    agreed = terms(price=3)
    assert agreed.calls_max == 3001
    assert agreed.cost_max_microcredits == 3001 * 30
    assert agreed.exposure_microcredits == 64 * 30
    assert agreed.ends_ns - agreed.starts_ns == 60_000 * NS_PER_MS
    assert agreed.settles_until_ns - agreed.ends_ns == 120_000 * NS_PER_MS


def test_two_equal_leases_are_two() -> None:
    """The nonce sets apart what is meant twice."""
    first, again, second = (sign_terms(terms(nonce=nonce)) for nonce in (0, 0, 1))
    assert first.payload_digest == again.payload_digest
    assert first.payload_digest != second.payload_digest


def test_nobody_commits_to_pay_itself() -> None:
    """A member signs for both parties then, and an account cannot owe itself."""
    told = canonical_bytes(commitment_of(LeaseId("ab" * 32), terms()))
    raw = told.replace(b'"provider":"bolt"', b'"provider":"acme"')
    with pytest.raises(PeerError) as refused:
        parse_canonical(raw, Commitment)
    assert refused.value.code == "signing.json.malformed"
