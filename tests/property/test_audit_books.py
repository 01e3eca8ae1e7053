"""Two programs, one law: the auditor's books and the contract answer every command alike."""

from dataclasses import dataclass, field
from hashlib import sha256

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualedge.audit.books import Books, Refused
from mutualedge.ledger import (
    Action,
    AdoptTrust,
    Claim,
    Close,
    Command,
    Contradict,
    Executed,
    Ledger,
    SetLimit,
    Settle,
)
from mutualedge.market import Agreement
from mutualedge.meter import RecordBatch, Statement, StatementLine, Voucher
from mutualedge.model import (
    NS_PER_MS,
    NS_PER_S,
    ZERO_DIGEST,
    AssuranceLevel,
    Digest,
    EnterpriseId,
    InvocationId,
    KeyId,
    LeaseId,
    Microcredits,
    Milliseconds,
    NodeId,
    format_instant,
)
from mutualedge.signing import Envelope, SigningKey, key_id_of, sign_record
from tests.unit.audit_scenarios import (
    ACME,
    BOLT,
    CORD,
    NAMES,
    START_NS,
    WRITER,
    consortium,
    key,
    opening,
    successor,
)

METERS = (key("property meter 1"), key("property meter 2"))
mostly = st.sampled_from([True, True, True, True, False])

step = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(
            [*("open", "claim") * 2, "settle", "close", "contradict", "limit", "wait", "adopt"]
        ),
        "by_its_party": mostly,
        "signed": mostly,
        "lease": st.integers(0, 3),
        "turned": st.booleans(),
        "vouched": st.lists(st.integers(0, 6), min_size=1, max_size=2),
        "proved": st.lists(st.integers(0, 8), max_size=2),
        "executed": st.booleans(),
        "limit": st.sampled_from([0, 100, 220, 400]),
        "wait_s": st.sampled_from([0, 0, 0, 1, 5, 11, 11, 30, 61]),
    }
)


@dataclass
class Both:
    """The contract's engine and the auditor's books, given the same commands."""

    ledger: Ledger = field(default_factory=lambda: Ledger(consortium(), ()))
    books: Books = field(default_factory=lambda: Books(consortium()))
    leases: list[tuple[LeaseId, Envelope]] = field(default_factory=list)
    now_ns: int = START_NS
    count: int = 0

    def run(self, caller: EnterpriseId, action: Action) -> None:
        self.count += 1
        name = InvocationId(sha256(b"%d" % self.count).hexdigest()[:32])
        command = Command(enterprise=caller, id=name, action=action)
        envelope = sign_record(command, key(f"settlement {caller}"))
        outcomes = self.ledger.execute([envelope], self.now_ns, WRITER).outcomes
        self.books.sweep(self.now_ns)
        assert self.books.consortium.digest == self.ledger.consortium_at(self.count).digest
        for outcome in outcomes:  # none if its sender left
            assert self.audited(command) == outcome.is_done, outcome
        self.books.seal(self.ledger.head_digest)
        self.compare()

    def audited(self, command: Command) -> bool:
        """Tell whether the auditor's books allow the command, and carry it out there."""
        try:
            self.books.run(command, self.now_ns)
        except Refused:
            return False
        return True

    def compare(self) -> None:
        for name in NAMES:
            balance = self.ledger.balance(name).balance_microcredits
            assert self.books.balance_microcredits(name) == balance
        assert sum(map(self.books.balance_microcredits, NAMES)) == 0
        for lease_id, book in self.books.leases.items():
            lease = self.ledger.lease(lease_id)
            assert lease is not None
            assert (book.status, book.statement) == (lease.status, lease.statement)
            assert book.posted_microcredits == lease.posted_microcredits
            assert book.claimed_microcredits == lease.claimed_microcredits


def agreement(number: int, now_ns: int, *, turned: bool) -> Envelope:
    """Sign a lease of ten seconds that holds eleven calls at ten microcredits."""
    requester, provider = (BOLT, ACME) if turned else (ACME, BOLT)
    terms = Agreement(
        requester=requester,
        provider=provider,
        node=NodeId(f"{provider}-node"),
        function=Digest("ab" * 32),
        budget_ns=NS_PER_MS,
        period_ns=NS_PER_S,
        deadline_ns=NS_PER_S,
        opens_by=format_instant(now_ns + 10 * NS_PER_S),
        starts=format_instant(now_ns),
        ends=format_instant(now_ns + 10 * NS_PER_S),
        price_microcredits=Microcredits(10),
        window_calls=2,
        window_ms=Milliseconds(1000),
        dispute_window_ms=Milliseconds(60_001),
        network_ms=Milliseconds(1),
        assurance=AssuranceLevel.SIMULATED,
        nonce=InvocationId(f"{number:032x}"),
    )
    return sign_record(terms, key(f"settlement {requester}"), key(f"settlement {provider}"))


def words(
    kind: type[Voucher] | type[RecordBatch], lease: LeaseId, totals: list[int], *signers: SigningKey
) -> tuple[Envelope, ...]:
    return tuple(
        sign_record(
            kind(
                lease=lease,
                meter_key=meter.public_bytes,
                through_seq=1 + total,
                head=ZERO_DIGEST,
                total_microcredits=Microcredits(10 * total),
            ),
            signer,
        )
        for meter, signer, total in zip(METERS, signers, totals, strict=False)
    )


def statement(lease: LeaseId, totals: list[int], *signers: SigningKey) -> Envelope:
    lines = [
        StatementLine(
            meter=KeyId(key_id_of(meter.public_bytes)),
            through_seq=1,
            head=ZERO_DIGEST,
            total_microcredits=Microcredits(10 * total),
        )
        for meter, total in zip(METERS, totals, strict=False)
    ]
    total = Microcredits(sum(each.total_microcredits for each in lines))
    ordered = tuple(sorted(lines, key=lambda each: each.meter))
    return sign_record(Statement(lease=lease, lines=ordered, total_microcredits=total), *signers)


def step_of(both: Both, drawn: dict[str, object]) -> tuple[EnterpriseId, Action]:
    """Return who asks for what in a drawn step."""
    if drawn["kind"] == "limit":
        caller, debtor = (BOLT, ACME) if drawn["turned"] else (ACME, BOLT)
        return caller, SetLimit(debtor=debtor, limit_microcredits=drawn["limit"])
    if drawn["kind"] == "adopt":
        names = [name for name in NAMES if name != (CORD, BOLT, ACME)[drawn["lease"] % 3]]
        chosen = names if drawn["signed"] else NAMES
        signers = None if drawn["by_its_party"] else NAMES[:1]
        trust = successor(both.ledger.consortium, *chosen, signers=signers)
        return ACME, AdoptTrust(trust=trust, executed=executed_of(both, drawn))
    if drawn["kind"] == "open" or not both.leases:
        fresh = agreement(both.count, both.now_ns, turned=drawn["turned"])
        both.leases.append((LeaseId(fresh.payload_digest), fresh))
        opened = both.leases[-1] if drawn["by_its_party"] else both.leases[0]
        return ACME if drawn["signed"] else CORD, opening(opened[1])
    lease, envelope = both.leases[-1 - drawn["lease"] % len(both.leases)]
    terms = msgspec.json.decode(envelope.payload, type=Agreement)
    asker = terms.provider if drawn["kind"] == "claim" else terms.requester
    caller = asker if drawn["by_its_party"] else CORD
    return caller, one_sided(drawn, lease, terms)


def executed_of(both: Both, drawn: dict[str, object]) -> Executed | None:
    """Return the head, now and then of another height, or nothing, as drawn."""
    if not drawn["executed"]:
        return None
    height = both.ledger.height - (drawn["lease"] == 0)
    return Executed(height=height, block=both.ledger.head_digest)


def one_sided(drawn: dict[str, object], lease: LeaseId, terms: Agreement) -> Action:
    """Return the drawn action on a lease, its documents signed as drawn."""
    requester = key(f"settlement {terms.requester if drawn['signed'] else CORD}")
    vouchers = words(Voucher, lease, drawn["vouched"], requester, requester)
    match drawn["kind"]:
        case "settle":
            signers = (requester, key(f"settlement {terms.provider}"))
            return Settle(statement=statement(lease, drawn["vouched"], *signers))
        case "claim":
            batches = words(RecordBatch, lease, drawn["proved"], *METERS)
            return Claim(lease=lease, vouchers=vouchers, batches=batches)
        case "close":
            return Close(lease=lease, vouchers=vouchers)
        case _:
            return Contradict(lease=lease, reason="it never came")


@settings(max_examples=150)
@given(st.lists(step, min_size=5, max_size=30))
def test_the_auditors_books_agree_with_the_contract(steps: list[dict[str, object]]) -> None:
    """Same commands, same answers, same balances, same end of every lease."""
    both = Both()
    for creditor, debtor in ((BOLT, ACME), (ACME, BOLT)):
        limit = SetLimit(debtor=debtor, limit_microcredits=Microcredits(220))
        both.run(creditor, limit)
    first = agreement(0, both.now_ns, turned=False)
    both.leases.append((LeaseId(first.payload_digest), first))
    both.run(ACME, opening(first))
    for drawn in steps:
        both.now_ns += drawn["wait_s"] * NS_PER_S
        if drawn["kind"] != "wait":
            both.run(*step_of(both, drawn))
    both.ledger.validate()
