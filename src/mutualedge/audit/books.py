"""The ledger's rules, written a second time from the design: limits, reservations, outcomes.

Nothing here is shared with the contract. Two programs that agree on every outcome are a check;
one program called twice is not. Source: design, "Payment when somebody vanishes".
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar, assert_never

from mutualedge.errors import MutualEdgeError
from mutualedge.identity import Consortium, has_quorum, leavers, verify_successor
from mutualedge.ledger import (
    AdoptTrust,
    Claim,
    Close,
    Command,
    Contradict,
    Executed,
    OpenLease,
    SetLimit,
    Settle,
)
from mutualedge.market import Commitment
from mutualedge.meter import RecordBatch, Statement, Voucher
from mutualedge.model import (
    JSON_INTEGER_MAX,
    NS_PER_MS,
    NS_PER_S,
    ZERO_DIGEST,
    Digest,
    EnterpriseId,
    KeyId,
    LeaseId,
    parse_instant,
)
from mutualedge.signing import Envelope, parse_canonical, verify_record

LEASE_AHEAD_NS_MAX = 366 * 86_400 * NS_PER_S
"""A lease ends within a year of its opening."""

DISPUTE_WINDOW_MS_MAX = 31 * 86_400 * 1_000
"""Longest dispute window, 31 days."""

EXIT_BLOCKS_MAX = 4096
"""A leaver executed one of so many last blocks."""

SWEEP_MAX = 256
"""Leases that fall due at the start of one block; the others wait for the next one."""

T = TypeVar("T")


class Refused(Exception):
    """The rules say no; ``reason`` is the last part of a finding's rule."""

    def __init__(self, reason: str, sentence: str) -> None:
        """Take why, for programs and for people."""
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


@dataclass(slots=True, kw_only=True)
class CreditLine:
    """From one debtor to one creditor: what it may owe, has reserved, has paid."""

    limit_microcredits: int = 0
    pending_microcredits: int = 0
    posted_microcredits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseBook:
    """One lease on the ledger.

    Attributes:
        status: open, claimed, closing, disputed, settled, closed or expired.
        held_microcredits: Still reserved; None once the lease is resolved.
        claimed_microcredits: What will have posted when the lease falls due.
        statement: Digest of the statement that settled it.
    """

    terms: Commitment
    ends_ns: int
    settles_until_ns: int
    due_ns: int
    status: str
    held_microcredits: int | None
    posted_microcredits: int = 0
    claimed_microcredits: int = 0
    contradicted: bool = False
    statement: Digest | None = None

    @property
    def requester(self) -> EnterpriseId:
        """Who pays."""
        return self.terms.requester

    @property
    def provider(self) -> EnterpriseId:
        """Who is paid."""
        return self.terms.provider


class Books:
    """Credit lines and leases, changed by one command after another."""

    def __init__(self, founding: Consortium) -> None:
        """Start before the first block, with the trust file that holds from it on."""
        self.consortium = founding
        self._following: Consortium | None = None
        self._digests = [ZERO_DIGEST]
        self.leases: dict[LeaseId, LeaseBook] = {}
        self._unresolved: dict[LeaseId, None] = {}
        self._lines: dict[tuple[EnterpriseId, EnterpriseId], CreditLine] = {}

    def balance_microcredits(self, enterprise: EnterpriseId) -> int:
        """Return what an enterprise earned less what it spent."""
        return sum(
            line.posted_microcredits * ((creditor == enterprise) - (debtor == enterprise))
            for (creditor, debtor), line in self._lines.items()
        )

    def sweep(self, now_ns: int) -> None:
        """Begin a block: the version adopted in the last one holds; what fell due is resolved."""
        self.consortium, self._following = self._following or self.consortium, None
        due = sorted((self.leases[each].due_ns, each) for each in self._unresolved)
        for due_ns, lease_id in due[:SWEEP_MAX]:
            if due_ns <= now_ns:
                self._resolve_due(lease_id)

    def seal(self, digest: Digest) -> None:
        """End a block; a leaver may say from now on that it executed this one last."""
        self._digests.append(digest)

    def run(self, command: Command, now_ns: int) -> None:
        """Carry one command out.

        Raises:
            Refused: The rules do not allow it; nothing changed.
        """
        caller, action = command.enterprise, command.action
        match action:
            case OpenLease():
                self._open(action, caller, now_ns)
            case Settle():
                self._settle(action, caller, now_ns)
            case Claim():
                self._claim(action, caller, now_ns)
            case Close():
                self._close(action, caller, now_ns)
            case Contradict():
                self._contradict(action, caller, now_ns)
            case SetLimit():
                self._set_limit(action, caller)
            case AdoptTrust():
                self._adopt(action, caller)
            case _:
                assert_never(action)

    # --- who is in

    def _adopt(self, action: AdoptTrust, caller: EnterpriseId) -> None:
        """From the next block on these members command; who leaves has nothing open."""
        try:
            adopted = verify_successor(action.trust, self.consortium)
        except MutualEdgeError as error:
            raise Refused("trust", f"its trust file follows no version: {error}") from error
        _refuse_if(self._following is not None, "trust-twice")
        self._refuse_exit(adopted, action.executed, caller)
        waiting = [self.leases[each] for each in self._unresolved]
        for name in leavers(self.consortium, adopted):
            is_open = any(name in {each.requester, each.provider} for each in waiting)
            _refuse_if(is_open, "removal")
        self._following = adopted

    def _refuse_exit(
        self, adopted: Consortium, executed: Executed | None, caller: EnterpriseId
    ) -> None:
        """Who is let go by its own word alone asks itself and says how far it went along."""
        is_signed = has_quorum(adopted.envelope, self.consortium)
        gone = leavers(self.consortium, adopted)
        if executed is None:
            _refuse_if(not is_signed, "exit-alone")
            return
        _refuse_if(caller not in gone, "exit-alone")
        _refuse_if(len(gone) > 1 and not is_signed, "exit-alone")
        recent = range(max(0, len(self._digests) - EXIT_BLOCKS_MAX), len(self._digests))
        _refuse_if(executed.height not in recent, "exit-block")
        _refuse_if(self._digests[executed.height] != executed.block, "exit-block")

    # --- two-sided life

    def _open(self, action: OpenLease, caller: EnterpriseId, now_ns: int) -> None:
        terms = self._commitment(action.commitment)
        lease_id = LeaseId(terms.lease)
        opens_by_ns, ends_ns = _instant_ns(terms.opens_by), _instant_ns(terms.ends)
        settles_until_ns = ends_ns + terms.dispute_window_ms * NS_PER_MS
        _refuse_if(caller not in {terms.requester, terms.provider}, "not-party")
        _refuse_if(lease_id in self.leases, "opened-twice")
        _refuse_if(self._leaves(terms.requester) or self._leaves(terms.provider), "leaving")
        _refuse_if(opens_by_ns <= now_ns, "opened-late")
        _refuse_if(ends_ns - now_ns > LEASE_AHEAD_NS_MAX, "opened-too-far")
        _refuse_if(terms.dispute_window_ms > DISPUTE_WINDOW_MS_MAX, "dispute-window")
        _refuse_if(self._has_older_unsigned(terms, now_ns), "older-unsigned")
        self._reserve(terms.requester, terms.provider, terms.cost_max_microcredits)
        self._unresolved[lease_id] = None
        self.leases[lease_id] = LeaseBook(
            terms=terms,
            ends_ns=ends_ns,
            settles_until_ns=settles_until_ns,
            due_ns=settles_until_ns,
            status="open",
            held_microcredits=terms.cost_max_microcredits,
        )

    def _leaves(self, enterprise: EnterpriseId) -> bool:
        return self._following is not None and not self._following.has(enterprise)

    def _settle(self, action: Settle, caller: EnterpriseId, now_ns: int) -> None:
        statement = _signed(action.statement, Statement)
        lease_id = LeaseId(statement.lease)
        lease = self._known(lease_id)
        _refuse_if(caller not in {lease.requester, lease.provider}, "not-party")
        _signed(action.statement, Statement, *self._keys(lease.requester, lease.provider))
        total = sum(each.total_microcredits for each in statement.lines)
        _refuse_if(total != statement.total_microcredits, "statement-sum")
        _refuse_if(lease.status == "settled", "settled-twice")
        _refuse_if(total > lease.terms.cost_max_microcredits, "beyond-cost")
        is_due = lease.held_microcredits is not None and lease.due_ns <= now_ns
        expires = lease.status == "expired" or (is_due and lease.status == "open")
        _refuse_if(not expires and (is_due or lease.held_microcredits is None), "final")
        _refuse_if(total < lease.posted_microcredits, "below-posted")
        if expires:
            lease = self._reserve_again(lease_id, lease, total)
        signed = replace(
            lease, claimed_microcredits=total, statement=action.statement.payload_digest
        )
        self._resolve(lease_id, signed, "settled")

    def _reserve_again(self, lease_id: LeaseId, lease: LeaseBook, total: int) -> LeaseBook:
        """Two signatures need no timely witness, only room on the credit line."""
        freed = lease.held_microcredits or 0
        self._reserve(lease.requester, lease.provider, total, freed_microcredits=freed)
        if lease.held_microcredits is not None:
            self._resolve_due(lease_id)
        self._unresolved[lease_id] = None
        return replace(self.leases[lease_id], held_microcredits=total)

    # --- one side alone

    def _claim(self, action: Claim, caller: EnterpriseId, now_ns: int) -> None:
        lease = self._unresolved_lease(action.lease, now_ns)
        _refuse_if(caller != lease.provider, "not-party")
        _refuse_outside_window(lease, now_ns)
        vouched = self._vouched(lease, action.lease, action.vouchers)
        extra = _proved_beyond(action, vouched)
        posted = sum(vouched.values())
        claimed = posted + extra
        _refuse_if(extra > lease.terms.exposure_microcredits, "beyond-window")
        _refuse_if(claimed > lease.terms.cost_max_microcredits, "beyond-cost")
        _refuse_if(extra > 0 and lease.contradicted, "contradicted")
        adds = posted > lease.posted_microcredits or claimed > lease.claimed_microcredits
        _refuse_if(not adds, "nothing-new")
        if lease.status == "open":
            lease = replace(lease, status="claimed")
        if extra and claimed > lease.claimed_microcredits:
            answer_ns = now_ns + lease.terms.dispute_window_ms * NS_PER_MS // 2
            due_ns = max(lease.due_ns, answer_ns // NS_PER_MS * NS_PER_MS)
            lease = replace(lease, due_ns=due_ns, claimed_microcredits=claimed)
        self.leases[action.lease] = self._post_up_to(lease, posted)

    def _close(self, action: Close, caller: EnterpriseId, now_ns: int) -> None:
        lease = self._unresolved_lease(action.lease, now_ns)
        _refuse_if(caller != lease.requester, "not-party")
        _refuse_outside_window(lease, now_ns)
        posted = sum(self._vouched(lease, action.lease, action.vouchers).values())
        _refuse_if(posted > lease.terms.cost_max_microcredits, "beyond-cost")
        known = lease.status in {"closing", "disputed"}
        _refuse_if(known and posted <= lease.posted_microcredits, "nothing-new")
        status = lease.status if known else "closing"
        self.leases[action.lease] = self._post_up_to(replace(lease, status=status), posted)

    def _contradict(self, action: Contradict, caller: EnterpriseId, now_ns: int) -> None:
        lease = self._unresolved_lease(action.lease, now_ns)
        _refuse_if(caller != lease.requester, "not-party")
        _refuse_if(lease.claimed_microcredits == lease.posted_microcredits, "nothing-pending")
        self.leases[action.lease] = replace(
            lease,
            status="disputed",
            claimed_microcredits=lease.posted_microcredits,
            contradicted=True,
        )

    def _set_limit(self, action: SetLimit, caller: EnterpriseId) -> None:
        self._keys(action.debtor)
        _refuse_if(action.debtor == caller, "limit-self")
        self._line(caller, action.debtor).limit_microcredits = action.limit_microcredits

    # --- credit lines

    def _line(self, creditor: EnterpriseId, debtor: EnterpriseId) -> CreditLine:
        return self._lines.setdefault((creditor, debtor), CreditLine())

    def _reserve(
        self,
        debtor: EnterpriseId,
        creditor: EnterpriseId,
        amount_microcredits: int,
        *,
        freed_microcredits: int = 0,
    ) -> None:
        """Hold the limit at this step: owed net, plus reserved, plus this, is within it."""
        line, opposite = self._line(creditor, debtor), self._line(debtor, creditor)
        owed = line.posted_microcredits - opposite.posted_microcredits
        used = owed + line.pending_microcredits - freed_microcredits
        _refuse_if(used + amount_microcredits > line.limit_microcredits, "overdrawn")
        spent = self._turnover(amount_microcredits, lambda pair: pair[1] == debtor)
        earned = self._turnover(amount_microcredits, lambda pair: pair[0] == creditor)
        _refuse_if(max(spent, earned) - freed_microcredits > JSON_INTEGER_MAX, "account-full")
        line.pending_microcredits += amount_microcredits

    def _turnover(
        self,
        amount_microcredits: int,
        concerns: Callable[[tuple[EnterpriseId, EnterpriseId]], bool],
    ) -> int:
        return amount_microcredits + sum(
            line.pending_microcredits + line.posted_microcredits
            for pair, line in self._lines.items()
            if concerns(pair)
        )

    def _post_up_to(self, lease: LeaseBook, total: int) -> LeaseBook:
        difference = total - lease.posted_microcredits
        if difference <= 0:
            return lease
        assert lease.held_microcredits is not None
        line = self._line(lease.provider, lease.requester)
        line.pending_microcredits -= difference
        line.posted_microcredits += difference
        return replace(
            lease,
            held_microcredits=lease.held_microcredits - difference,
            posted_microcredits=total,
            claimed_microcredits=max(total, lease.claimed_microcredits),
        )

    def _resolve(self, lease_id: LeaseId, lease: LeaseBook, status: str) -> None:
        """Post what is claimed, release the rest."""
        assert lease.held_microcredits is not None
        line = self._line(lease.provider, lease.requester)
        line.pending_microcredits -= lease.held_microcredits
        line.posted_microcredits += lease.claimed_microcredits - lease.posted_microcredits
        self.leases[lease_id] = replace(
            lease,
            status=status,
            held_microcredits=None,
            posted_microcredits=lease.claimed_microcredits,
        )
        del self._unresolved[lease_id]

    def _resolve_due(self, lease_id: LeaseId) -> None:
        lease = self.leases[lease_id]
        status = {"open": "expired", "disputed": "disputed"}.get(lease.status, "closed")
        self._resolve(lease_id, lease, status)

    # --- what a command rests on

    def _known(self, lease_id: LeaseId) -> LeaseBook:
        lease = self.leases.get(lease_id)
        if lease is None:
            raise Refused("lease-unknown", f"lease {lease_id} was never opened")
        return lease

    def _unresolved_lease(self, lease_id: LeaseId, now_ns: int) -> LeaseBook:
        lease = self._known(lease_id)
        _refuse_if(lease.held_microcredits is None or lease.due_ns <= now_ns, "final")
        return lease

    def _has_older_unsigned(self, terms: Commitment, now_ns: int) -> bool:
        pair = {terms.requester, terms.provider}
        waiting = (self.leases[each] for each in self._unresolved)
        return any(
            {each.requester, each.provider} == pair and each.ends_ns <= now_ns for each in waiting
        )

    def _commitment(self, envelope: Envelope) -> Commitment:
        claimed = _signed(envelope, Commitment)
        return _signed(envelope, Commitment, *self._keys(claimed.requester, claimed.provider))

    def _keys(self, *enterprises: EnterpriseId) -> list[bytes]:
        try:
            return [self.consortium.member(each).settlement_key for each in enterprises]
        except MutualEdgeError as error:
            raise Refused("not-member", error.sentence) from error

    def _vouched(
        self, lease: LeaseBook, lease_id: LeaseId, envelopes: Iterable[Envelope]
    ) -> dict[KeyId, int]:
        requester = self._keys(lease.requester)
        totals: dict[KeyId, int] = {}
        for envelope in envelopes:
            voucher = _signed(envelope, Voucher, *requester)
            _refuse_if(voucher.lease != lease_id or voucher.meter in totals, "evidence")
            totals[voucher.meter] = voucher.total_microcredits
        return totals


def _proved_beyond(action: Claim, vouched: dict[KeyId, int]) -> int:
    """Return what runners signed beyond the vouchers, over all meters."""
    proved: dict[KeyId, int] = {}
    for envelope in action.batches:
        key = _signed(envelope, RecordBatch).meter_key
        batch = _signed(envelope, RecordBatch, key)
        foreign = batch.lease != action.lease or batch.meter not in vouched
        _refuse_if(foreign or batch.meter in proved, "evidence")
        proved[batch.meter] = batch.total_microcredits
    return sum(max(0, total - vouched[meter]) for meter, total in proved.items())


def _signed(envelope: Envelope, kind: type[T], *keys: bytes) -> T:
    """Return the document if all these keys signed it; without keys, as it claims to be."""
    try:
        if keys:
            return verify_record(envelope, kind, *keys)
        return parse_canonical(envelope.payload, kind)
    except MutualEdgeError as error:
        raise Refused("evidence", error.sentence) from error


def _instant_ns(text: str) -> int:
    try:
        return parse_instant(text)
    except MutualEdgeError as error:
        raise Refused("evidence", error.sentence) from error


def _refuse_outside_window(lease: LeaseBook, now_ns: int) -> None:
    inside = lease.ends_ns <= now_ns < lease.settles_until_ns
    _refuse_if(not inside, "outside-window")


_SENTENCES = {
    "not-party": "its sender is no party to the lease",
    "opened-twice": "the lease was opened before",
    "opened-late": "the time by which it had to be opened was over",
    "opened-too-far": "the lease ends more than a year ahead",
    "dispute-window": "the dispute window is longer than 31 days",
    "older-unsigned": "an older lease between the two had ended and was unsigned",
    "statement-sum": "the statement's total is not the sum of its lines",
    "settled-twice": "a statement of this lease was settled before",
    "beyond-cost": "it asks for more than the lease can cost",
    "beyond-window": "its batches exceed the vouchers by more than W",
    "below-posted": "more had posted already",
    "contradicted": "the requester had contradicted",
    "nothing-new": "it adds nothing to what was claimed",
    "nothing-pending": "nothing beyond vouchers was claimed",
    "final": "the lease was resolved and final",
    "outside-window": "it came before the lease ended or after the dispute window",
    "overdrawn": "the requester's credit limit does not allow it",
    "account-full": "an account would overflow",
    "evidence": "a document in it is not this lease's, or twice, or not signed",
    "trust-twice": "the block had adopted another trust file before",
    "exit-alone": "who leaves by its own signature did not command just that, with its last block",
    "exit-block": "the block that the leaver executed last is none of these, or long ago",
    "removal": "a member that it removes was a party to an unresolved lease",
    "leaving": "one of the two leaves the consortium with this block",
    "limit-self": "an enterprise cannot lend to itself",
}


def _refuse_if(condition: bool, reason: str) -> None:
    if condition:
        raise Refused(reason, _SENTENCES[reason])
