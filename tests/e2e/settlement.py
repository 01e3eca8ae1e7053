"""What a stopped consortium's stores and bundle say about money, judged by hand."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.auditing import export_bundle, verify_file
from mutualedge.app.files import STORE_FILE, HubFile, read_process_file
from mutualedge.app.founding import HUB
from mutualedge.audit import AgreementItem, BundleItem, EntryItem, Report
from mutualedge.consortium.rows import BLOCK_BUCKET, LEDGER_BUCKET
from mutualedge.identity import verify_trust
from mutualedge.ledger import Lease, Ledger, Snapshot
from mutualedge.market import Agreement
from mutualedge.meter import UsageRecord
from mutualedge.model import InvocationId, LeaseId
from mutualedge.node.books import OUTBOX_BUCKET, final_height
from mutualedge.node.leases import LeaseRow
from mutualedge.node.logbook import CheckpointRow
from mutualedge.signing import parse_canonical
from tests.e2e.plant import BAKERY, HARBOUR, Plant

WITNESSES = 2
"""The other enterprise and the hub."""


def is_settled(founded: Plant) -> bool:
    """Tell whether every lease is resolved, every command answered, every log cosigned."""
    ledger = hub_ledger(founded)
    for name, bucket in ((BAKERY, "borrowed"), (HARBOUR, "lent")):
        with founded.store(name) as store:
            rows = [msgspec.msgpack.decode(raw, type=LeaseRow) for _, raw in store.scan(bucket)]
            if not all(row.resolved for row in rows) or list(store.scan(OUTBOX_BUCKET)):
                return False
            if not is_cosigned(store) or not is_final(store, ledger):
                return False
    return True


def is_cosigned(store: SqliteStore) -> bool:
    last = store.last_key("entry")
    raw = store.get("checkpoint", "latest")
    if last is None or raw is None:
        return last is None
    checkpoint = msgspec.msgpack.decode(raw, type=CheckpointRow)
    return checkpoint.size == int(last) + 1 and len(checkpoint.cosignatures) >= WITNESSES


def is_final(store: SqliteStore, ledger: Ledger) -> bool:
    height = len(list(store.scan(BLOCK_BUCKET)))
    return height == ledger.height == final_height(ledger, store)


def hub_ledger(founded: Plant) -> Ledger:
    """Return the ledger as the hub stored it."""
    told = read_process_file(founded.own(HUB), HubFile)
    with SqliteStore(founded.own(HUB) / STORE_FILE, read_only=True) as store:
        return Ledger(verify_trust(told.trust), store.scan(LEDGER_BUCKET))


@dataclass(slots=True)
class LeaseBooks:
    """One lease: what was agreed, executed, charged and posted."""

    terms: Agreement
    executed_microcredits: int = 0
    charged: Counter[InvocationId] = field(default_factory=Counter)
    posted_microcredits: int = 0

    @property
    def lost_microcredits(self) -> int:
        return self.executed_microcredits - self.posted_microcredits

    @property
    def exposure_microcredits(self) -> int:
        """What W calls cost: the most that one side may lose."""
        call_microcredits = self.terms.price_microcredits * self.terms.budget_ns // 1_000_000
        return self.terms.window_calls * call_microcredits


@dataclass(frozen=True, slots=True)
class Settlement:
    """Everything that was exported, and what the auditor says about it."""

    report: Report
    ledger: Snapshot
    leases: dict[LeaseId, LeaseBooks]
    recorded: frozenset[InvocationId]

    @property
    def charged_twice(self) -> list[InvocationId]:
        """Invocations that cost more than once, under one lease or several."""
        charged = sum((books.charged for books in self.leases.values()), Counter[InvocationId]())
        return [invocation for invocation, times in charged.items() if times > 1]


def settlement_of(founded: Plant) -> Settlement:
    """Export what the stopped processes stored, and read it."""
    bundle = founded.folder / "bundle.jsonl"
    export_bundle([founded.own(BAKERY), founded.own(HARBOUR)], bundle)
    items = list(items_of(bundle))
    leases = {
        LeaseId(item.agreement.payload_digest): LeaseBooks(
            parse_canonical(item.agreement.payload, Agreement)
        )
        for item in items
        if isinstance(item, AgreementItem)
    }
    recorded = set()
    for usage in records_of(items):
        books = leases[usage.lease]
        books.executed_microcredits += usage.amount_microcredits
        books.charged[usage.invocation] += usage.amount_microcredits > 0
        recorded.add(usage.invocation)
    ledger = hub_ledger(founded)
    ledger.validate()
    for lease_id, books in leases.items():
        on_ledger: Lease | None = ledger.lease(lease_id)
        books.posted_microcredits = on_ledger.posted_microcredits if on_ledger else 0
    return Settlement(
        report=verify_file(bundle),
        ledger=ledger.snapshot(),
        leases=leases,
        recorded=frozenset(recorded),
    )


def items_of(bundle: Path) -> Iterator[BundleItem]:
    decoder: msgspec.json.Decoder[BundleItem] = msgspec.json.Decoder(BundleItem)
    for line in bundle.read_bytes().splitlines():
        yield decoder.decode(line)


def records_of(items: list[BundleItem]) -> Iterator[UsageRecord]:
    """Yield what the provider's runners metered."""
    for item in items:
        if isinstance(item, EntryItem) and item.log == HARBOUR and item.body_kind == "record":
            yield parse_canonical(item.body, UsageRecord)
