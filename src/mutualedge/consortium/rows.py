"""Where a copy of the ledger keeps its rows, at the hub and at every member."""

LEDGER_BUCKET = "ledger"
BLOCK_BUCKET = "block"


def block_row_key(height: int) -> str:
    """Return the key of a block's row; zero-padded, so that keys sort as numbers."""
    return f"{height:012d}"
