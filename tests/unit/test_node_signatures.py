"""What a peer writes beside its signature: we never take it for ours, and keep none of it."""

import msgspec
import pytest

from mutualedge.audit.envelopes import check_signed_by_all
from mutualedge.ledger import LeaseStatus
from mutualedge.model import NS_PER_MS, KeyId
from mutualedge.node.leases import HeldLease, LeaseRow, MeterAccount, MeterRow
from mutualedge.protocol import (
    AskOffer,
    AskStatement,
    LeaseSigned,
    ProposeLease,
    Reply,
    SessionOpening,
    StatementSigned,
    VoucherSigned,
)
from mutualedge.signing import Envelope, Signature, parse_canonical
from tests.simulation.founding import keys_of
from tests.unit.node_world import (
    CANDY,
    FORGE,
    GRACE_MS,
    WINDOW_CALLS,
    Side,
    joined_world,
    open_world,
)

CANDY_KEY, FORGE_KEY = (keys_of(name).settlement.public_bytes for name in (CANDY, FORGE))
HALF_WINDOW = WINDOW_CALLS // 2


def spoiled(envelope: Envelope) -> Envelope:
    """Return it with a stranger's signature and noise in the name of each party."""
    names = (KeyId("1" * 64), *(keys_of(name).settlement.key_id for name in (CANDY, FORGE)))
    noise = tuple(Signature(keyid=name, sig=bytes(64)) for name in names)
    return msgspec.structs.replace(envelope, signatures=(*noise, *envelope.signatures))


def spoil(reply: Reply) -> Reply:
    """Spoil every document that one side hands the other to keep."""
    match reply:
        case LeaseSigned(agreement=agreement, commitment=commitment):
            return LeaseSigned(agreement=spoiled(agreement), commitment=spoiled(commitment))
        case StatementSigned(statement=statement):
            return StatementSigned(statement=spoiled(statement))
        case VoucherSigned(voucher=voucher):
            return VoucherSigned(voucher=spoiled(voucher))
        case other:
            return other


def lease_row(side: Side, bucket: str) -> LeaseRow:
    ((_, raw),) = side.store.scan(bucket)
    return msgspec.msgpack.decode(raw, type=LeaseRow)


def assert_signed_by_both(*envelopes: Envelope) -> None:
    for envelope in envelopes:
        assert check_signed_by_all(envelope, CANDY_KEY, FORGE_KEY) is None


def test_a_provider_signs_for_itself_and_keeps_what_counts() -> None:
    """A proposal that already names it as a signer gets its true signature."""
    world = joined_world()
    world.holding = (ProposeLease,)
    world.run(100)
    _, ask = world.held[-1]
    assert isinstance(ask.request, ProposeLease)
    request = ProposeLease(
        agreement=spoiled(ask.request.agreement), commitment=spoiled(ask.request.commitment)
    )
    reply = world.forge.answer_to(request, CANDY)
    assert isinstance(reply, LeaseSigned)
    row = lease_row(world.forge, "lent")
    assert_signed_by_both(reply.agreement, reply.commitment, row.agreement, row.commitment)
    assert world.forge.answer_to(ask.request, CANDY) == reply


def test_a_requester_keeps_of_a_lease_what_counts() -> None:
    """What it archives and brings to the ledger holds two signatures."""
    world = joined_world()
    world.bend = spoil
    world.run(3_000)
    row = lease_row(world.candy, "borrowed")
    assert_signed_by_both(row.agreement, row.commitment)
    assert world.candy.node.snapshot().sessions == 1


def test_a_provider_keeps_of_an_opening_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The voucher inside message 3 may be the only one a claim ever has."""
    world = joined_world()
    sessions = world.candy.node._borrower.sessions
    honest = sessions._opening_of

    def bent(lease: HeldLease, account: MeterAccount, handshake: bytes) -> SessionOpening:
        opening = honest(lease, account, handshake)
        return msgspec.structs.replace(opening, voucher=spoiled(opening.voucher))

    monkeypatch.setattr(sessions, "_opening_of", bent)
    world.run(3_000)
    (account,) = world.forge.lease.accounts.values()
    assert check_signed_by_all(account.voucher, CANDY_KEY) is None


def test_a_provider_keeps_of_a_voucher_what_counts() -> None:
    """A claim with it is one every reader accepts."""
    world = open_world()
    world.bend = spoil
    for number in range(HALF_WINDOW):
        world.read(number)
    (account,) = world.forge.lease.accounts.values()
    assert account.signed.seq == HALF_WINDOW
    ((_, raw),) = world.forge.store.scan("meter")
    for kept in (account.voucher, msgspec.msgpack.decode(raw, type=MeterRow).voucher):
        assert check_signed_by_all(kept, CANDY_KEY) is None


def test_a_statement_is_signed_and_kept_as_it_counts() -> None:
    """Neither side believes a signature in its own name, and both archive the same bytes."""
    world = open_world()
    for number in range(HALF_WINDOW):
        world.read(number)
    lease_id, terms = world.forge.lease.lease_id, world.forge.lease.terms
    world.holding = (AskOffer, AskStatement)
    world.bend = spoil
    while not isinstance(world.held[-1][1].request if world.held else None, AskStatement):
        world.run(500)
        assert world.now_ns < terms.ends_ns + GRACE_MS * NS_PER_MS
    sender, ask = world.held[-1]
    assert isinstance(ask.request, AskStatement)
    bent = msgspec.structs.replace(
        ask, request=AskStatement(statement=spoiled(ask.request.statement))
    )
    world.deliver(sender, bent)
    world.holding = (AskOffer,)
    world.run(GRACE_MS)
    kept = [side.store.get("statement", lease_id) for side in (world.candy, world.forge)]
    assert kept[0] is not None
    assert kept[0] == kept[1]
    assert_signed_by_both(parse_canonical(kept[0], Envelope))
    on_ledger = world.hub.hub.ledger.lease(lease_id)
    assert on_ledger is not None
    assert on_ledger.status is LeaseStatus.SETTLED
