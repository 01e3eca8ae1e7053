"""This enterprise's copy of the consortium ledger, and the commands it still has to get there."""

from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from mutualedge.consortium.rows import BLOCK_BUCKET, LEDGER_BUCKET, block_row_key, kept_digest
from mutualedge.errors import PeerError, RefusedByPolicy, UsageError
from mutualedge.identity import HUB
from mutualedge.ledger import (
    BLOCK_SKEW_NS_MAX,
    CLOCK_ADVICE,
    Action,
    AdoptTrust,
    Claim,
    Close,
    Command,
    Lease,
    LeaseStatus,
    Ledger,
    Outcome,
    SetLimit,
    Settle,
)
from mutualedge.model import NS_PER_MS, NS_PER_S, Digest, EnterpriseId, InvocationId, Microcredits
from mutualedge.node.leases import HeldLease
from mutualedge.node.station import OnReply, Station
from mutualedge.protocol import (
    MESSAGE_BYTES_MAX,
    AskBlocks,
    Blocks,
    CommandsOrdered,
    Refused,
    Reply,
    Request,
    SignedBlock,
    StoreView,
    SubmitCommands,
    SubmitCountersignatures,
)
from mutualedge.protocol.effects import Unanswered
from mutualedge.signing import (
    Envelope,
    canonical_bytes,
    digest_of,
    sign_record,
    valid_signers,
)

OUTBOX_BUCKET = "outbox"
REFUSED_BUCKET = "refused"

BLAMES = ("ledger.command.", "signing.", "identity.")
"""Codes that say what is wrong with a command itself; no later attempt would fare better."""

AHEAD = "ledger.block.ahead"

PASSING = ("ledger.claim.early", "ledger.close.early", "ledger.credit.overdrawn")
"""Refusals of what belongs to a lease that time may cure: it is not over, or a line has no room."""

SLOTS_PER_DISPUTE = 4
"""How often within a dispute window what was refused for a reason that passes is sent again."""

SLOTS_MAX = 2 * SLOTS_PER_DISPUTE
"""Looked back at: the dispute window and the one after it, in which an expired lease may settle."""

SUBMIT_MAX = 16
"""Commands sent in one request; the rest follow with the next."""

SUBMIT_BYTES_MAX = MESSAGE_BYTES_MAX // 2
"""Of commands in one request: what they are wrapped in has room beside them."""


class Books:
    """Follows the ledger by re-executing it; countersigns what came out the same."""

    def __init__(
        self, station: Station, store: StoreView, ledger: Ledger, on_moved: Callable[[], None]
    ) -> None:
        """Restore the outbox beside the replica; ``on_moved`` runs after blocks were applied."""
        self._station = station
        self._store = store
        self._on_moved = on_moved
        self.ledger = ledger
        self._outbox: dict[InvocationId, Envelope] = {
            InvocationId(key): msgspec.msgpack.decode(value, type=Envelope)
            for key, value in store.scan(OUTBOX_BUCKET)
        }
        self._final_height = final_height(self.ledger, store)
        self._is_asking = False
        self._is_submitting = False
        self._is_sending_singly = False
        self._validated_height = -1
        self.hub_since_ns: int | None = None
        """Since when the hub answers; None while it does not."""
        self.is_hub_silent = False
        """The last question to the hub was not answered."""
        self.asked_ns = 0
        """When our copy last was as high as the hub said its ledger is."""
        self._ahead_height = -1
        station.after(0, self._check_clock)
        station.after(0, self._follow)

    @property
    def final_height(self) -> int:
        """Highest block that more than two thirds of the members countersigned, gap-free."""
        return self._final_height

    @property
    def outbox_size(self) -> int:
        """Commands the ledger has not answered yet."""
        return len(self._outbox)

    def submit(self, action: Action, occasion: str = "") -> InvocationId:
        """Have the ledger carry out an action, however long it takes to reach it.

        The command's identity is derived from its content, so that asking twice is asking once.

        Args:
            action: What to do.
            occasion: Sets apart two commands of equal content that are both meant.
        """
        command_id = self._command_id(action, occasion)
        if command_id in self._outbox or self.outcome(command_id) is not None:
            return command_id
        command = Command(enterprise=self._station.me.enterprise, id=command_id, action=action)
        envelope = sign_record(command, self._station.keys.settlement)
        self._outbox[command_id] = envelope
        self._station.write(OUTBOX_BUCKET, command_id, msgspec.msgpack.encode(envelope))
        self._send_outbox()
        return command_id

    def _command_id(self, action: Action, occasion: str) -> InvocationId:
        content = self._station.me.enterprise.encode() + occasion.encode() + canonical_bytes(action)
        return InvocationId(digest_of(content)[:32])

    def submit_for(self, lease: HeldLease, action: Claim | Close | Settle) -> None:
        """Have the ledger carry out what ends a lease, again if it was refused for now.

        A refusal is recorded under the command's identity, so that it needs another one, four in a
        dispute window.
        """
        first = self.outcome(self.submit(action))
        if first is None or first.code not in PASSING:
            return
        slot_ns = max(1, lease.terms.dispute_window_ms * NS_PER_MS // SLOTS_PER_DISPUTE)
        slot = self._station.now_ns // slot_ns
        for each in range(max(slot - SLOTS_MAX, lease.terms.ends_ns // slot_ns), slot):
            outcome = self.outcome(self._command_id(action, f"slot {each}"))
            if outcome is not None and outcome.code not in PASSING:
                return
        self.submit(action, occasion=f"slot {slot}")

    def propose_trust(self, trust: Envelope) -> None:
        """Have the ledger adopt the next version of the trust file.

        Raises:
            RefusedByPolicy: We are no member, or our copy of the ledger says that it would not.
        """
        if not self._station.is_member:
            sentence = "This enterprise left the consortium; have a member propose the trust file."
            raise RefusedByPolicy("node.membership.ended", sentence)
        stays = self.ledger.verify_adoptable(trust).has(self._station.me.enterprise)
        action = AdoptTrust(trust=trust, executed=None if stays else self.ledger.executed)
        self.submit(action, occasion=str(self.ledger.height))

    def lease(self, lease: HeldLease) -> Lease | None:
        """Return what the ledger holds of a lease, if it is what its two parties committed to.

        Anybody can sign a commitment of their own that names another's agreement.
        """
        on_ledger = self.ledger.lease(lease.lease_id)
        return on_ledger if on_ledger is not None and on_ledger.is_of(lease.told) else None

    def is_over(self, lease: HeldLease) -> bool:
        """Tell whether nothing more can come of a lease.

        One that expired, because the hub was gone for longer than it could be claimed, still posts
        what both sign. Whoever had a session under it waits for that, one dispute window more.
        """
        on_ledger = self.lease(lease)
        if on_ledger is None or not on_ledger.is_resolved:
            return False
        if on_ledger.status is not LeaseStatus.EXPIRED or not lease.accounts:
            return True
        now_ns, window_ns = self._station.now_ns, lease.terms.dispute_window_ms * NS_PER_MS
        if lease.expired_ns is None:
            lease.expired_ns = now_ns
            self._station.after(window_ns, self._on_moved)
        return now_ns >= lease.expired_ns + window_ns

    def has_seen(self, instant_ns: int) -> bool:
        """Tell whether every block of before this instant is here, whatever still comes.

        Only a block says so: a hub that was away goes on with the time at which it stopped.
        """
        return self.ledger.time_ns >= instant_ns

    def pass_time(self, debtor: EnterpriseId, occasion: str) -> None:
        """Have the ledger make a block, so that it tells its time: a partner's limit as it is."""
        lending = self._station.settings.lending
        line = self.ledger.position(self._station.me.enterprise, debtor)
        limit = line.limit_microcredits if lending is None else lending.credit_microcredits
        action = SetLimit(debtor=debtor, limit_microcredits=Microcredits(limit))
        self.submit(action, occasion=occasion)

    def outcome(self, command_id: InvocationId) -> Outcome | None:
        """Return what became of a command of ours, once our copy of the ledger shows it."""
        return self.ledger.outcome(self._station.me.enterprise, command_id)

    def _send_outbox(self) -> None:
        if self._is_submitting or not self._outbox:
            return
        self._is_submitting = True
        sent = tuple(self._next_sent())
        request = SubmitCommands(commands=tuple(self._outbox[each] for each in sent))
        self._ask_hub(request, partial(self._on_submitted, sent))

    def _next_sent(self) -> Iterator[InvocationId]:
        """Yield the oldest commands, as many as one request carries."""
        free_bytes = SUBMIT_BYTES_MAX
        for count, (command_id, envelope) in enumerate(self._outbox.items()):
            free_bytes -= len(canonical_bytes(envelope))
            if count and (free_bytes < 0 or count >= SUBMIT_MAX or self._is_sending_singly):
                return
            yield command_id

    def _ask_hub(self, request: Request, on_reply: OnReply) -> None:
        self._station.ask(HUB, request, partial(self._heard, on_reply))

    def _heard(self, on_reply: OnReply, reply: Reply | Unanswered) -> None:
        self.is_hub_silent = isinstance(reply, Unanswered)
        if self.is_hub_silent:
            self.hub_since_ns = None
        elif self.hub_since_ns is None:
            self.hub_since_ns = self._station.now_ns
        on_reply(reply)

    def _on_submitted(self, sent: tuple[InvocationId, ...], reply: Reply | Unanswered) -> None:
        self._is_submitting = False
        match reply:
            case CommandsOrdered():
                self._ask_blocks(self.ledger.height + 1)
            case Refused(code=code) if code.endswith(".full"):
                self._station.note("hub.busy", code=code, waiting=len(self._outbox))
            case Refused(code=code) if len(sent) > 1:
                self._is_sending_singly = True
                self._station.note("command.refused", code=code)
            case Refused(code=code) if code.startswith(BLAMES):
                self._set_aside(sent[0], code)
            case Refused(code=code):
                self._put_last(sent[0])
                self._station.note("command.refused", code=code)
            case _:
                self._station.note("hub.unreachable", waiting=len(self._outbox))

    def _set_aside(self, command_id: InvocationId, code: str) -> None:
        """Keep a command the hub will not take where an operator finds it, out of others' way.

        Nothing is to be done if a block brought its outcome while the hub refused it.
        """
        envelope = self._outbox.pop(command_id, None)
        if envelope is None:
            return
        self._station.note("command.set_aside", code=code, command=command_id)
        self._station.write(OUTBOX_BUCKET, command_id, None)
        self._station.write(REFUSED_BUCKET, command_id, msgspec.msgpack.encode(envelope))
        self._is_sending_singly = False

    def _put_last(self, command_id: InvocationId) -> None:
        """Let the others go first; a refusal that blames no command may concern this one alone."""
        envelope = self._outbox.pop(command_id, None)
        if envelope is not None:
            self._outbox[command_id] = envelope

    def _follow(self) -> None:
        self._ask_blocks(self._final_height + 1)
        self._send_outbox()
        self._station.after(self._station.settings.follow_every_ms * NS_PER_MS, self._follow)

    def _ask_blocks(self, from_height: int) -> None:
        if not self._is_asking:
            self._is_asking = True
            on_reply = partial(self._on_blocks, from_height)
            self._ask_hub(AskBlocks(from_height=from_height), on_reply)

    def _on_blocks(self, from_height: int, reply: Reply | Unanswered) -> None:
        self._is_asking = False
        if not isinstance(reply, Blocks):
            return
        before = self.ledger.height
        try:
            self._take_known(from_height, reply.blocks)
            if self.ledger.height >= reply.height:
                self.asked_ns = self._station.now_ns
        finally:
            if self.ledger.height > before:
                self._drop_answered()
                self._on_moved()
            if self.ledger.height < reply.height and from_height != self.ledger.height + 1:
                self._ask_blocks(self.ledger.height + 1)

    def _take_known(self, from_height: int, blocks: tuple[SignedBlock, ...]) -> None:
        """Take blocks; one that is ahead of our clock comes again and again and is noted once."""
        try:
            self._take_all(from_height, blocks)
        except PeerError as error:
            if error.code != AHEAD or self._ahead_height != self.ledger.height:
                self._ahead_height = self.ledger.height if error.code == AHEAD else -1
                raise

    def _check_clock(self) -> None:
        behind_ns = self.ledger.time_ns - self._station.now_ns
        if behind_ns > BLOCK_SKEW_NS_MAX:
            by_s = behind_ns // NS_PER_S
            self._station.note("clock.behind", by_s=by_s, advice=CLOCK_ADVICE)

    def _take_all(self, from_height: int, blocks: tuple[SignedBlock, ...]) -> None:
        signed = [self._take(from_height + index, block) for index, block in enumerate(blocks)]
        own = tuple(envelope for envelope in signed if envelope is not None)
        if own:
            request = SubmitCountersignatures(countersignatures=own)
            self._ask_hub(request, self._on_countersigned)

    def _on_countersigned(self, reply: Reply | Unanswered) -> None:
        if isinstance(reply, Refused):
            self._station.note("countersignature.refused", code=reply.code)

    def _take(self, height: int, signed: SignedBlock) -> Envelope | None:
        """Apply a block if it is new, keep it with its signatures, and add ours if it lacks.

        Raises:
            PeerError: Another block than the one asked for, or than the one executed before.
        """
        block = self.ledger.parse_block(signed.block)
        if block.height != height:
            sentence = f"The hub sent block {block.height} in place of block {height}."
            raise PeerError("ledger.block.misplaced", sentence)
        if height == self.ledger.height + 1:
            self._apply(signed.block)
        kept = kept_digest(self.ledger, self._store, height)
        self._verify_executed(height, signed.block, kept)
        self._keep(height, signed)
        if height == self._final_height + 1 and self.ledger.is_final(
            signed.block, signed.countersignatures
        ):
            self._final_height = height
        members = self.ledger.consortium_at(height)
        is_asked = members.has(self._station.me.enterprise)
        if not is_asked or any(map(self._is_ours, signed.countersignatures)):
            return None
        me, key = self._station.me.enterprise, self._station.keys.settlement
        return self.ledger.countersign(signed.block, key, me, kept=kept)

    def _apply(self, block: Envelope) -> None:
        """Execute the next block; what it adopts holds from the one after it on."""
        before = self.ledger.consortium
        rows = self.ledger.apply(block, self._station.now_ns)
        for key, value in rows.items():
            self._station.write(LEDGER_BUCKET, key, value)
        adopted = self.ledger.consortium
        if adopted is not before:
            members = len(adopted.members)
            self._station.note("trust.adopted", version=adopted.trust.version, members=members)

    def _keep(self, height: int, signed: SignedBlock) -> None:
        """Write a block's row, unless it is there as it came: it comes again until it is final."""
        key, row = block_row_key(height), msgspec.msgpack.encode(signed)
        if self._store.get(BLOCK_BUCKET, key) != row:
            self._station.write(BLOCK_BUCKET, key, row)

    def _verify_executed(self, height: int, block: Envelope, kept: Digest | None) -> None:
        """Return if this is the block that was executed here.

        Raises:
            PeerError: It is another.
        """
        try:
            self.ledger.verify_executed(block, kept=kept)
        except UsageError as error:
            sentence = f"The hub sent another block {height} than the one that was executed here."
            raise PeerError("ledger.block.fork", sentence) from error

    def _is_ours(self, envelope: Envelope) -> bool:
        key = self._station.keys.settlement
        return bool(valid_signers(envelope, {key.key_id: key.public_bytes}))

    def _drop_answered(self) -> None:
        for command_id in tuple(self._outbox):
            outcome = self.outcome(command_id)
            if outcome is not None:
                del self._outbox[command_id]
                self._station.write(OUTBOX_BUCKET, command_id, None)
                self._station.note("command.answered", code=outcome.code, height=outcome.height)
        self._is_sending_singly = self._is_sending_singly and bool(self._outbox)

    def validate(self) -> None:
        """Assert the ledger's own invariants (once a block) and that finality does not lead."""
        if self._validated_height != self.ledger.height:
            self.ledger.validate()
            self._validated_height = self.ledger.height
        assert self._final_height <= self.ledger.height


def final_height(ledger: Ledger, store: StoreView) -> int:
    """Return how far the stored blocks are final; asked again from there after a restart."""
    height = 0
    for _, value in store.scan(BLOCK_BUCKET):
        signed = msgspec.msgpack.decode(value, type=SignedBlock)
        if not ledger.is_final(signed.block, signed.countersignatures):
            break
        height += 1
    return height
