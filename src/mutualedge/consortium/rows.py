"""Where a copy of the ledger keeps its rows, at the hub and at every member."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from mutualedge.identity import Consortium
from mutualedge.ledger import Ledger, replay
from mutualedge.model import Digest
from mutualedge.protocol import SignedBlock, StoreView, Write

LEDGER_BUCKET = "ledger"
BLOCK_BUCKET = "block"


def block_row_key(height: int) -> str:
    """Return the key of a block's row; zero-padded, so that keys sort as numbers."""
    return f"{height:012d}"


def block_write(height: int, signed: SignedBlock) -> Write:
    """Return the row that keeps a block with its countersignatures."""
    row = msgspec.msgpack.encode(signed)
    return Write(bucket=BLOCK_BUCKET, key=block_row_key(height), value=row)


def kept_digest(ledger: Ledger, store: StoreView, height: int) -> Digest | None:
    """Return the digest of the block we executed at a height that the ledger remembers no more.

    A block's row is written when it is executed, and by nobody else.
    """
    raw = None if ledger.remembers(height) else store.get(BLOCK_BUCKET, block_row_key(height))
    if raw is None:
        return None
    return msgspec.msgpack.decode(raw, type=SignedBlock).block.payload_digest


def state_writes(rows: Mapping[str, bytes | None]) -> Iterator[Write]:
    """Yield the rows that keep what a block changed in the ledger."""
    for key, value in rows.items():
        yield Write(bucket=LEDGER_BUCKET, key=key, value=value)


def replayed_rows(
    founding: Consortium, blocks: Sequence[SignedBlock], now_ns: int
) -> Iterator[Write]:
    """Yield the rows with which a member that joins starts: every block, and what it came to.

    Args:
        founding: The founding trust file.
        blocks: All blocks of the ledger so far, in order, as the hub hands them out.
        now_ns: Our clock; no block is ahead of it.

    Yields:
        Writes for an empty store, to be committed together.

    Raises:
        PeerError: A block is not the writer's next one, or claims another result.
    """
    yield from state_writes(replay(founding, (each.block for each in blocks), now_ns))
    for height, signed in enumerate(blocks, start=1):
        yield block_write(height, signed)
