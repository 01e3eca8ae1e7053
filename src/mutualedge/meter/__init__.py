"""Usage records and their chain, the runner's batches, vouchers and statements."""

from mutualedge.meter.chain import (
    CHAIN_START,
    ChainPosition,
    position_of,
    verify_batch,
    verify_terms,
    verify_usage,
    verify_voucher,
    walk_chain,
)
from mutualedge.meter.records import (
    METERS_MAX,
    RecordBatch,
    Statement,
    StatementLine,
    UsageRecord,
    Voucher,
    statement_of,
)

__all__ = [
    "CHAIN_START",
    "METERS_MAX",
    "ChainPosition",
    "RecordBatch",
    "Statement",
    "StatementLine",
    "UsageRecord",
    "Voucher",
    "position_of",
    "statement_of",
    "verify_batch",
    "verify_terms",
    "verify_usage",
    "verify_voucher",
    "walk_chain",
]
