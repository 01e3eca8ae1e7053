"""The consortium hub: orders ledger commands into blocks, hands them out, and witnesses logs."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from mutualedge.consortium.allowance import Allowance
from mutualedge.consortium.enrolment import Enrolment
from mutualedge.consortium.rows import BLOCK_BUCKET, LEDGER_BUCKET, block_row_key
from mutualedge.consortium.views import HubSnapshot, MemberView
from mutualedge.consortium.witness import WITNESS_BUCKET, WitnessDesk
from mutualedge.errors import CorruptState, MutualEdgeError, PeerError, RefusedByPolicy
from mutualedge.identity import Consortium
from mutualedge.ledger import BLOCK_SKEW_NS_MAX, CLOCK_ADVICE, Countersignature, Ledger
from mutualedge.model import NS_PER_MS, NS_PER_S, EnterpriseId, format_instant
from mutualedge.protocol import (
    BLOCKS_MAX,
    Accepted,
    AddCheckpoint,
    Answer,
    AskBlocks,
    Asked,
    AskLedger,
    Blocks,
    CommandsOrdered,
    Effects,
    Event,
    Note,
    Refused,
    Renew,
    Reply,
    Restart,
    SignedBlock,
    StoreView,
    SubmitCommands,
    SubmitCountersignatures,
    Write,
)
from mutualedge.protocol.enrolment import EnrolmentRequest
from mutualedge.signing import (
    Envelope,
    SigningKey,
    key_id_of,
    parse_canonical,
    valid_signers,
    verify_record,
)

GATHER_NS = 2 * NS_PER_MS
"""How long the first command of a block waits for others: one fsync then serves them all."""

MEMPOOL_MAX = 1024
"""Commands waiting for a block; above it the asker is told to come back."""

COMMANDS_BURST = MEMPOOL_MAX
COMMANDS_PER_S = 4
"""New commands of one member: a block costs every member its rows for ever. A lease takes two."""

AWAY_NS_MAX = 60 * NS_PER_S
"""A lease that fell due longer ago than this, and nobody resolved it, says that no hub was there:
one restarts within seconds, and its parties' windows last for hours."""

REPLY_BYTES_MAX = 768 << 10
"""Bytes of blocks in one reply: one message carries 1 MiB, one block is below this."""

RENEWED_EVERY_NS = 600 * NS_PER_S
"""Renewals take effect at most this often: each takes the bus down for a second, for everybody."""

RECENT_BLOCKS = 256
"""Blocks kept in memory; older ones are read from their rows, which are long durable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    ask_id: int
    commands: tuple[Envelope, ...]


class Hub:
    """Pure state machine of the hub process: one event in, its effects out."""

    def __init__(
        self,
        *,
        consortium: Consortium,
        writer: SigningKey,
        witness: SigningKey,
        store: StoreView,
        enrolment: Enrolment | None = None,
    ) -> None:
        """Restore ledger, blocks and witness memory from their rows.

        Args:
            consortium: The founding trust file; the ledger's rows know every later version.
            writer: Key of the ledger writer.
            witness: Key of the hub's witness.
            store: Rows of this hub.
            enrolment: Who joins; without it nobody can.
        """
        self._writer = writer
        self._store = store
        self.ledger = Ledger(consortium, store.scan(LEDGER_BUCKET))
        self._consortium = self.ledger.consortium
        self._witness = WitnessDesk(
            self._consortium, consortium.trust.witness_name, witness, store.scan(WITNESS_BUCKET)
        )
        self._enrolment = enrolment
        self._begun_ns: int | None = None
        self._open_doors_at_ns: int | None = None
        self._recent: dict[int, SignedBlock] = {}
        self._mempool: list[_Waiting] = []
        self._allowance = Allowance(burst=COMMANDS_BURST, per_s=COMMANDS_PER_S)
        self._seal_at_ns: int | None = None
        self._lag_ns = 0
        self._due_ns = self.ledger.next_due_ns()
        self._effects = Effects()
        self._validated_height = -1
        self._heard_ns: dict[str, int | None] = {
            each.enterprise: None for each in self._consortium.members
        }
        self._done_count = self._refused_count = 0
        self._final_height = self._stored_final_height()

    @property
    def consortium(self) -> Consortium:
        """The trust file this hub was made for; a later one makes it anew."""
        return self._consortium

    @property
    def wake_ns(self) -> int | None:
        """When ``TimerFired`` is due, if it is."""
        times = (self._seal_at_ns, self._block_due_ns, self._open_doors_at_ns)
        return min((each for each in times if each is not None), default=None)

    @property
    def _block_due_ns(self) -> int | None:
        """When a lease falls due, by the clock that the ledger runs behind."""
        return None if self._due_ns is None else self._due_ns + self._lag_ns

    def handle(self, event: Event, now_ns: int) -> Effects:
        """Return what to do about an event; writes are durable before outputs leave."""
        self._effects = Effects()
        if self._begun_ns is None:
            self._begin(now_ns)
        if isinstance(event, Asked):
            self._hear(event.peer, now_ns)
            self._answer_asked(event, now_ns)
        if any(at is not None and now_ns >= at for at in (self._seal_at_ns, self._block_due_ns)):
            self._seal_block(now_ns)
        self._follow_trust(now_ns)
        return self._effects

    def _begin(self, now_ns: int) -> None:
        """Go on with the ledger's time where it stopped, if leases fell due while no hub was there.

        Nobody could claim meanwhile; so the ledger runs behind the clock until none of them is
        left. It stands still instead where the clock is behind it.
        """
        self._begun_ns = now_ns
        if self._enrolment is not None:
            self._enrolment.begin(now_ns)
        behind_ns = self.ledger.time_ns - now_ns
        if behind_ns > BLOCK_SKEW_NS_MAX:
            self._note("clock.behind", by_s=behind_ns // NS_PER_S, advice=CLOCK_ADVICE)
        resume_ns = self.ledger.resume_ns()
        if resume_ns is not None and (self._due_ns or now_ns) < now_ns - AWAY_NS_MAX:
            self._lag_ns = now_ns - resume_ns
            self._note("ledger.resumed", behind_s=self._lag_ns // NS_PER_S)

    def _follow_trust(self, now_ns: int) -> None:
        """Start again once trust file or doors are others than those of this life."""
        adopted = self.ledger.consortium
        if adopted is not self._consortium:
            version = adopted.trust.version
            self._note("trust.adopted", version=version, members=len(adopted.members))
            self._effects.outputs.append(Restart(reason=f"trust file version {version}"))
        elif self._open_doors_at_ns is not None and now_ns >= self._open_doors_at_ns:
            self._effects.outputs.append(Restart(reason="a member renewed its credentials"))

    def _hear(self, peer: str, now_ns: int) -> None:
        if peer in self._heard_ns:
            self._heard_ns[peer] = now_ns

    def _answer_asked(self, asked: Asked, now_ns: int) -> None:
        try:
            reply = self._reply_to(asked, now_ns)
        except MutualEdgeError as error:
            reply = Refused(code=error.code, sentence=error.sentence)
        if reply is not None:
            self._answer(asked.ask_id, reply)

    def _reply_to(self, asked: Asked, now_ns: int) -> Reply | None:
        match asked.request:
            case SubmitCommands(commands=commands):
                return self._gather(asked, commands, now_ns)
            case AskBlocks(from_height=height):
                self._verify_member(asked)  # who was one has no account on the bus any more
                return self._blocks_from(height, self.ledger.height)
            case SubmitCountersignatures(countersignatures=envelopes):
                for envelope in envelopes:
                    self._keep_countersignature(envelope)
                return Accepted()
            case AddCheckpoint(body=body):
                self._verify_member(asked)
                return self._cosign(body, now_ns)
            case request if isinstance(request, EnrolmentRequest) and self._enrolment:
                return self._enrol(self._enrolment, request, now_ns)
            case other:
                sentence = f"The hub does not answer '{type(other).__name__}'; ask a member."
                raise PeerError("hub.request.misplaced", sentence)

    def _verify_member(self, asked: Asked) -> None:
        """Refuse what a question does not prove by itself, from who never had an account.

        Raises:
            RefusedByPolicy: It neither is a member nor was one.
        """
        if not any(each.enterprise == asked.peer for each in self._consortium.everyone):
            sentence = f"Only members may ask '{type(asked.request).__name__}', over the bus."
            raise RefusedByPolicy("hub.request.members-only", sentence)

    def _enrol(self, desk: Enrolment, request: EnrolmentRequest, now_ns: int) -> Reply:
        if isinstance(request, AskLedger):
            reader = desk.verify_reader(request, self._consortium, now_ns)
            return self._blocks_from(request.from_height, self.ledger.last_height_of(reader))
        reply = desk.answer(request, self._consortium, now_ns)
        writes = desk.take_writes()
        self._effects.writes.extend(writes)
        if isinstance(request, Renew) and writes:
            self._open_doors_soon(now_ns)
        return reply

    def _open_doors_soon(self, now_ns: int) -> None:
        """Have the bus started again with the doors renewed, unless that was a moment ago."""
        assert self._begun_ns is not None, "the event that brought the renewal began this life"
        if self._open_doors_at_ns is None:
            self._open_doors_at_ns = max(now_ns, self._begun_ns + RENEWED_EVERY_NS)

    def _gather(self, asked: Asked, commands: tuple[Envelope, ...], now_ns: int) -> Reply | None:
        if sum(len(waiting.commands) for waiting in self._mempool) + len(commands) > MEMPOOL_MAX:
            sentence = f"More than {MEMPOOL_MAX} commands wait for a block; ask again in a second."
            return Refused(code="hub.mempool.full", sentence=sentence)
        parsed = [(self.ledger.verify_command(command), command) for command in commands]
        new = [
            (command, envelope)
            for command, envelope in parsed
            if not self.ledger.is_answered(command, envelope.payload_digest)
        ]
        if not new:  # whoever read a block could send its commands again and again
            return CommandsOrdered(height=self.ledger.height)
        if not self._allowance.take((command.enterprise for command, _ in new), now_ns):
            sentence = (
                f"One member may send {COMMANDS_PER_S} commands a second for long, {COMMANDS_BURST}"
                " at once; ask again in a second."
            )
            return Refused(code="hub.member.full", sentence=sentence)
        told = tuple(envelope for _, envelope in new)
        self._mempool.append(_Waiting(ask_id=asked.ask_id, commands=told))
        if self._seal_at_ns is None:
            self._seal_at_ns = now_ns + GATHER_NS
        return None

    def _seal_block(self, now_ns: int) -> None:
        self._seal_at_ns = None
        commands = [each for waiting in self._mempool for each in waiting.commands]
        if not commands:
            self._execute([], now_ns)
        while commands:
            count = self.ledger.fit(commands)
            self._execute(commands[:count], now_ns)
            commands = commands[count:]
        for waiting in self._mempool:
            self._answer(waiting.ask_id, CommandsOrdered(height=self.ledger.height))
        self._mempool = []

    def _execute(self, commands: list[Envelope], now_ns: int) -> None:
        execution = self.ledger.execute(commands, now_ns - self._lag_ns, self._writer)
        self._due_ns = self.ledger.next_due_ns()
        if self._due_ns is None or self._due_ns > now_ns:
            self._lag_ns = 0
        for key, value in execution.writes.items():
            self._write(LEDGER_BUCKET, key, value)
        self._keep_block(
            self.ledger.height, SignedBlock(block=execution.block, countersignatures=())
        )
        refused = sum(not outcome.is_done for outcome in execution.outcomes)
        self._refused_count += refused
        self._done_count += len(execution.outcomes) - refused
        self._note(
            "block.sealed", height=self.ledger.height, commands=len(commands), refused=refused
        )

    def _keep_block(self, height: int, signed: SignedBlock) -> None:
        if height > self.ledger.height - RECENT_BLOCKS:
            self._recent[height] = signed
            self._recent.pop(height - RECENT_BLOCKS, None)
        self._write(BLOCK_BUCKET, block_row_key(height), msgspec.msgpack.encode(signed))

    def _blocks_from(self, height: int, until: int) -> Blocks:
        last = min(until, height + BLOCKS_MAX - 1)
        blocks: list[SignedBlock] = []
        reply_bytes = 0
        for each in range(height, last + 1):
            block = self._block(each)
            reply_bytes += len(msgspec.msgpack.encode(block))
            if blocks and reply_bytes > REPLY_BYTES_MAX:
                break
            blocks.append(block)
        return Blocks(blocks=tuple(blocks), height=until)

    def _block(self, height: int) -> SignedBlock:
        if height in self._recent:
            return self._recent[height]
        raw = self._store.get(BLOCK_BUCKET, block_row_key(height))
        if raw is None:
            sentence = f"Block {height} is missing from the store; restore it from its backup."
            raise CorruptState("hub.block.missing", sentence)
        return msgspec.msgpack.decode(raw, type=SignedBlock)

    def _keep_countersignature(self, envelope: Envelope) -> None:
        claimed = parse_canonical(envelope.payload, Countersignature)
        members = self.ledger.consortium_at(claimed.height).members
        keys = {key_id_of(each.settlement_key): each.settlement_key for each in members}
        signers = valid_signers(envelope, keys)
        if len(signers) != 1 or len(envelope.signatures) != 1:
            sentence = "A countersignature has exactly one signature, and it is a member's."
            raise PeerError("hub.countersignature.unsigned", sentence)
        verify_record(envelope, Countersignature, keys[signers[0]])
        if not 1 <= claimed.height <= self.ledger.height:
            sentence = f"There is no block {claimed.height} yet."
            raise PeerError("hub.countersignature.ahead", sentence)
        signed = self._block(claimed.height)
        if signed.block.payload_digest != claimed.block:
            sentence = f"A member countersigned another block {claimed.height} than ours."
            raise PeerError("hub.countersignature.other-block", sentence)
        known = {each.signatures[0].keyid for each in signed.countersignatures}
        if signers[0] not in known:
            all_signed = (*signed.countersignatures, envelope)
            block = SignedBlock(block=signed.block, countersignatures=all_signed)
            self._keep_block(claimed.height, block)
            self._raise_final_height()

    def _raise_final_height(self) -> None:
        while self._final_height < self.ledger.height and self._is_final(
            self._final_height + 1, self._block(self._final_height + 1)
        ):
            self._final_height += 1

    def _is_final(self, height: int, signed: SignedBlock) -> bool:
        """Tell whether enough members countersigned; only verified signatures are kept, once."""
        signers = [each.signatures[0].keyid for each in signed.countersignatures]
        return self.ledger.is_quorum(height, signers)

    def _stored_final_height(self) -> int:
        height = 0
        for _, value in self._store.scan(BLOCK_BUCKET):
            if not self._is_final(height + 1, msgspec.msgpack.decode(value, type=SignedBlock)):
                break
            height += 1
        return height

    def _cosign(self, body: str, now_ns: int) -> Reply:
        reply, rows = self._witness.answer(body, now_ns // NS_PER_S)
        for bucket, key, value in rows:
            self._write(bucket, key, value)
        return reply

    def _write(self, bucket: str, key: str, value: bytes | None) -> None:
        self._effects.writes.append(Write(bucket=bucket, key=key, value=value))

    def _answer(self, ask_id: int, reply: Reply) -> None:
        self._effects.outputs.append(Answer(ask_id=ask_id, reply=reply))

    def _note(self, name: str, **fields: str | int) -> None:
        self._effects.outputs.append(Note(name=name, fields=tuple(fields.items())))

    def snapshot(self) -> HubSnapshot:
        """Return what an operator may see; nothing else of the hub is shown anywhere."""
        trust = self._consortium.trust
        log_sizes = {each.origin: each.size for each in self._witness.snapshot()}
        return HubSnapshot(
            consortium=trust.consortium,
            trust_version=trust.version,
            assurance=trust.assurance,
            ledger_height=self.ledger.height,
            final_height=self._final_height,
            commands_waiting=sum(len(waiting.commands) for waiting in self._mempool),
            commands_done=self._done_count,
            commands_refused=self._refused_count,
            members=tuple(
                self._member_view(member.enterprise, log_sizes)
                for member in self._consortium.members
            ),
        )

    def _member_view(self, name: EnterpriseId, log_sizes: Mapping[str, int]) -> MemberView:
        heard_ns = self._heard_ns[name]
        return MemberView(
            enterprise=name,
            heard=None if heard_ns is None else format_instant(heard_ns),
            balance_microcredits=self.ledger.balance(name).balance_microcredits,
            log_size=log_sizes.get(self._consortium.log_origin(name), 0),
        )

    def validate(self) -> None:
        """Assert the ledger's invariants, once a block."""
        if self._validated_height != self.ledger.height:
            self.ledger.validate()
            self._validated_height = self.ledger.height
