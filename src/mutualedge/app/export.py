"""A bundle from the stores of the parties: everything an auditor needs, nothing else."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from mutualedge.audit.bundle import (
    BUNDLE_FORMAT,
    AgreementItem,
    AttestationItem,
    BatchItem,
    BlockItem,
    BundleItem,
    CheckpointItem,
    EntryItem,
    HeaderItem,
    StatementItem,
    TrustItem,
    VoucherItem,
)
from mutualedge.errors import CorruptState, UsageError
from mutualedge.identity import verify_trust
from mutualedge.model import EnterpriseId, format_instant
from mutualedge.node.leases import LeaseRow, MeterRow, RecordRow
from mutualedge.node.logbook import CheckpointRow, EntryRow
from mutualedge.protocol import SignedBlock, StoreView
from mutualedge.signing import Envelope, canonical_bytes, parse_canonical
from mutualedge.tlog import with_signatures


def export_part(store: StoreView, enterprise: EnterpriseId) -> Iterator[BundleItem]:
    """Yield what one enterprise contributes: its leases, its log, its copy of the ledger.

    Yields:
        Lines of a bundle, in no particular order.

    Raises:
        CorruptState: A row the log points to is missing.
    """
    yield from _leases(store)
    yield from _log(store, enterprise)
    for _, value in store.scan("block"):
        signed = msgspec.msgpack.decode(value, type=SignedBlock)
        yield BlockItem(block=signed.block, countersignatures=signed.countersignatures)


def _leases(store: StoreView) -> Iterator[BundleItem]:
    for bucket in ("lent", "borrowed"):
        for _, value in store.scan(bucket):
            row = msgspec.msgpack.decode(value, type=LeaseRow)
            yield AgreementItem(agreement=row.agreement)
    for _, value in store.scan("meter"):
        meter = msgspec.msgpack.decode(value, type=MeterRow)
        yield VoucherItem(voucher=meter.voucher)
        if meter.batch is not None:
            yield BatchItem(batch=meter.batch)
    for _, value in store.scan("attestation"):
        yield AttestationItem(attestation=value)
    for _, value in store.scan("statement"):
        yield StatementItem(statement=parse_canonical(value, Envelope))


def _log(store: StoreView, enterprise: EnterpriseId) -> Iterator[BundleItem]:
    raw = store.get("checkpoint", "latest")
    if raw is None:
        return
    checkpoint = msgspec.msgpack.decode(raw, type=CheckpointRow)
    note = with_signatures(checkpoint.note, checkpoint.cosignatures)
    yield CheckpointItem(log=enterprise, note=note)
    for key, value in store.scan("entry"):
        if int(key) >= checkpoint.size:
            return
        row = msgspec.msgpack.decode(value, type=EntryRow)
        yield EntryItem(
            log=enterprise,
            index=int(key),
            salt=row.salt,
            body_kind=row.body_kind,
            body=_body(store, row),
        )


def _body(store: StoreView, row: EntryRow) -> bytes:
    raw = store.get(row.bucket, row.key)
    if raw is None:
        sentence = f"The log names row {row.bucket}/{row.key}, which is missing; restore a backup."
        raise CorruptState("export.body.missing", sentence)
    if row.body_kind == "record":
        return msgspec.msgpack.decode(raw, type=RecordRow).usage
    return raw


def bundle_lines(
    trust: Envelope, parts: Iterable[Iterable[BundleItem]], now_ns: int
) -> Iterator[bytes]:
    """Yield the lines of the bundle that these parts make together, without repetition.

    Args:
        trust: The trust file.
        parts: One per contributing enterprise.
        now_ns: When it is exported; the one thing in the file nobody signs.

    Yields:
        The header line, then every other, each with its newline.
    """
    items: dict[bytes, BundleItem] = {
        canonical_bytes(TrustItem(trust=trust)): TrustItem(trust=trust)
    }
    blocks: dict[str, BlockItem] = {}
    for part in parts:
        for item in part:
            if isinstance(item, BlockItem):
                _merge_block(blocks, item)
            else:
                items[canonical_bytes(item)] = item
    for block in blocks.values():
        items[canonical_bytes(block)] = block
    header = HeaderItem(
        format=BUNDLE_FORMAT,
        consortium=verify_trust(trust).trust.consortium,
        exported=format_instant(now_ns),
        items=len(items),
    )
    for line in (canonical_bytes(header), *items):
        yield line + b"\n"


class ReadBundle(NamedTuple):
    """A bundle's trust file, and its other lines but the header."""

    trust: Envelope
    items: tuple[BundleItem, ...]


def read_bundle(lines: Iterable[bytes], name: str) -> ReadBundle:
    """Return what stands in a bundle.

    Args:
        lines: Of the file, each with its newline.
        name: Of the file, for sentences.

    Raises:
        UsageError: A line is no line of a bundle, or there is no trust file.
    """
    trusts, items = [], []
    for number, line in enumerate(lines, start=1):
        item = _item_of(line, f"{name}, line {number}")
        if isinstance(item, TrustItem):
            trusts.append(item.trust)
        elif not isinstance(item, HeaderItem):
            items.append(item)
    if len(trusts) != 1:
        sentence = f"{name} has {len(trusts)} trust files where a bundle has one; export it again."
        raise UsageError("export.bundle.trust", sentence)
    return ReadBundle(trust=trusts[0], items=tuple(items))


def _item_of(line: bytes, place: str) -> BundleItem:
    try:
        item: BundleItem = msgspec.json.decode(line, type=BundleItem)
    except msgspec.MsgspecError as error:
        sentence = f"{place} is no line of a bundle ({error}); verify that file alone."
        raise UsageError("export.bundle.malformed", sentence) from error
    return item


def _merge_block(blocks: dict[str, BlockItem], item: BlockItem) -> None:
    """Unite the countersignatures that different parties hold for the same block."""
    digest = item.block.payload_digest
    known = blocks.get(digest)
    signed = item.countersignatures
    if known is not None:
        new = tuple(each for each in signed if each not in known.countersignatures)
        signed = (*known.countersignatures, *new)
    blocks[digest] = BlockItem(block=item.block, countersignatures=signed)
