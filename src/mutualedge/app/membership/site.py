"""A member at its own machine: what its folder says, and how it changes the trust file."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.files import STORE_FILE, NodeFile, read_process_file
from mutualedge.app.founding import OFFLINE_KEY_FILE
from mutualedge.app.membership.desk import Desk, desk_of
from mutualedge.app.options import NodeOptions
from mutualedge.app.settings import read_options
from mutualedge.consortium.rows import LEDGER_BUCKET
from mutualedge.errors import RefusedByPolicy, Unreachable, UsageError
from mutualedge.identity import Consortium, verify_trust
from mutualedge.ledger import AdoptTrust, Command, Executed, Ledger, Outcome
from mutualedge.model import EnterpriseId, InvocationId
from mutualedge.protocol import CommandsOrdered, SubmitCommands
from mutualedge.signing import Envelope, SigningKey, sign_record

COMMAND_ID_BYTES = 16
POLL_S = 0.5
OUTCOME_TIMEOUT_S = 60.0
"""A block reaches a running node within seconds, also while the hub starts again."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSite:
    """A member at its own machine: its files, and the consortium as its ledger has it."""

    own: Path
    told: NodeFile
    options: NodeOptions
    consortium: Consortium

    @property
    def name(self) -> EnterpriseId:
        """Which member."""
        return self.told.enterprise

    @property
    def settlement_key(self) -> SigningKey:
        """With which it orders."""
        return SigningKey(self.told.settlement_seed)

    @property
    def desk(self) -> Desk:
        """The consortium's office."""
        return desk_of(self.told, self.options)


def member_site(own: Path, *, is_leaving: bool = False) -> MemberSite:
    """Return a member as its folder has it.

    Args:
        own: Its folder.
        is_leaving: It may have left: what remains is to read its last blocks.

    Raises:
        UsageError: The folder is no member's.
    """
    told = read_process_file(own, NodeFile)
    consortium = ledger_of(own, told).consortium
    if not is_leaving and not consortium.has(told.enterprise):
        sentence = f"'{told.enterprise}' is no member any more; it has no say here."
        raise UsageError("membership.member.former", sentence)
    options = read_options(own, NodeOptions)
    return MemberSite(own=own, told=told, options=options, consortium=consortium)


def ledger_of(own: Path, told: NodeFile) -> Ledger:
    """Return the ledger as the node of this folder has it by now."""
    founding = verify_trust(told.trust)
    if not (own / STORE_FILE).exists():
        return Ledger(founding, ())
    with SqliteStore(own / STORE_FILE, read_only=True) as store:
        return Ledger(founding, store.scan(LEDGER_BUCKET))


def enterprise_key_of(member: MemberSite) -> SigningKey:
    """Return the enterprise key, which should be there only while it is needed.

    Raises:
        UsageError: It is not there, or another one is.
    """
    path = member.own / OFFLINE_KEY_FILE
    try:
        seed = bytes.fromhex(path.read_text("ascii"))
    except (OSError, ValueError) as error:
        sentence = f"{path} has no enterprise key; put it there for as long as you approve."
        raise UsageError("membership.key.missing", sentence) from error
    key = SigningKey(seed)
    if key.public_bytes != member.consortium.member(member.name).enterprise_key:
        sentence = f"{path} is not the enterprise key of '{member.name}'; find the right one."
        raise UsageError("membership.key.other", sentence)
    return key


async def adopt(
    member: MemberSite, trust: Envelope, executed: Executed | None = None
) -> InvocationId:
    """Submit the next trust file to the ledger; the hub then starts again with it.

    Args:
        member: Who submits it.
        trust: The next version.
        executed: If it is the one who leaves: the last block it executed.
    """
    command = Command(
        enterprise=member.name,
        id=InvocationId(os.urandom(COMMAND_ID_BYTES).hex()),
        action=AdoptTrust(trust=trust, executed=executed),
    )
    signed = sign_record(command, member.settlement_key)
    await member.desk.ask(SubmitCommands(commands=(signed,)), CommandsOrdered)
    return command.id


async def wait_outcome(member: MemberSite, command_id: InvocationId, say: Say) -> None:
    """Return once our own node has seen that the ledger did as it was told.

    Raises:
        RefusedByPolicy: The ledger refused.
        Unreachable: Our node did not see it in time; perhaps it does not run.
    """
    say("The ledger is told; waiting for this node to see its block.")
    try:
        async with asyncio.timeout(OUTCOME_TIMEOUT_S):
            outcome = await _seen_outcome(member, command_id)
    except TimeoutError as error:
        sentence = f"This node has not seen the block within {OUTCOME_TIMEOUT_S:.0f} s; start it."
        raise Unreachable("membership.outcome.unseen", sentence) from error
    verify_done(outcome)


def verify_done(outcome: Outcome | None) -> None:
    """Return if the ledger did what it was told.

    Raises:
        RefusedByPolicy: It refused.
        Unreachable: It has not answered.
    """
    if outcome is not None and outcome.is_done:
        return
    if outcome is None:
        sentence = "The ledger's last block does not answer the command; try again."
        raise Unreachable("membership.outcome.unseen", sentence)
    raise RefusedByPolicy(outcome.code, outcome.sentence)


async def _seen_outcome(member: MemberSite, command_id: InvocationId) -> Outcome:
    while True:
        outcome = ledger_of(member.own, member.told).outcome(member.name, command_id)
        if outcome is not None:
            return outcome
        await asyncio.sleep(POLL_S)
