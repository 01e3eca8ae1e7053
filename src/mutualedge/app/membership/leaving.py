"""How a member leaves: it settles what is open, and takes the proof of all of it along."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.files import STORE_FILE, write_whole
from mutualedge.app.membership.orders import list_order
from mutualedge.app.membership.site import (
    OUTCOME_TIMEOUT_S,
    POLL_S,
    MemberSite,
    Say,
    adopt,
    enterprise_key_of,
    ledger_of,
    member_site,
    verify_done,
)
from mutualedge.app.node_process import run_node
from mutualedge.app.options import SETTINGS_FILE, SETTINGS_KEPT, write_settings
from mutualedge.app.processes import EVENTS_FILE, cause_of
from mutualedge.consortium.rows import LEDGER_BUCKET, block_write, kept_digest, state_writes
from mutualedge.errors import RefusedByPeer, ResourceMissing, Unreachable, UsageError
from mutualedge.identity import verify_trust, without_member
from mutualedge.ledger import Ledger
from mutualedge.market import Agreement
from mutualedge.model import InvocationId
from mutualedge.node.books import OUTBOX_BUCKET, final_height
from mutualedge.node.leases import BORROWED, LENT, LeaseRow
from mutualedge.protocol import (
    Accepted,
    Applications,
    AskApplications,
    AskLedger,
    Blocks,
    SignedBlock,
    SubmitCountersignatures,
)
from mutualedge.signing import Envelope, parse_canonical, sign_record

SAY_EVERY_S = 30.0

NO_MEMBER = "identity.member.unknown"
"""With what the hub refuses who has left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """What of a node waits for its end.

    Attributes:
        leases: How many are open.
        commands: How many the ledger has not answered.
        ends: When the last of the leases ends; empty if there is none.
    """

    leases: int
    commands: int
    ends: str

    @property
    def count(self) -> int:
        """Zero once it may go."""
        return self.leases + self.commands


async def leave_consortium(own: Path, say: Say, wait_s: float) -> None:
    """Settle what is open, then leave the consortium; the node must not be running elsewhere.

    Interrupted at any point it is called again and goes on.

    Args:
        own: The member's folder, with its enterprise key in it.
        say: Told what happens.
        wait_s: How long to wait for what is open.

    Raises:
        UsageError: The node runs, this folder is no member's, or it is the last one.
        Unreachable: Something is open still; asked again, it goes on.
        MutualEdgeError: The hub cannot be reached, or the ledger refuses.
    """
    member = member_site(own, is_leaving=True)
    try:
        if member.consortium.has(member.name):
            await _settle_and_go(member, say, wait_s)
        else:
            await _read_out(member)  # interrupted while it read its last blocks
    except ExceptionGroup as failed:
        raise cause_of(failed) from failed
    say(f"'{member.name}' has left. Keep {own}: it holds the evidence of all that was settled.")


async def _settle_and_go(member: MemberSite, say: Say, wait_s: float) -> None:
    """Run the node until nothing is open and the ledger has let it go."""
    own, command = member.own, None
    trust = sign_record(without_member(member.consortium, member.name), enterprise_key_of(member))
    _verify_stopped(own)
    _quieten(member)
    say("From now on this node neither lends nor borrows; what is open is settled first.")
    with (own / EVENTS_FILE).open("ab") as events:
        async with asyncio.TaskGroup() as running:
            node = running.create_task(run_node(own, notes=events))
            await _wait_settled(member, say, wait_s)
            command = await _ask_to_go(member, trust)
            node.cancel()
    await _read_out(member)
    ledger = ledger_of(own, member.told)
    if ledger.consortium.has(member.name):
        verify_done(None if command is None else ledger.outcome(member.name, command))


def _verify_stopped(own: Path) -> None:
    """Return if no process has the node's store open.

    Raises:
        UsageError: One has.
    """
    try:
        SqliteStore(own / STORE_FILE).close()
    except ResourceMissing as error:
        sentence = f"The node of {own} still runs; stop it first: mutualedge down {own.parent}"
        raise UsageError("membership.node.running", sentence) from error


def _quieten(member: MemberSite) -> None:
    """Have the node neither lend nor borrow; what its owner wrote is kept, who may yet stay."""
    settings, kept = member.own / SETTINGS_FILE, member.own / SETTINGS_KEPT
    if not kept.exists():
        write_whole(kept, settings.read_bytes())
    write_settings(
        member.own, msgspec.structs.replace(member.options, lending=None, borrowing=None)
    )


async def _ask_to_go(member: MemberSite, trust: Envelope) -> InvocationId | None:
    """Have the ledger let us go; nothing to wait for if it did in an attempt before this one.

    The others need not wait for our word on any block: we say which one our node executed last.
    """
    try:
        executed = ledger_of(member.own, member.told).executed
        return await adopt(member, trust, executed)
    except RefusedByPeer as refused:
        if refused.reason != NO_MEMBER:
            raise
        return None


async def _wait_settled(member: MemberSite, say: Say, wait_s: float) -> None:
    """Return once nothing is open; say what is whenever that changes, and every half a minute."""
    own = member.own
    until_s = time.monotonic() + wait_s
    told, told_s = Unsettled(leases=0, commands=0, ends=""), 0.0
    while (now := unsettled(own)).count > 0:
        if time.monotonic() > until_s:
            sentence = f"Not settled within {wait_s:.0f} s; run the same command to go on."
            raise Unreachable("membership.leases.open", sentence)
        if now != told or time.monotonic() > told_s + SAY_EVERY_S:
            say(_open_text(now))
            await _say_hub(member, say)
            told, told_s = now, time.monotonic()
        await asyncio.sleep(POLL_S)


async def _say_hub(member: MemberSite, say: Say) -> None:
    """Say so if the hub is not there, without which nothing is settled."""
    signed = list_order(member.name, member.told.settlement_seed)
    try:
        await member.desk.ask(AskApplications(order=signed), Applications)
    except Unreachable as silent:
        say(f"{silent.sentence} Without it nothing is settled; it is asked again.")


def _open_text(now: Unsettled) -> str:
    ends = f"; the last lease ends at {now.ends}" if now.ends else ""
    what = f"leases {now.leases}, commands to the ledger {now.commands}"
    return f"Not settled yet: {what}{ends}. Ctrl-C stops; the same command goes on."


async def _read_out(member: MemberSite) -> None:
    """Read the ledger to the block that let us go, and countersign: the hub is closed to our node.

    Then read on until the others countersigned too, so that our folder proves all of it alone.

    Raises:
        Unreachable: They did not in time; the hub is gone, or a member that must.
        MutualEdgeError: The office refuses, or a block is not in order.
    """
    try:
        async with asyncio.timeout(OUTCOME_TIMEOUT_S):
            await _read_to_the_end(member)
    except TimeoutError as error:
        sentence = "The others have not countersigned the last block yet; their copies prove it."
        raise Unreachable("membership.block.open", sentence) from error


async def _read_to_the_end(member: MemberSite) -> None:
    while True:
        if await _read_further(member):
            return
        await asyncio.sleep(POLL_S)


async def _read_further(member: MemberSite) -> bool:
    """Take what is new since the last final block; tell whether all of it is final."""
    with SqliteStore(member.own / STORE_FILE) as store:
        ledger = Ledger(verify_trust(member.told.trust), store.scan(LEDGER_BUCKET))
        signed = list_order(member.name, member.told.settlement_seed)
        question = AskLedger(order=signed, from_height=final_height(ledger, store) + 1)
        some = await member.desk.ask_patiently(question, Blocks)
        taken = tuple(_take(member, ledger, store, each) for each in some.blocks)
        words = tuple(word for word in taken if word is not None)
        if words:
            said = SubmitCountersignatures(countersignatures=words)
            await member.desk.ask_patiently(said, Accepted)
        return final_height(ledger, store) == some.height


def _take(
    member: MemberSite, ledger: Ledger, store: SqliteStore, signed: SignedBlock
) -> Envelope | None:
    """Keep a block, executed if it is new; return our word for it if we were a member then.

    It was not final when it was asked for: our word for it may have been lost on its way.
    """
    height = ledger.parse_block(signed.block).height
    if height <= ledger.height:
        ledger.verify_executed(signed.block, kept=kept_digest(ledger, store, height))
        store.commit([block_write(height, signed)])
    else:
        rows = ledger.apply(signed.block, time.time_ns())
        store.commit([block_write(height, signed), *state_writes(rows)])
    if not ledger.consortium_at(height).has(member.name):
        return None
    kept = kept_digest(ledger, store, height)
    return ledger.countersign(signed.block, member.settlement_key, member.name, kept=kept)


def unsettled(own: Path) -> Unsettled:
    """Return which leases and ledger commands of a node wait for their end."""
    with SqliteStore(own / STORE_FILE, read_only=True) as store:
        leases = [
            msgspec.msgpack.decode(raw, type=LeaseRow)
            for bucket in (LENT, BORROWED)
            for _, raw in store.scan(bucket)
        ]
        commands = sum(1 for _ in store.scan(OUTBOX_BUCKET))
    ends = [
        parse_canonical(lease.agreement.payload, Agreement).ends
        for lease in leases
        if not lease.resolved
    ]
    return Unsettled(leases=len(ends), commands=commands, ends=max(ends, default=""))
