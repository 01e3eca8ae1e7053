"""A consortium of four with keys at hand, a ledger writer, and short ways to ask it things."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256

import msgspec

from mutualedge.adapters.nats import Nkey, Role
from mutualedge.identity import Consortium, Member, TrustFile, supermajority, verify_trust
from mutualedge.ledger import (
    Action,
    Claim,
    Close,
    Command,
    Contradict,
    Event,
    Lease,
    Ledger,
    OpenLease,
    Outcome,
    SetLimit,
    Settle,
)
from mutualedge.market import Agreement, commitment_of
from mutualedge.meter import RecordBatch, Statement, Voucher, statement_of
from mutualedge.model import (
    NS_PER_MS,
    NS_PER_S,
    ZERO_DIGEST,
    AssuranceLevel,
    Digest,
    EnterpriseId,
    InvocationId,
    LeaseId,
    Microcredits,
    Milliseconds,
    NodeId,
    format_instant,
    parse_instant,
)
from mutualedge.signing import Envelope, SigningKey, parse_canonical, sign_record

START_NS = parse_instant("2026-11-21T08:00:00.000Z")
LEASE_NS = 60 * NS_PER_S
DISPUTE_MS = 120_000
CALL_MICROCREDITS = 30
WINDOW_CALLS = 64
EXPOSURE_MICROCREDITS = WINDOW_CALLS * CALL_MICROCREDITS
COST_MAX_MICROCREDITS = 3001 * CALL_MICROCREDITS

ACME, BOLT, CORD, DUNE = (EnterpriseId(name) for name in ("acme", "bolt", "cord", "dune"))
ERGO = EnterpriseId("ergo")
"""No member at first."""

NAMES = (ACME, BOLT, CORD, DUNE)


@cache
def key(name: str) -> SigningKey:
    """Return the key that a name stands for."""
    return SigningKey(sha256(name.encode()).digest())


def settlement_key(enterprise: str) -> SigningKey:
    return key(f"settlement of {enterprise}")


WRITER = key("writer")
METER = key("meter 1")
OTHER_METER = key("meter 2")


@cache
def consortium() -> Consortium:
    cards = tuple(map(card, NAMES))
    trust = TrustFile(
        consortium=EnterpriseId("peak"),
        version=1,
        previous=ZERO_DIGEST,
        assurance=AssuranceLevel.SIMULATED,
        members=cards,
        writer_key=WRITER.public_bytes,
        witness_name="hub",
        witness_key=key("witness").public_bytes,
        hub_account=Nkey(Role.ACCOUNT, bytes(32)).public,
        attestation_root=b"root",
        runner_measurements=(Digest("ab" * 32),),
    )
    voters = map(enterprise_key, NAMES[: supermajority(len(NAMES))])
    return verify_trust(sign_record(trust, *voters))


def enterprise_key(name: str) -> SigningKey:
    return key(f"enterprise {name}")


def card(name: EnterpriseId) -> Envelope:
    return sign_record(member(name), enterprise_key(name))


def successor(
    before: Consortium,
    *names: str,
    signers: Sequence[str] | None = None,
    changes: Mapping[str, object] | None = None,
) -> Envelope:
    """Return the next version with these members, signed by all before, changed as told."""
    cards = tuple(card(EnterpriseId(name)) for name in sorted(names))
    trust = msgspec.structs.replace(
        before.trust, version=before.trust.version + 1, previous=before.digest, members=cards
    )
    voters = [each.enterprise for each in before.members] if signers is None else signers
    changed = msgspec.structs.replace(trust, **(changes or {}))
    return sign_record(changed, *map(enterprise_key, voters))


def member(name: EnterpriseId) -> Member:
    return Member(
        enterprise=name,
        node=NodeId(f"{name}-node"),
        enterprise_key=enterprise_key(name).public_bytes,
        node_key=key(f"node {name}").public_bytes,
        settlement_key=settlement_key(name).public_bytes,
        log_key=key(f"log {name}").public_bytes,
        witness_key=key(f"witness {name}").public_bytes,
        account=Nkey(Role.ACCOUNT, sha256(name.encode()).digest()).public,
        platform=sha256(name.encode()).hexdigest()[:32],
    )


class DictContext:
    """The plainest context there is: what another engine would offer, without undo."""

    def __init__(self, caller: EnterpriseId = ACME, now_ns: int = START_NS) -> None:
        self.caller = caller
        self.now_ns = now_ns
        self.height = 1
        self.rows: dict[str, bytes] = {}
        self.events: list[Event] = []

    def get(self, key: str) -> bytes | None:
        return self.rows.get(key)

    def put(self, key: str, value: bytes) -> None:
        self.rows[key] = value

    def delete(self, key: str) -> None:
        self.rows.pop(key, None)

    def scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        return iter(sorted(row for row in self.rows.items() if row[0].startswith(prefix)))

    def executed(self, height: int) -> Digest | None:
        return None if height else ZERO_DIGEST

    def emit(self, event: Event) -> None:
        self.events.append(event)


class World:
    """One ledger writer at a time of its own; every call below makes one block."""

    def __init__(self) -> None:
        self.ledger = Ledger(consortium(), ())
        self.now_ns = START_NS
        self.blocks: list[Envelope] = []
        self.rows: dict[str, bytes] = {}
        self._drawn = 0

    def draw_id(self) -> InvocationId:
        self._drawn += 1
        return InvocationId(sha256(b"%d" % self._drawn).hexdigest()[:32])

    def command(self, enterprise: str, action: Action) -> Envelope:
        name = EnterpriseId(enterprise)
        return signed_command(Command(enterprise=name, id=self.draw_id(), action=action))

    def run(self, *commands: Envelope) -> tuple[Outcome, ...]:
        execution = self.ledger.execute(commands, self.now_ns, WRITER)
        self.blocks.append(execution.block)
        persist(self.rows, execution.writes)
        self.ledger.validate()
        return execution.outcomes

    def ask(self, enterprise: str, action: Action) -> str:
        """Return the code that one command in a block of its own is answered with."""
        (outcome,) = self.run(self.command(enterprise, action))
        return outcome.code

    def wait(self, duration_ns: int) -> None:
        self.now_ns += duration_ns

    def at(self, instant_ns: int) -> None:
        assert instant_ns >= self.now_ns
        self.now_ns = instant_ns

    def limit(self, creditor: str, debtor: str, amount: int) -> None:
        action = SetLimit(debtor=EnterpriseId(debtor), limit_microcredits=Microcredits(amount))
        assert self.ask(creditor, action) == "done"

    def open(self, agreement: Envelope, by: str = ACME) -> LeaseId:
        assert self.ask(by, opening(agreement)) == "done"
        return LeaseId(agreement.payload_digest)

    def lease(self, lease_id: LeaseId) -> Lease:
        lease = self.ledger.lease(lease_id)
        assert lease is not None
        return lease

    def balance(self, enterprise: str) -> int:
        return self.ledger.balance(EnterpriseId(enterprise)).balance_microcredits

    def pending(self, requester: str = ACME, provider: str = BOLT) -> int:
        line = self.ledger.position(EnterpriseId(provider), EnterpriseId(requester))
        return line.pending_microcredits


def lent_world() -> tuple[World, LeaseId]:
    """Return a world where bolt lends to acme for the first minute, at the block after."""
    world = World()
    world.limit(BOLT, ACME, COST_MAX_MICROCREDITS)
    return world, world.open(agreement())


def ended_world() -> tuple[World, LeaseId]:
    """Return the same at the instant the lease ends."""
    world, lease_id = lent_world()
    world.at(START_NS + LEASE_NS)
    return world, lease_id


def persist(rows: dict[str, bytes], writes: dict[str, bytes | None]) -> None:
    for name, value in writes.items():
        if value is None:
            rows.pop(name, None)
        else:
            rows[name] = value


def signed_command(command: Command) -> Envelope:
    return sign_record(command, settlement_key(command.enterprise))


def terms(
    requester: str = ACME,
    provider: str = BOLT,
    *,
    starts_ns: int = START_NS,
    duration_ns: int = LEASE_NS,
    dispute_ms: int = DISPUTE_MS,
    price: int = 3,
    nonce: int = 0,
) -> Agreement:
    return Agreement(
        requester=EnterpriseId(requester),
        provider=EnterpriseId(provider),
        node=NodeId(f"{provider}-node"),
        function=Digest("cd" * 32),
        budget_ns=10 * NS_PER_MS,
        period_ns=20 * NS_PER_MS,
        deadline_ns=20 * NS_PER_MS,
        opens_by=format_instant(starts_ns + duration_ns),
        starts=format_instant(starts_ns),
        ends=format_instant(starts_ns + duration_ns),
        price_microcredits=Microcredits(price),
        window_calls=WINDOW_CALLS,
        window_ms=Milliseconds(10_000),
        dispute_window_ms=Milliseconds(dispute_ms),
        network_ms=Milliseconds(5),
        assurance=AssuranceLevel.SIMULATED,
        nonce=InvocationId(f"{nonce:032x}"),
    )


def sign_terms(agreed: Agreement) -> Envelope:
    both = (settlement_key(agreed.requester), settlement_key(agreed.provider))
    return sign_record(agreed, *both)


def agreement(
    requester: str = ACME,
    provider: str = BOLT,
    *,
    starts_ns: int = START_NS,
    duration_ns: int = LEASE_NS,
    dispute_ms: int = DISPUTE_MS,
    price: int = 3,
    nonce: int = 0,
) -> Envelope:
    agreed = terms(
        requester,
        provider,
        starts_ns=starts_ns,
        duration_ns=duration_ns,
        dispute_ms=dispute_ms,
        price=price,
        nonce=nonce,
    )
    return sign_terms(agreed)


def opening(agreed: Envelope) -> OpenLease:
    """Return what opens the lease of an agreement, signed by both whatever the agreement is."""
    told = parse_canonical(agreed.payload, Agreement)
    commitment = commitment_of(LeaseId(agreed.payload_digest), told)
    both = (settlement_key(told.requester), settlement_key(told.provider))
    return OpenLease(commitment=sign_record(commitment, *both))


def voucher(
    lease_id: LeaseId, total: int, *, meter: SigningKey = METER, by: str = ACME, seq: int = 1
) -> Envelope:
    """Return the requester's voucher; a total of 0 opens the meter."""
    record = Voucher(
        lease=lease_id,
        meter_key=meter.public_bytes,
        through_seq=seq if total else 0,
        head=Digest("ef" * 32) if total else ZERO_DIGEST,
        total_microcredits=Microcredits(total),
    )
    return sign_record(record, settlement_key(by))


def batch(
    lease_id: LeaseId, total: int, *, meter: SigningKey = METER, by: SigningKey | None = None
) -> Envelope:
    record = RecordBatch(
        lease=lease_id,
        meter_key=meter.public_bytes,
        through_seq=2,
        head=Digest("ef" * 32),
        total_microcredits=Microcredits(total),
    )
    return sign_record(record, by or meter)


def statement(lease_id: LeaseId, total: int, *signers: str) -> Envelope:
    line = Voucher(
        lease=lease_id,
        meter_key=METER.public_bytes,
        through_seq=1,
        head=Digest("ef" * 32),
        total_microcredits=Microcredits(total),
    )
    record: Statement = statement_of(lease_id, (line,))
    return sign_record(record, *(settlement_key(each) for each in signers or (ACME, BOLT)))


def claim(lease_id: LeaseId, vouched: int, proven: int | None = None) -> Claim:
    """Return a claim of one meter; ``proven`` is the batch's total, if there is one."""
    batches = () if proven is None else (batch(lease_id, proven),)
    return Claim(lease=lease_id, vouchers=(voucher(lease_id, vouched),), batches=batches)


def close(lease_id: LeaseId, vouched: int) -> Close:
    return Close(lease=lease_id, vouchers=(voucher(lease_id, vouched),))


def contradict(lease_id: LeaseId) -> Contradict:
    return Contradict(lease=lease_id, reason="the batch proves calls that we never made")


def settle(lease_id: LeaseId, total: int) -> Settle:
    return Settle(statement=statement(lease_id, total))


def settles_until_ns() -> int:
    return START_NS + LEASE_NS + DISPUTE_MS * NS_PER_MS
