"""Damaged and hostile documents: refused one by one, alike on every replica, never fatal."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutualedge.ledger import (
    Action,
    Block,
    Claim,
    Close,
    Contradict,
    Ledger,
    OpenLease,
    SetLimit,
    Settle,
)
from mutualedge.model import EnterpriseId, LeaseId, Microcredits, format_instant
from mutualedge.signing import Envelope, canonical_bytes, countersign, parse_canonical
from tests.unit.ledger_world import (
    ACME,
    BOLT,
    LEASE_NS,
    METER,
    NAMES,
    START_NS,
    agreement,
    batch,
    consortium,
    ended_world,
    opening,
    settlement_key,
    statement,
    voucher,
)

LEASE = LeaseId(agreement().payload_digest)
GOOD = (
    opening(agreement()).commitment,
    statement(LEASE, 600),
    voucher(LEASE, 600),
    batch(LEASE, 630),
)


@st.composite
def documents(draw: st.DrawFn) -> Envelope:
    """Draw a good document, perhaps damaged in a byte, swapped for noise, or signed anew."""
    good = draw(st.sampled_from(GOOD))
    payload = bytearray(good.payload)
    match draw(st.sampled_from(("good", "bit", "noise", "resigned"))):
        case "bit":
            payload[draw(st.integers(0, len(payload) - 1))] ^= 1 << draw(st.integers(0, 7))
        case "noise":
            payload = bytearray(draw(st.binary(max_size=200)))
        case "resigned":
            payload[draw(st.integers(0, len(payload) - 1))] ^= 1 << draw(st.integers(0, 7))
            return resigned(msgspec.structs.replace(good, payload=bytes(payload)))
    return msgspec.structs.replace(good, payload=bytes(payload))


def resigned(envelope: Envelope) -> Envelope:
    """Return the envelope signed by everybody who could, so that only its content is wrong."""
    bare = msgspec.structs.replace(envelope, signatures=())
    for signer in (*map(settlement_key, NAMES), METER):
        bare = countersign(bare, signer)
    return bare


SOON = format_instant(START_NS + 2 * LEASE_NS)
EXTREMES = st.sampled_from((0, 1, 600, 2**53 - 1, 2**64))
INSTANTS = st.sampled_from(
    (
        "0000-01-01T00:00:00.000Z",
        "0001-01-01T00:00:00.000Z",
        "2026-02-31T08:00:00.000Z",
        SOON,
        "9999-12-31T23:59:59.999Z",
    )
)


@st.composite
def extreme_documents(draw: st.DrawFn, among: tuple[Envelope, ...] = GOOD) -> Envelope:
    """Draw a document of numbers and names that no sane member signs, signed by everybody."""
    good = draw(st.sampled_from(among))
    fields = msgspec.json.decode(good.payload, type=dict[str, object])
    for name, value in fields.items():
        if isinstance(value, int):
            fields[name] = draw(st.one_of(st.just(value), EXTREMES))
    if "ends" in fields:
        fields |= {name: draw(st.sampled_from(NAMES)) for name in ("requester", "provider")}
        fields |= {"ends": draw(INSTANTS), "lease": draw(st.sampled_from((LEASE, "ab" * 32)))}
    return resigned(msgspec.structs.replace(good, payload=canonical_bytes(fields)))


evidence = st.one_of(documents(), extreme_documents())
many = st.lists(evidence, max_size=3).map(tuple)
actions: st.SearchStrategy[Action] = st.one_of(
    st.builds(OpenLease, commitment=evidence),
    st.builds(OpenLease, commitment=extreme_documents(GOOD[:1])),
    st.builds(Settle, statement=evidence),
    st.builds(Claim, lease=st.just(LEASE), vouchers=many, batches=many),
    st.builds(Close, lease=st.just(LEASE), vouchers=many),
    st.just(Contradict(lease=LEASE, reason="no")),
    st.builds(
        SetLimit,
        debtor=st.sampled_from((*NAMES, EnterpriseId("evil"))),
        limit_microcredits=st.integers(0, 10_000).map(Microcredits),
    ),
)


@given(asked=st.lists(st.tuples(st.sampled_from(NAMES), actions), max_size=8))
def test_no_document_poisons_a_block(asked: list[tuple[EnterpriseId, Action]]) -> None:
    """Every command is answered, followers agree, and a last good command takes effect."""
    world, _ = ended_world()
    last = SetLimit(debtor=ACME, limit_microcredits=Microcredits(77))
    commands = [world.command(name, action) for name, action in (*asked, (BOLT, last))]
    outcomes = world.run(*commands)
    assert (len(outcomes), outcomes[-1].code) == (len(commands), "done")
    follower = Ledger(consortium(), ())
    for block in world.blocks:
        follower.apply(block, world.now_ns)
        assert parse_canonical(block.payload, Block).height == follower.height
    assert follower.state_digest == world.ledger.state_digest
    assert world.ledger.position(BOLT, ACME).limit_microcredits == 77


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"provider": ACME}, "signing.json.malformed"),
        ({"dispute_window_ms": 2**53 - 1}, "ledger.lease.dispute-window"),
        ({"ends": "9999-12-31T23:59:59.999Z"}, "ledger.lease.too-far"),
        ({"opens_by": "0000-01-01T00:00:00.000Z"}, "model.instant.malformed"),
    ],
    ids=["oneself", "window", "end", "year"],
)
def test_one_member_cannot_stop_the_writer(change: dict[str, object], code: str) -> None:
    """A commitment signed by whoever it names is a refusal at most, and the next command works."""
    world, _ = ended_world()
    fields = msgspec.json.decode(GOOD[0].payload, type=dict[str, object])
    payload = canonical_bytes(
        fields | {"lease": "ab" * 32, "opens_by": SOON, "ends": SOON} | change
    )
    action = OpenLease(commitment=resigned(msgspec.structs.replace(GOOD[0], payload=payload)))
    assert world.ask(ACME, action) == code
    limit = SetLimit(debtor=ACME, limit_microcredits=Microcredits(77))
    assert world.ask(BOLT, limit) == "done"
