"""Members come and go at random: copies agree, each block has its own quorum, sums stay zero."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mutualedge.identity import supermajority
from mutualedge.ledger import (
    Action,
    AdoptTrust,
    Countersignature,
    Ledger,
    SetLimit,
    Settle,
    replay,
)
from mutualedge.model import NS_PER_MS, EnterpriseId, LeaseId, Microcredits
from mutualedge.signing import Envelope, sign_record
from tests.unit.ledger_world import (
    COST_MAX_MICROCREDITS,
    DISPUTE_MS,
    ERGO,
    LEASE_NS,
    NAMES,
    World,
    agreement,
    consortium,
    opening,
    settlement_key,
    statement,
    successor,
)

POOL = (*NAMES, ERGO, EnterpriseId("fern"), EnterpriseId("gale"))
somebody = st.sampled_from(POOL)


class TrustMachine(RuleBasedStateMachine):
    """A model of who is in, as plain as can be, beside the ledger."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.follower = Ledger(consortium(), ())
        self.members: list[tuple[EnterpriseId, ...]] = [NAMES]
        """Of each block, the next one last."""
        self.leases: dict[LeaseId, tuple[EnterpriseId, EnterpriseId]] = {}

    def ask(self, enterprise: EnterpriseId, action: Action) -> str:
        """Return what one command in a block of its own comes to; nothing if it is no member's."""
        outcomes = self.world.run(self.world.command(enterprise, action))
        self.members.append(self.members[-1])
        assert bool(outcomes) == (enterprise in self.members[-1])
        return outcomes[0].code if outcomes else ""

    def is_bound(self, name: EnterpriseId) -> bool:
        return any(
            name in parties and not self.world.lease(lease_id).is_resolved
            for lease_id, parties in self.leases.items()
        )

    @rule(by=somebody, come=st.sets(somebody, max_size=2), go=st.sets(somebody, max_size=2))
    def change(self, by: EnterpriseId, come: set[EnterpriseId], go: set[EnterpriseId]) -> None:
        before = self.members[-1]
        after = tuple(name for name in POOL if name in come or (name in before and name not in go))
        if not after:
            return
        action = AdoptTrust(trust=successor(self.world.ledger.consortium, *after))
        code = self.ask(by, action)
        left = [name for name in before if name not in after]
        if by not in before:
            assert code == ""
        elif not set(after) & set(before):
            assert code == "identity.trust.nobody-stays"
        elif any(map(self.is_bound, left)):
            assert code == "ledger.trust.unsettled"
        else:
            assert code == "done"
            self.members[-1] = after

    @rule(by=somebody, missing=st.integers(min_value=1, max_value=7))
    def change_without_quorum(self, by: EnterpriseId, missing: int) -> None:
        before = self.members[-1]
        signers = before[: max(0, supermajority(len(before)) - missing)]
        action = AdoptTrust(trust=successor(self.world.ledger.consortium, *before, signers=signers))
        assert self.ask(by, action) == ("identity.trust.quorum" if by in before else "")

    @rule(requester=somebody, provider=somebody)
    def lend(self, requester: EnterpriseId, provider: EnterpriseId) -> None:
        if requester == provider:
            return
        members = self.members[-1]
        limit = Microcredits(10 * COST_MAX_MICROCREDITS)
        self.ask(provider, SetLimit(debtor=requester, limit_microcredits=limit))
        agreed = agreement(
            requester, provider, starts_ns=self.world.now_ns, nonce=len(self.members)
        )
        code = self.ask(requester, opening(agreed))
        if code == "done":
            self.leases[LeaseId(agreed.payload_digest)] = (requester, provider)
        assert (code == "done") <= ({requester, provider} <= set(members))

    @precondition(lambda self: self.leases)
    @rule(index=st.integers(min_value=0), total=st.integers(min_value=0, max_value=900))
    def settle(self, index: int, total: int) -> None:
        lease_id = list(self.leases)[index % len(self.leases)]
        parties = self.leases[lease_id]
        code = self.ask(parties[0], Settle(statement=statement(lease_id, total, *parties)))
        assert (code == "done") <= (set(parties) <= set(self.members[-1]))

    @rule(duration_ms=st.sampled_from([1, LEASE_NS // NS_PER_MS, DISPUTE_MS]))
    def wait(self, duration_ms: int) -> None:
        self.world.wait(duration_ms * NS_PER_MS)

    @rule()
    def restore_from_rows(self) -> None:
        before = self.world.ledger
        self.world.ledger = Ledger(consortium(), self.world.rows.items())
        assert self.world.ledger.snapshot() == before.snapshot()
        assert self.world.ledger.consortium.digest == before.consortium.digest

    @precondition(lambda self: self.world.blocks)
    @rule(index=st.integers(min_value=0))
    def countersign(self, index: int) -> None:
        """Exactly a quorum of a block's own members makes it final; others count for nothing."""
        height = 1 + index % len(self.world.blocks)
        block, members = self.world.blocks[height - 1], self.members[height - 1]
        needed = supermajority(len(members))
        others = [name for name in POOL if name not in members]
        ledger = self.world.ledger
        assert ledger.is_final(block, words(block, height, *members[:needed]))
        assert not ledger.is_final(block, words(block, height, *members[: needed - 1], *others))

    @invariant()
    def everybody_agrees_who_is_in(self) -> None:
        ledger = self.world.ledger
        for block in self.world.blocks[self.follower.height :]:
            self.follower.apply(block, self.world.now_ns)
        assert self.follower.state_digest == ledger.state_digest
        assert self.follower.consortium.digest == ledger.consortium.digest
        for height, members in enumerate(self.members, start=1):
            told = ledger.consortium_at(height).members
            assert tuple(each.enterprise for each in told) == members

    @invariant()
    def mileage_is_zero_sum(self) -> None:
        self.world.ledger.validate()
        assert sum(map(self.world.balance, POOL)) == 0

    @invariant()
    def who_is_bound_is_in(self) -> None:
        assert all(name in self.members[-1] for name in POOL if self.is_bound(name))

    def teardown(self) -> None:
        assert replay(consortium(), self.world.blocks, self.world.now_ns) == self.world.rows


def words(block: Envelope, height: int, *names: EnterpriseId) -> list[Envelope]:
    word = Countersignature(height=height, block=block.payload_digest)
    return [sign_record(word, settlement_key(name)) for name in names]


TestTrustMachine = TrustMachine.TestCase
TestTrustMachine.settings = settings(max_examples=60, stateful_step_count=30)
