"""A ledger made from its blocks alone: for who joins, and for who lost its rows."""

from collections.abc import Iterable

from mutualedge.identity import Consortium
from mutualedge.ledger.engine import Ledger
from mutualedge.signing import Envelope


def replay(founding: Consortium, blocks: Iterable[Envelope], now_ns: int) -> dict[str, bytes]:
    """Return the rows of a ledger that executed these blocks from the first one on.

    Args:
        founding: The founding trust file; the blocks bring every later version themselves.
        blocks: Signed blocks in order, without a gap.
        now_ns: Our clock; no block is ahead of it.

    Raises:
        PeerError: A block is not the writer's next one, or claims another result.
    """
    ledger = Ledger(founding, ())
    rows: dict[str, bytes | None] = {}
    for block in blocks:
        rows |= ledger.apply(block, now_ns)
    return {key: value for key, value in rows.items() if value is not None}
