"""Records, batches, vouchers and statements: what one may say and where it belongs."""

import msgspec
import pytest

from mutualedge.errors import PeerError
from mutualedge.meter import (
    CHAIN_START,
    ChainPosition,
    RecordBatch,
    Statement,
    StatementLine,
    UsageRecord,
    Voucher,
    position_of,
    statement_of,
    verify_batch,
    verify_usage,
    verify_voucher,
    walk_chain,
)
from mutualedge.model import (
    ZERO_DIGEST,
    AssuranceLevel,
    Digest,
    LeaseId,
    Microcredits,
    NodeId,
)
from mutualedge.signing import canonical_bytes, digest_of, parse_canonical, sign_record
from tests.unit.ledger_world import ACME, METER, OTHER_METER, agreement, settlement_key, terms
from tests.unit.node_world import invocation_of

LEASE = LeaseId(agreement().payload_digest)
OTHER_LEASE = LeaseId("ee" * 32)
OWED = ChainPosition(seq=2, head=Digest("aa" * 32), total_microcredits=Microcredits(60))


def usage_record(seq: int = 1, prev: Digest = ZERO_DIGEST, *, billable: bool = True) -> UsageRecord:
    agreed = terms()
    return UsageRecord(
        lease=LEASE,
        meter=METER.key_id,
        seq=seq,
        prev=prev,
        requester=agreed.requester,
        provider=agreed.provider,
        node=agreed.node,
        function=agreed.function,
        runtime="reference/1",
        invocation=invocation_of(seq),
        request=Digest("01" * 32),
        response=Digest("02" * 32),
        status="ok",
        rs_ms=agreed.call_rs_ms * billable,
        fuel=1000,
        cpu_ns=0,
        memory_bytes=65_536,
        in_bytes=100,
        out_bytes=60,
        amount_microcredits=Microcredits(agreed.call_microcredits * billable),
        assurance=AssuranceLevel.SIMULATED,
        attestation=Digest("03" * 32),
    )


def code_of_usage(**changes: object) -> str:
    raw = canonical_bytes(msgspec.structs.replace(usage_record(), **changes))
    with pytest.raises(PeerError) as refused:
        verify_usage(raw, lease=LEASE, terms=terms(), meter=METER.key_id)
    return refused.value.code


@pytest.mark.parametrize("billable", [True, False])
def test_a_record_at_the_leases_price_is_accepted(*, billable: bool) -> None:
    """A call costs the lease's price, or nothing when it repeats a charged one."""
    raw = canonical_bytes(usage_record(billable=billable))
    record = verify_usage(raw, lease=LEASE, terms=terms(), meter=METER.key_id)
    assert record.amount_microcredits == (30 if billable else 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"lease": OTHER_LEASE},
        {"meter": OTHER_METER.key_id},
        {"requester": "cord"},
        {"provider": "cord"},
        {"node": NodeId("bolt-two")},
        {"function": Digest("ef" * 32)},
        {"amount_microcredits": 31},
        {"amount_microcredits": 60, "rs_ms": 20},
        {"amount_microcredits": 0},
        {"rs_ms": 0},
        {"rs_ms": 11},
    ],
    ids=str,
)
def test_a_record_outside_the_lease_is_refused(changes: dict[str, object]) -> None:
    """Another lease, meter, party, node, function or price: do not pay."""
    assert code_of_usage(**changes) == "meter.record.terms"


def test_a_record_in_another_spelling_is_refused() -> None:
    """The chain hashes bytes, so there is one spelling only."""
    raw = canonical_bytes(usage_record()).replace(b",", b", ", 1)
    with pytest.raises(PeerError) as refused:
        verify_usage(raw, lease=LEASE, terms=terms(), meter=METER.key_id)
    assert refused.value.code == "signing.json.not-canonical"


def test_a_chain_adds_up() -> None:
    """Each record names the digest of the one before; the position is the last one's."""
    first = canonical_bytes(usage_record())
    second_record = usage_record(2, digest_of(first))
    second = canonical_bytes(second_record)
    position = walk_chain(CHAIN_START, [(first, usage_record()), (second, second_record)])
    assert position == ChainPosition(
        seq=2, head=digest_of(second), total_microcredits=Microcredits(60)
    )


@pytest.mark.parametrize(
    "record",
    [usage_record(2), usage_record(1, Digest("ff" * 32)), usage_record(3)],
    ids=["gap", "other-predecessor", "larger-gap"],
)
def test_a_record_that_does_not_follow_is_refused(record: UsageRecord) -> None:
    """A gap could hide a record, another predecessor another history."""
    with pytest.raises(PeerError) as refused:
        CHAIN_START.after(canonical_bytes(record), record)
    assert refused.value.code == "meter.record.chain"


def test_a_batch_speaks_for_its_position() -> None:
    """The meter key signs sequence, head and sum; reading it gives them back."""
    envelope = OWED.batch(LEASE, METER)
    batch = verify_batch(envelope, lease=LEASE, meter_key=METER.public_bytes)
    assert position_of(batch) == OWED
    assert batch.meter == METER.key_id


def test_a_batch_of_another_lease_is_refused() -> None:
    """A runner serves several leases; a batch counts for the one it names."""
    with pytest.raises(PeerError) as refused:
        verify_batch(OWED.batch(OTHER_LEASE, METER), lease=LEASE, meter_key=METER.public_bytes)
    assert refused.value.code == "meter.batch.misplaced"


def test_a_batch_under_another_name_is_refused() -> None:
    """A key signs its own meter's batches only."""
    (batch,) = [parse_canonical(OWED.batch(LEASE, METER).payload, RecordBatch)]
    with pytest.raises(PeerError) as misplaced:
        verify_batch(
            sign_record(batch, OTHER_METER), lease=LEASE, meter_key=OTHER_METER.public_bytes
        )
    with pytest.raises(PeerError) as unsigned:
        verify_batch(sign_record(batch, OTHER_METER), lease=LEASE, meter_key=METER.public_bytes)
    assert misplaced.value.code == "meter.batch.misplaced"
    assert unsigned.value.code == "signing.envelope.unsigned"


def test_a_voucher_pays_for_its_lease_only() -> None:
    """The requester's word counts where it was given, signed by its settlement key."""
    key = settlement_key(ACME)
    good, elsewhere = (
        OWED.voucher(lease, METER.public_bytes, key) for lease in (LEASE, OTHER_LEASE)
    )
    voucher = verify_voucher(good, lease=LEASE, requester_key=key.public_bytes)
    assert position_of(voucher) == OWED
    with pytest.raises(PeerError) as misplaced:
        verify_voucher(elsewhere, lease=LEASE, requester_key=key.public_bytes)
    with pytest.raises(PeerError) as unsigned:
        verify_voucher(good, lease=LEASE, requester_key=METER.public_bytes)
    assert misplaced.value.code == "meter.voucher.misplaced"
    assert unsigned.value.code == "signing.envelope.unsigned"


def test_an_opening_voucher_owes_nothing() -> None:
    """Sequence 0 names a meter, not a sum; anything else in it is malformed."""
    for head, total in ((ZERO_DIGEST, 1), (Digest("aa" * 32), 0)):
        with pytest.raises(ValueError, match="opening voucher"):
            Voucher(
                lease=LEASE,
                meter_key=METER.public_bytes,
                through_seq=0,
                head=head,
                total_microcredits=Microcredits(total),
            )


def vouchers(*totals: int) -> tuple[Voucher, ...]:
    keys = (METER, OTHER_METER)
    return tuple(
        Voucher(
            lease=LEASE,
            meter_key=key.public_bytes,
            through_seq=1,
            head=Digest("aa" * 32),
            total_microcredits=Microcredits(total),
        )
        for key, total in zip(keys, totals, strict=False)
    )


def test_a_statement_is_the_sum_of_the_last_vouchers() -> None:
    """One line a meter, in one order, whatever the order they came in."""
    statement = statement_of(LEASE, vouchers(30, 90))
    assert statement.total_microcredits == 120
    assert statement == statement_of(LEASE, vouchers(30, 90)[::-1])
    assert statement_of(LEASE, ()).total_microcredits == 0
    assert parse_canonical(canonical_bytes(statement), Statement) == statement


def bad_statements() -> dict[str, tuple[tuple[StatementLine, ...], int]]:
    lines = statement_of(LEASE, vouchers(30, 90)).lines
    return {
        "sum": (lines, 121),
        "order": (lines[::-1], 120),
        "twice": ((lines[0], lines[0]), 2 * lines[0].total_microcredits),
    }


@pytest.mark.parametrize("case", ["sum", "order", "twice"])
def test_a_statement_that_does_not_add_up_is_refused(case: str) -> None:
    """Its total is the sum of its lines, sorted, one a meter."""
    lines, total = bad_statements()[case]
    with pytest.raises(ValueError, match="statement"):
        Statement(lease=LEASE, lines=lines, total_microcredits=Microcredits(total))
