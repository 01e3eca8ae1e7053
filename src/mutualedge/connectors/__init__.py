"""Where readings come from: a machine's log as CSV, and a synthetic machine with known faults."""

from mutualedge.connectors.readings import (
    READINGS_BYTES_MAX,
    READINGS_ROWS_MAX,
    TIME_COLUMN,
    VALUE_COLUMN,
    parse_readings,
)
from mutualedge.connectors.series import Gap, Series
from mutualedge.connectors.synthetic import (
    Fault,
    FaultKind,
    Quantity,
    SyntheticSignal,
    synthetic_signal,
)

__all__ = [
    "READINGS_BYTES_MAX",
    "READINGS_ROWS_MAX",
    "TIME_COLUMN",
    "VALUE_COLUMN",
    "Fault",
    "FaultKind",
    "Gap",
    "Quantity",
    "Series",
    "SyntheticSignal",
    "parse_readings",
    "synthetic_signal",
]
