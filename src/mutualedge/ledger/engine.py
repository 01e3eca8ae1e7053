"""The embedded engine: one writer orders, every member executes again, both get the same state."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from mutualedge.errors import CorruptState, PeerError, RefusedByPolicy, UsageError
from mutualedge.identity import Consortium
from mutualedge.ledger.accounts import (
    Account,
    CreditLine,
    credit_line,
    read_account,
)
from mutualedge.ledger.blocks import (
    BLOCK_BYTES_MAX,
    GENESIS,
    Block,
    Countersignature,
    DroppedCommand,
    Execution,
    Head,
    chain_state,
    fit,
)
from mutualedge.ledger.commands import (
    DONE,
    SENTENCE_BYTES_MAX,
    Command,
    Executed,
    Outcome,
    verify_command,
)
from mutualedge.ledger.context import decode_row, read_row
from mutualedge.ledger.contract import perform, record_outcome, recorded_outcome
from mutualedge.ledger.invariants import (
    assert_leases_hold_reservations,
    assert_transfers_explain_accounts,
    assert_zero_sum,
)
from mutualedge.ledger.lease_state import DUE_TABLE, LEASE_TABLE, Lease
from mutualedge.ledger.leases import older_unsigned, sweep
from mutualedge.ledger.snapshot import Snapshot, snapshot_of
from mutualedge.ledger.store import NOBODY, Store
from mutualedge.ledger.trust import TRUST_TABLE, TrustVersions, verify_adoptable
from mutualedge.model import (
    NS_PER_MS,
    NS_PER_S,
    Digest,
    EnterpriseId,
    InvocationId,
    LeaseId,
    format_instant,
    parse_instant,
)
from mutualedge.signing import (
    Envelope,
    SigningKey,
    canonical_bytes,
    key_id_of,
    media_type,
    sign_record,
    valid_signers,
    verify_record,
)

HEAD_KEY, EXECUTED_TABLE = "chain/head", "executed/"
"""The engine's own rows: they commit with the state but are no part of what its hash covers."""

EXECUTED_MAX = 4096
"""Blocks whose digest is remembered, to tell a repetition from a fork; older ones are in rows."""

BLOCK_SKEW_NS_MAX = 30 * NS_PER_S
"""A writer that rushes time could post claims before anybody contradicts them; members' clocks
are within seconds of each other, so a block further ahead than this is refused."""

CLOCK_ADVICE = "correct the clock that is wrong, here or at the hub; start that process again"


_Accepted = tuple[Command, Envelope]


class Ledger:
    """State of the consortium's ledger on one node, as writer or as follower.

    A block changes the memory at once; the caller persists ``Execution.writes`` in one durable
    transaction before a block, outcome or countersignature leaves, and rebuilds from those rows.
    """

    def __init__(self, founding: Consortium, rows: Iterable[tuple[str, bytes]]) -> None:
        """Take the founding trust file and all rows written so far, none for a new ledger.

        Raises:
            CorruptState: There are rows but not the one that says at which height, or those of
                later trust files do not follow the founding one.
        """
        found = dict(rows)
        raw = found.pop(HEAD_KEY, None)
        if raw is None and found:
            sentence = f"The ledger has {len(found)} rows but no head; rebuild it from its blocks."
            raise CorruptState("ledger.head.missing", sentence)
        self._head = GENESIS if raw is None else decode_row(HEAD_KEY, raw, Head)
        self._executed = {
            key: found.pop(key) for key in sorted(found) if key.startswith(EXECUTED_TABLE)
        }
        self._store = Store(found.items(), self._digest_at)
        self._trusts = TrustVersions(founding, self._store.rows(TRUST_TABLE))
        self._parsed: tuple[Envelope, Block] | None = None  # the last: it is asked about in turn

    fit = staticmethod(fit)

    @property
    def consortium(self) -> Consortium:
        """The version of the trust file that holds for the next block."""
        return self._trusts.latest

    def consortium_at(self, height: int) -> Consortium:
        """Return the version of the trust file that holds for the block of this height."""
        return self._trusts.at(height)

    def last_height_of(self, enterprise: EnterpriseId) -> int:
        """Return the last block whose members an enterprise is among, 0 if none."""
        return self._trusts.last_height_of(enterprise, self.height)

    def verify_adoptable(self, trust: Envelope) -> Consortium:
        """Return the version that the ledger would adopt with its next block.

        Raises:
            RefusedByPolicy: It is no successor of the present one, or a member that leaves has a
                lease that is not resolved.
        """
        return verify_adoptable(self._store, self.consortium, trust)

    @property
    def height(self) -> int:
        """Number of blocks so far."""
        return self._head.height

    @property
    def time_ns(self) -> int:
        """What the last block says the time is, 0 before the first."""
        return parse_instant(self._head.time) if self._head.height else 0

    @property
    def state_digest(self) -> Digest:
        """Equal on every replica that executed the same blocks."""
        return self._head.state

    @property
    def head_digest(self) -> Digest:
        """Digest of the last block, zeros before the first."""
        return self._head.block

    def execute(self, commands: Sequence[Envelope], now_ns: int, writer: SigningKey) -> Execution:
        """Carry commands out in this order and return the signed block of them.

        Args:
            commands: Submitted envelopes, at most ``fit(commands)``; may be empty, which only
                resolves what is due.
            now_ns: The writer's clock; the block's time is never before the last one's.
            writer: Key of the ledger writer.

        Raises:
            UsageError: Not the writer's key, or more commands than fit.
        """
        if writer.public_bytes != self.consortium.trust.writer_key:
            sentence = "This key is not the ledger writer's; followers would refuse its blocks."
            raise UsageError("ledger.writer.key", sentence)
        if fit(commands) < len(commands):
            sentence = (
                f"Of {len(commands)} commands {fit(commands)} fit one block; send the rest later."
            )
            raise UsageError("ledger.block.too-many", sentence)
        accepted, dropped = self._screen(commands)
        time = max(self._head.time, format_instant(now_ns))
        with self._store.attempt():
            outcomes = self._run(accepted, parse_instant(time))
            block = Block(
                height=self._head.height + 1,
                previous=self._head.block,
                time=time,
                commands=tuple(envelope for _, envelope in accepted),
                outcomes=outcomes,
                state=chain_state(self._head.state, self._store.writes()),
            )
            execution = self._advance(block, sign_record(block, writer))
        return replace(execution, dropped=dropped)

    def apply(self, envelope: Envelope, now_ns: int) -> dict[str, bytes | None]:
        """Carry the writer's next block out again and return the rows to persist.

        Nothing changes unless all of it agrees.

        Args:
            envelope: Signed block.
            now_ns: This follower's clock.

        Raises:
            PeerError: The block is not the writer's next one, or claims another result.
        """
        block = self.parse_block(envelope)
        if len(envelope.payload) > BLOCK_BYTES_MAX:
            sentence = f"Block {block.height} exceeds {BLOCK_BYTES_MAX} bytes; its writer is wrong."
            raise PeerError("ledger.block.oversize", sentence)
        self._refuse_misplaced(block, envelope.payload_digest, now_ns)
        accepted, dropped = self._screen(block.commands)
        if dropped:
            sentence = f"Block {block.height} holds what no member commanded ({dropped[0].code})."
            raise PeerError("ledger.block.command", sentence)
        with self._store.attempt():
            outcomes = self._run(accepted, parse_instant(block.time))
            if outcomes != block.outcomes:
                sentence = f"Block {block.height} states other outcomes than its commands have."
                raise PeerError("ledger.block.outcomes", sentence)
            if chain_state(self._head.state, self._store.writes()) != block.state:
                sentence = f"Block {block.height} states a digest its commands do not lead to."
                raise PeerError("ledger.block.state", sentence)
            return self._advance(block, envelope).writes

    def verify_command(self, envelope: Envelope) -> Command:
        """Return what a submitted envelope commands, before it waits for a block.

        Raises:
            PeerError: It is no member's command.
        """
        return verify_command(envelope, self.consortium)

    def parse_block(self, envelope: Envelope) -> Block:
        """Return the block inside an envelope if the ledger writer signed it.

        Raises:
            PeerError: It did not.
        """
        if self._parsed is not None and envelope is self._parsed[0]:
            return self._parsed[1]
        try:
            block = verify_record(envelope, Block, self.consortium.trust.writer_key)
        except PeerError as error:
            sentence = f"This is no block of the consortium's ledger writer ({error.code})."
            raise PeerError("ledger.block.forged", sentence) from error
        self._parsed = (envelope, block)
        return block

    def countersign(
        self,
        block: Envelope,
        settlement_key: SigningKey,
        enterprise: EnterpriseId,
        *,
        kept: Digest | None = None,
    ) -> Envelope:
        """Return a member's word that it executed this block and got its result.

        Args:
            block: Of the writer.
            settlement_key: The member's.
            enterprise: The member.
            kept: As in ``verify_executed``.

        Raises:
            UsageError: Not executed here, or not the member's settlement key.
            PeerError: No member at that height, or no block of the writer.
        """
        height = self.verify_executed(block, kept=kept)
        member = self.consortium_at(height).member(enterprise)
        if settlement_key.public_bytes != member.settlement_key:
            sentence = f"This is not the settlement key of '{enterprise}'."
            raise UsageError("ledger.countersign.key", sentence)
        word = Countersignature(height=height, block=block.payload_digest)
        return sign_record(word, settlement_key)

    def verify_executed(self, block: Envelope, *, kept: Digest | None = None) -> int:
        """Return the height of a block that was executed here, exactly this one.

        Args:
            block: Of the writer.
            kept: Digest of the block of this height in the caller's own rows, which it wrote when
                it was executed; believed where it is too long ago to be remembered here.

        Raises:
            UsageError: Not executed here; the writer may have signed two of this height.
            PeerError: No block of the writer.
        """
        height = self.parse_block(block).height
        remembered = self._digest_at(height) if self.remembers(height) else None
        executed = kept if remembered is None and height <= self.height else remembered
        if executed != block.payload_digest:
            sentence = f"This block {height} was not executed here, so it cannot be vouched for."
            raise UsageError("ledger.countersign.not-executed", sentence)
        return height

    def remembers(self, height: int) -> bool:
        """Tell whether the block of this height was executed here lately enough to vouch for it."""
        return _executed_key(height) in self._executed

    @property
    def executed(self) -> Executed:
        """What a member says that leaves: its last block, and that it executed all until it."""
        return Executed(height=self._head.height, block=self._head.block)

    def _digest_at(self, height: int) -> Digest | None:
        if height == 0:
            return GENESIS.block if self.height < EXECUTED_MAX else None
        digest = self._executed.get(_executed_key(height))
        return None if digest is None else Digest(digest.decode())

    def is_final(self, block: Envelope, countersignatures: Iterable[Envelope]) -> bool:
        """Tell whether more than two thirds of its members countersigned exactly this block.

        Its members are those of the trust file that holds at its height; one that left since said
        which block it executed last, and holds nobody up.

        Raises:
            PeerError: It is no block of the writer.
        """
        height = self.parse_block(block).height
        word = Countersignature(height=height, block=block.payload_digest)
        expected = canonical_bytes(word)
        members = self.consortium_at(height).members
        keys = {key_id_of(each.settlement_key): each.settlement_key for each in members}
        signers = {
            signer
            for each in countersignatures
            if each.payload == expected and each.payload_type == media_type(Countersignature)
            for signer in valid_signers(each, keys)
        }
        return self.is_quorum(height, signers)

    def is_quorum(self, height: int, signers: Collection[str]) -> bool:
        """Tell whether a block is final by the words of these, and by what its leavers said.

        Args:
            height: The block's.
            signers: Key ids of those whose countersignatures of it were verified.
        """
        return self._trusts.is_quorum(height, signers)

    def lease(self, lease_id: LeaseId) -> Lease | None:
        """Return what is known of a lease."""
        return read_row(self._store, LEASE_TABLE + lease_id, Lease)

    def has_older_unsigned(self, one: EnterpriseId, other: EnterpriseId, now_ns: int) -> bool:
        """Tell whether a lease between two, either way, is over and not resolved by now."""
        return older_unsigned(self._store, one, other, now_ns) is not None

    def position(self, creditor: EnterpriseId, debtor: EnterpriseId) -> CreditLine:
        """Return how a debtor stands with a creditor."""
        return credit_line(self._store, creditor, debtor)

    def balance(self, enterprise: EnterpriseId) -> Account:
        """Return an enterprise's four counters; ``balance_microcredits`` is its mileage."""
        return read_account(self._store, enterprise)

    def is_answered(self, command: Command, digest: Digest) -> bool:
        """Tell whether exactly this command, in an envelope of this digest, has its outcome."""
        recorded = recorded_outcome(self._store, command.enterprise, command.id)
        return recorded is not None and recorded.command == digest

    def outcome(self, enterprise: EnterpriseId, command_id: InvocationId) -> Outcome | None:
        """Return what an enterprise's command was answered; ids are each enterprise's own."""
        recorded = recorded_outcome(self._store, enterprise, command_id)
        return None if recorded is None else recorded.outcome

    def next_due_ns(self) -> int | None:
        """Return when the next lease falls due, so that the writer knows when to make a block."""
        for key, _ in self._store.scan(DUE_TABLE):
            return parse_instant(key.split("/")[1])
        return None

    def resume_ns(self) -> int | None:
        """Return the time at which a writer that was away goes on, None if nothing is unresolved.

        It is that of the last block, or when the parties of the lease that falls due first began to
        have their dispute window, whichever is later: while no block was made, nobody could claim.
        """
        for key, _ in self._store.scan(DUE_TABLE):
            _, due, lease_id = key.split("/")
            lease = self.lease(LeaseId(lease_id))
            assert lease is not None, "what falls due is there"
            window_ns = lease.dispute_window_ms * NS_PER_MS
            return max(self.time_ns, parse_instant(due) - window_ns)
        return None

    def snapshot(self) -> Snapshot:
        """Return an immutable view of everything but outcomes and resolved transfers."""
        return snapshot_of(self._head, self._store)

    def validate(self) -> None:
        """Assert every invariant of the state between two blocks; reads all of it."""
        assert self._store.writes() == {}, "a block was left half executed"
        assert_zero_sum(self._store)
        assert_transfers_explain_accounts(self._store)
        assert_leases_hold_reservations(self._store)

    def _screen(
        self, commands: Sequence[Envelope]
    ) -> tuple[list[_Accepted], tuple[DroppedCommand, ...]]:
        accepted: list[_Accepted] = []
        dropped: list[DroppedCommand] = []
        for index, envelope in enumerate(commands):
            try:
                command = verify_command(envelope, self.consortium)
            except PeerError as error:
                reason = DroppedCommand(index=index, code=error.code, sentence=error.sentence)
                dropped.append(reason)
            else:
                accepted.append((command, envelope))
        return accepted, tuple(dropped)

    def _run(self, accepted: Sequence[_Accepted], now_ns: int) -> tuple[Outcome, ...]:
        self._store.now_ns, self._store.caller = now_ns, NOBODY
        self._store.height = self.height + 1
        sweep(self._store)
        return tuple(
            self._run_once(command, envelope.payload_digest) for command, envelope in accepted
        )

    def _run_once(self, command: Command, digest: Digest) -> Outcome:
        """Return the recorded outcome of a command that came before, else run and record it."""
        recorded = recorded_outcome(self._store, command.enterprise, command.id)
        if recorded is None:
            outcome = self._run_new(command)
            record_outcome(self._store, command, digest, outcome)
            return outcome
        if recorded.command == digest:
            return recorded.outcome
        sentence = f"Command id {command.id} was used for another command; draw a new id."
        return self._outcome(command, "ledger.command.id-reused", sentence)

    def _run_new(self, command: Command) -> Outcome:
        self._store.caller = command.enterprise
        try:
            with self._store.attempt():
                perform(self._store, self.consortium, command)
        except RefusedByPolicy as refusal:
            return self._outcome(command, refusal.code, refusal.sentence)
        return self._outcome(command, DONE, "Done.")

    def _outcome(self, command: Command, code: str, sentence: str) -> Outcome:
        assert len(sentence.encode()) <= SENTENCE_BYTES_MAX, "our own template is too long"
        return Outcome(id=command.id, code=code, sentence=sentence, height=self.height + 1)

    def _refuse_misplaced(self, block: Block, digest: Digest, now_ns: int) -> None:
        head = self._head
        if block.height > head.height + 1:
            sentence = f"Block {block.height} came after {head.height}; fetch those between."
            raise PeerError("ledger.block.gap", sentence)
        known = self._executed.get(_executed_key(block.height))
        if block.height <= head.height and known in {None, digest.encode()}:
            sentence = f"Block {block.height} came when {head.height} are executed already."
            raise PeerError("ledger.block.repeated", sentence)
        if known is not None or block.previous != head.block:
            sentence = (
                f"The writer signed two blocks {block.height} or two before it: it forked the "
                "ledger. Stop settling, keep this block, and show it to the members."
            )
            raise PeerError("ledger.block.fork", sentence)
        if block.time < head.time:
            sentence = (
                f"Block {block.height} says {block.time}, before the one at {head.time}; its "
                "writer must never go back. Keep this block, and show it to the members."
            )
            raise PeerError("ledger.block.time", sentence)
        # The time of the block before it adds nothing to what was executed here already.
        if block.time > max(head.time, format_instant(now_ns + BLOCK_SKEW_NS_MAX)):
            here = format_instant(now_ns)
            sentence = f"Block {block.height} says {block.time}, our clock {here}: {CLOCK_ADVICE}."
            raise PeerError("ledger.block.ahead", sentence)

    def _advance(self, block: Block, envelope: Envelope) -> Execution:
        assert len(envelope.payload) <= BLOCK_BYTES_MAX, "fit() and apply() let no larger one here"
        head = Head(
            height=block.height, block=envelope.payload_digest, state=block.state, time=block.time
        )
        own_rows = self._remember(head)
        execution = Execution(
            block=envelope,
            outcomes=block.outcomes,
            writes={**self._store.writes(), **own_rows},
            events=self._store.events,
        )
        self._trusts.take(self._store.writes())
        self._store.commit()
        return execution

    def _remember(self, head: Head) -> dict[str, bytes | None]:
        """Move the head and return the engine's own rows that change with it."""
        self._head = head
        rows: dict[str, bytes | None] = {HEAD_KEY: canonical_bytes(head)}
        rows[_executed_key(head.height)] = head.block.encode()
        self._executed[_executed_key(head.height)] = head.block.encode()
        forgotten = _executed_key(head.height - EXECUTED_MAX)
        if self._executed.pop(forgotten, None) is not None:
            rows[forgotten] = None
        return rows


def _executed_key(height: int) -> str:
    return f"{EXECUTED_TABLE}{height:012d}"
