"""A whole ledger under random commands: writer, follower and a restored copy never part."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from mutualedge.ledger import (
    Action,
    Claim,
    Close,
    Contradict,
    Lease,
    Ledger,
    Outcome,
    SetLimit,
    Settle,
)
from mutualedge.model import NS_PER_MS, EnterpriseId, LeaseId, Microcredits
from mutualedge.signing import Envelope, SigningKey
from tests.unit.ledger_world import (
    ACME,
    BOLT,
    CALL_MICROCREDITS,
    COST_MAX_MICROCREDITS,
    DISPUTE_MS,
    LEASE_NS,
    METER,
    NAMES,
    OTHER_METER,
    WINDOW_CALLS,
    World,
    agreement,
    batch,
    consortium,
    opening,
    statement,
    voucher,
)

members = st.sampled_from(NAMES[:3])
calls = st.integers(min_value=0, max_value=60)
extras = st.integers(min_value=0, max_value=WINDOW_CALLS + 1)
totals = calls | st.just(COST_MAX_MICROCREDITS)
meters = st.sampled_from((METER, OTHER_METER))


class LedgerMachine(RuleBasedStateMachine):
    """Commands gather and take effect in blocks of whatever size comes up."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.follower = Ledger(consortium(), ())
        self.leases: list[LeaseId] = []
        self.sent: list[Envelope] = []
        self.answers: dict[str, Outcome] = {}
        self.posted: dict[LeaseId, int] = {}
        self.waiting: list[Envelope] = []

    def send(self, enterprise: EnterpriseId, action: Action) -> None:
        command = self.world.command(enterprise, action)
        self.sent.append(command)
        self.waiting.append(command)

    @initialize(passed_ns=st.sampled_from((0, LEASE_NS)))
    def lend_both_ways(self, passed_ns: int) -> None:
        self.open(ACME, BOLT, 0)
        self.open(BOLT, ACME, 0)
        self.make_block()
        self.world.wait(passed_ns)

    def lease_of(self, index: int) -> tuple[LeaseId, Lease] | None:
        lease_id = self.leases[index % len(self.leases)] if self.leases else None
        lease = self.world.ledger.lease(lease_id) if lease_id else None
        return None if lease is None or lease_id is None else (lease_id, lease)

    @rule(creditor=members, debtor=members, leases=st.integers(min_value=0, max_value=3))
    def limit(self, creditor: EnterpriseId, debtor: EnterpriseId, leases: int) -> None:
        amount = Microcredits(leases * COST_MAX_MICROCREDITS)
        self.send(creditor, SetLimit(debtor=debtor, limit_microcredits=amount))

    @rule(requester=members, provider=members, ahead=st.integers(min_value=-1, max_value=2))
    def open(self, requester: EnterpriseId, provider: EnterpriseId, ahead: int) -> None:
        if requester == provider:
            provider = NAMES[(NAMES.index(requester) + 1) % 3]
        generous = SetLimit(
            debtor=requester, limit_microcredits=Microcredits(2 * COST_MAX_MICROCREDITS)
        )
        starts_ns = self.world.now_ns + ahead * LEASE_NS
        nonce = len(self.leases)
        document = agreement(requester, provider, starts_ns=starts_ns, nonce=nonce)
        self.send(provider, generous)
        self.send(requester, opening(document))
        self.leases.append(LeaseId(document.payload_digest))

    @rule(index=st.integers(min_value=0), sender=members, count=totals)
    def settle(self, index: int, sender: EnterpriseId, count: int) -> None:
        found = self.lease_of(index)
        if found:
            lease_id, lease = found
            both = (lease.requester, lease.provider)
            total = count * CALL_MICROCREDITS
            self.send(sender, Settle(statement=statement(lease_id, total, *both)))

    @rule(index=st.integers(min_value=0), vouched=calls, extra=extras, meter=meters)
    def claim(self, index: int, vouched: int, extra: int, meter: SigningKey) -> None:
        found = self.lease_of(index)
        if found:
            lease_id, lease = found
            total = vouched * CALL_MICROCREDITS
            signed = voucher(lease_id, total, meter=meter, by=lease.requester)
            proof = batch(lease_id, total + extra * CALL_MICROCREDITS, meter=meter)
            action = Claim(lease=lease_id, vouchers=(signed,), batches=(proof,))
            self.send(lease.provider, action)

    @rule(index=st.integers(min_value=0), vouched=calls)
    def close(self, index: int, vouched: int) -> None:
        found = self.lease_of(index)
        if found:
            lease_id, lease = found
            signed = voucher(lease_id, vouched * CALL_MICROCREDITS, by=lease.requester)
            self.send(lease.requester, Close(lease=lease_id, vouchers=(signed,)))

    @rule(index=st.integers(min_value=0))
    def contradict(self, index: int) -> None:
        found = self.lease_of(index)
        if found:
            lease_id, lease = found
            self.send(lease.requester, Contradict(lease=lease_id, reason="never delivered"))

    @precondition(lambda self: self.sent)
    @rule(index=st.integers(min_value=0))
    def send_again(self, index: int) -> None:
        self.waiting.append(self.sent[index % len(self.sent)])

    @rule(step_ms=st.sampled_from((1, 30_000, 60_000, 61_000, DISPUTE_MS)))
    def wait(self, step_ms: int) -> None:
        self.make_block()
        self.world.wait(step_ms * NS_PER_MS)

    @rule()
    def make_block(self) -> None:
        commands, self.waiting = self.waiting, []
        outcomes = self.world.run(*commands)
        for command, outcome in zip(commands, outcomes, strict=True):
            known = self.answers.setdefault(command.payload_digest, outcome)
            assert outcome == known, "a command sent again is answered as before"

    @rule()
    def restore_from_rows(self) -> None:
        before = self.world.ledger.snapshot()
        self.world.ledger = Ledger(consortium(), self.world.rows.items())
        assert self.world.ledger.snapshot() == before

    @rule()
    def follow(self) -> None:
        for block in self.world.blocks[self.follower.height :]:
            self.follower.apply(block, self.world.now_ns)
        assert self.follower.state_digest == self.world.ledger.state_digest
        assert self.follower.snapshot() == self.world.ledger.snapshot()

    @invariant()
    def mileage_is_zero_sum(self) -> None:
        accounts = [account for _, account in self.world.ledger.snapshot().accounts]
        assert sum(account.balance_microcredits for account in accounts) == 0
        self.world.ledger.validate()

    @invariant()
    def postings_never_shrink_nor_pass_the_lease(self) -> None:
        for lease_id, lease in self.world.ledger.snapshot().leases:
            assert lease.posted_microcredits >= self.posted.get(lease_id, 0)
            assert lease.claimed_microcredits <= lease.cost_max_microcredits
            self.posted[lease_id] = lease.posted_microcredits

    def teardown(self) -> None:
        self.make_block()
        self.follow()


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=60, stateful_step_count=40)
