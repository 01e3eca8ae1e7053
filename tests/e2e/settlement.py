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


async def wait_settled(founded: Plant, timeout_s: float) -> None:
    """Return once all is settled; fail with what still is not."""
    try:
        await founded.until(lambda: next(unsettled(founded), None) is None, timeout_s)
    except TimeoutError:
        left = list(unsettled(founded))
        if left:
            raise AssertionError(f"after {timeout_s} s: " + "; ".join(left[:10])) from None


def unsettled(founded: Plant) -> Iterator[str]:
    """Yield each lease that is not resolved, command without an answer, log without cosignature."""
    ledger = hub_ledger(founded)
    for name, bucket in ((BAKERY, "borrowed"), (HARBOUR, "lent")):
        with founded.store(name) as store:
            for key, raw in store.scan(bucket):
                row = msgspec.msgpack.decode(raw, type=LeaseRow)
                if not row.resolved:
                    yield f"{name}: lease {key} is {ledger.lease(LeaseId(key))}"
            for key, raw in store.scan(OUTBOX_BUCKET):
                yield f"{name}: command {key} waits ({raw[:200]!r})"
            yield from (f"{name}: {each}" for each in unsigned(store))
            yield from (f"{name}: {each}" for each in unfollowed(store, ledger))


def unsigned(store: SqliteStore) -> Iterator[str]:
    """Yield what keeps the newest checkpoint from covering the log under every cosignature."""
    last = store.last_key("entry")
    if last is None:
        return
    raw = store.get("checkpoint", "latest")
    row = msgspec.msgpack.decode(raw, type=CheckpointRow) if raw else None
    if row is None or row.size != int(last) + 1 or len(row.cosignatures) < WITNESSES:
        signed = (row.size, row.cosignatures) if row else None
        yield f"{int(last) + 1} entries, the newest checkpoint says {signed}"


def unfollowed(store: SqliteStore, ledger: Ledger) -> Iterator[str]:
    """Yield how far behind the ledger an enterprise is."""
    height, final = len(list(store.scan(BLOCK_BUCKET))), final_height(ledger, store)
    if not height == ledger.height == final:
        yield f"{height} of {ledger.height} blocks followed, {final} final"


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
