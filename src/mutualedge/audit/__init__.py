"""The offline verifier: every credit re-checked from a bundle, by code that built none of it."""

from mutualedge.audit.bundle import (
    BUNDLE_FORMAT,
    LINE_BYTES_MAX,
    AgreementItem,
    AttestationItem,
    BatchItem,
    BlockItem,
    BundleItem,
    CheckpointItem,
    EntryItem,
    HeaderItem,
    SealedEntryItem,
    StatementItem,
    TrustItem,
    VoucherItem,
)
from mutualedge.audit.report import Counts, Finding, Report, Step, render_text
from mutualedge.audit.verifier import verify_bundle

__all__ = [
    "BUNDLE_FORMAT",
    "LINE_BYTES_MAX",
    "AgreementItem",
    "AttestationItem",
    "BatchItem",
    "BlockItem",
    "BundleItem",
    "CheckpointItem",
    "Counts",
    "EntryItem",
    "Finding",
    "HeaderItem",
    "Report",
    "SealedEntryItem",
    "StatementItem",
    "Step",
    "TrustItem",
    "VoucherItem",
    "render_text",
    "verify_bundle",
]
