"""Damaged and hostile documents: refused one by one, alike on every replica, never fatal."""

import msgspec
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
from mutualedge.model import EnterpriseId, LeaseId, Microcredits
from mutualedge.signing import Envelope, countersign, parse_canonical
from tests.unit.ledger_world import (
    ACME,
    BOLT,
    METER,
    NAMES,
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
    for signer in (settlement_key(ACME), settlement_key(BOLT), METER):
        bare = countersign(bare, signer)
    return bare


many = st.lists(documents(), max_size=3).map(tuple)
actions: st.SearchStrategy[Action] = st.one_of(
    st.builds(OpenLease, commitment=documents()),
    st.builds(Settle, statement=documents()),
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
