"""The bundle: one canonical JSON line per piece of evidence, in one file anyone can read.

Order of the lines is free except that the header is first; every line is checked to be in
canonical form, so there is no byte in the file that nothing looks at.
"""

from typing import Annotated

import msgspec

from mutualedge.model import Bytes32, Count, EnterpriseName, InstantText
from mutualedge.signing import Envelope

BUNDLE_FORMAT = "mutualedge-bundle/1"

LINE_BYTES_MAX = 4 << 20
"""Longest line read, 4 MiB: a full ledger block in base64 inside a line, with room."""


class HeaderItem(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="header"
):
    """First line: what this file is, when it was exported, how many lines follow."""

    format: str
    consortium: EnterpriseName
    exported: InstantText
    items: Count


class TrustItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="trust"):
    """The trust file (``identity.TrustFile``), signed by more than two thirds of its members."""

    trust: Envelope


class CheckpointItem(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="checkpoint"
):
    """A checkpoint of one member's usage log, as a signed note with its cosignatures."""

    log: EnterpriseName
    note: Annotated[str, msgspec.Meta(max_length=65_536)]


class EntryItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="entry"):
    """One entry of a log, opened: leaf = salted digest of ``body``.

    ``body`` is the canonical bytes of a ``meter.UsageRecord`` (``body_kind`` "record") or of an
    Envelope around a voucher or statement ("voucher", "statement").
    """

    log: EnterpriseName
    index: Count
    salt: Bytes32
    body_kind: Annotated[str, msgspec.Meta(pattern=r"^(record|voucher|statement)\Z")]
    body: Annotated[bytes, msgspec.Meta(max_length=60_000)]


class SealedEntryItem(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="sealed-entry"
):
    """One entry of a log, not opened: it concerns parties that this bundle is not about."""

    log: EnterpriseName
    index: Count
    entry: Annotated[bytes, msgspec.Meta(max_length=65_535)]


class AgreementItem(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="agreement"
):
    """A lease signed by both sides (``market.Agreement``)."""

    agreement: Envelope


class AttestationItem(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="attestation"
):
    """Canonical bytes of an ``attest.MeterAttestation``: evidence behind one meter key."""

    attestation: Annotated[bytes, msgspec.Meta(max_length=1 << 20)]


class BatchItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="batch"):
    """A runner-signed ``meter.RecordBatch``."""

    batch: Envelope


class VoucherItem(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="voucher"
):
    """A requester-signed ``meter.Voucher``."""

    voucher: Envelope


class StatementItem(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="statement"
):
    """A ``meter.Statement`` signed by both sides."""

    statement: Envelope


class BlockItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="block"):
    """One ledger block (``ledger.Block``) with the members' countersignatures."""

    block: Envelope
    countersignatures: Annotated[tuple[Envelope, ...], msgspec.Meta(max_length=64)]


BundleItem = (
    HeaderItem
    | TrustItem
    | CheckpointItem
    | EntryItem
    | SealedEntryItem
    | AgreementItem
    | AttestationItem
    | BatchItem
    | VoucherItem
    | StatementItem
    | BlockItem
)
