"""Blocks: signed commands in the order they took effect, what became of them, and a state hash."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from mutualedge.ledger.commands import COMMAND_BYTES_MAX, SENTENCE_BYTES_MAX, Outcome
from mutualedge.ledger.events import Event
from mutualedge.model import (
    ZERO_DIGEST,
    Count,
    Digest,
    HexDigest,
    InstantText,
    PositiveCount,
    format_instant,
)
from mutualedge.signing import Envelope, canonical_bytes

COMMANDS_MAX = 256
"""Commands of one block; at up to four signature checks each, a follower needs 0.2 s for it."""

BLOCK_BYTES_MAX = 640 << 10
"""A message carries 1 MiB, so any block reaches its followers, its signatures beside it."""

OUTCOME_BYTES_MAX = SENTENCE_BYTES_MAX + 240
"""Room for one outcome in a block: its sentence, id (32), code (64), height and field names."""

HEADER_BYTES_MAX = 1024
"""Room for a block's other fields: two digests, height, time and field names."""


class Block(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happened next; signed by the ledger writer, its digest is its payload's.

    Attributes:
        previous: Digest of the block before, or zeros.
        time: When, for every rule that asks; never earlier than the block before.
        outcomes: One per command, in their order.
        state: SHA-256 of the state digest before and the canonical writes of this block.
    """

    height: PositiveCount
    previous: HexDigest
    time: InstantText
    commands: Annotated[tuple[Envelope, ...], msgspec.Meta(max_length=COMMANDS_MAX)]
    outcomes: Annotated[tuple[Outcome, ...], msgspec.Meta(max_length=COMMANDS_MAX)]
    state: HexDigest


class Countersignature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member's word that it executed the block at this height and got the same state."""

    height: PositiveCount
    block: HexDigest


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a ledger stands; kept as a row, so that state and position persist together."""

    height: Count
    block: HexDigest
    state: HexDigest
    time: InstantText


GENESIS = Head(height=0, block=ZERO_DIGEST, state=ZERO_DIGEST, time=format_instant(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedCommand:
    """A submitted envelope that is no member's command and therefore in no block.

    Attributes:
        index: Its place among those submitted.
        code: Why, for programs.
        sentence: Why, for its sender.
    """

    index: int
    code: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One block carried out; the caller persists the writes before anything of it leaves.

    Attributes:
        block: Signed block.
        outcomes: One per command of the block.
        writes: Last value of each changed row, None for a removed one; the head included.
        events: What the contracts reported, in order.
        dropped: What the writer left out; empty on followers.
    """

    block: Envelope
    outcomes: tuple[Outcome, ...]
    writes: dict[str, bytes | None]
    events: tuple[Event, ...]
    dropped: tuple[DroppedCommand, ...] = ()


def chain_state(previous: Digest, writes: Mapping[str, bytes | None]) -> Digest:
    """Return the state digest after these writes, given the one before."""
    hashed = hashlib.sha256(bytes.fromhex(previous))
    hashed.update(canonical_bytes(writes))
    return Digest(hashed.hexdigest())


def fit(commands: Sequence[Envelope]) -> int:
    """Return how many of these, from the first, one block can hold.

    A command that is too large by itself counts as none: ``execute`` drops it.
    """
    free_bytes = BLOCK_BYTES_MAX - HEADER_BYTES_MAX
    for count, command in enumerate(commands[:COMMANDS_MAX]):
        if len(command.payload) <= COMMAND_BYTES_MAX:
            free_bytes -= len(canonical_bytes(command)) + OUTCOME_BYTES_MAX
        if free_bytes < 0:
            return count
    return min(len(commands), COMMANDS_MAX)
