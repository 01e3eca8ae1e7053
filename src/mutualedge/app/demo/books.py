"""What the stores of the rehearsal say: when all is settled, and what it came to."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.files import STORE_FILE, HubFile, enterprise_folder, read_process_file
from mutualedge.app.founding import HUB
from mutualedge.audit import BundleItem, EntryItem
from mutualedge.consortium.rows import BLOCK_BUCKET, LEDGER_BUCKET
from mutualedge.identity import verify_trust
from mutualedge.ledger import Ledger
from mutualedge.market import Agreement
from mutualedge.meter import UsageRecord
from mutualedge.model import EnterpriseId, InvocationId, LeaseId
from mutualedge.node.leases import BORROWED, RECORD, LeaseRow
from mutualedge.node.logbook import CheckpointRow
from mutualedge.protocol import SignedBlock
from mutualedge.signing import parse_canonical

LEASE_BUCKETS = ("lent", BORROWED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What each enterprise served and earned, and what nobody was paid for.

    Attributes:
        served: Usage records that others' calls left in an enterprise's log.
        recorded: Invocations that stand in somebody's log.
        balances_microcredits: Earned less spent, as the hub's ledger has it.
        written_off_microcredits: Charged in the enterprise's log and not posted at the lease's end.
    """

    served: Counter[EnterpriseId]
    recorded: frozenset[InvocationId]
    balances_microcredits: dict[EnterpriseId, int]
    written_off_microcredits: Counter[EnterpriseId]


def used_leases(folder: Path, names: Iterable[EnterpriseId]) -> frozenset[str]:
    """Return the leases under which somebody's runner metered a call."""
    used: set[str] = set()
    for name in names:
        with _store(folder, name) as store:
            used.update(key.partition("/")[0] for key, _ in store.scan(RECORD))
    return frozenset(used)


def unresolved(
    folder: Path, names: Iterable[EnterpriseId], leases: frozenset[str]
) -> Iterator[Agreement]:
    """Yield those of the leases that one of their sides does not know to be settled yet."""
    for name in names:
        with _store(folder, name) as store:
            for bucket in LEASE_BUCKETS:
                for key, raw in store.scan(bucket):
                    row = msgspec.msgpack.decode(raw, type=LeaseRow)
                    if key in leases and not row.resolved:
                        yield parse_canonical(row.agreement.payload, Agreement)


@contextmanager
def _store(folder: Path, name: EnterpriseId) -> Iterator[SqliteStore]:
    with SqliteStore(enterprise_folder(folder, name) / STORE_FILE, read_only=True) as store:
        yield store


def is_witnessed(folder: Path, name: EnterpriseId, witnesses: int) -> bool:
    """Tell whether so many witnesses cosigned all of an enterprise's log."""
    with _store(folder, name) as store:
        last, raw = store.last_key("entry"), store.get("checkpoint", "latest")
        if last is None or raw is None:
            return last is None
        checkpoint = msgspec.msgpack.decode(raw, type=CheckpointRow)
        return checkpoint.size == int(last) + 1 and len(checkpoint.cosignatures) >= witnesses


def is_final(folder: Path, names: Iterable[EnterpriseId]) -> bool:
    """Tell whether every member holds every block of the hub with enough countersignatures."""
    ledger = _hub_ledger(folder)
    return all(_final_height(folder, name, ledger) == ledger.height for name in names)


def _final_height(folder: Path, name: EnterpriseId, ledger: Ledger) -> int:
    with _store(folder, name) as store:
        blocks = [
            msgspec.msgpack.decode(raw, type=SignedBlock) for _, raw in store.scan(BLOCK_BUCKET)
        ]
    final = [ledger.is_final(each.block, each.countersignatures) for each in blocks]
    return final.index(False) if False in final else len(final)


def read_books(folder: Path, bundle: Path) -> Books:
    """Return what the stopped consortium's ledger and exported logs say."""
    ledger = _hub_ledger(folder)
    served: Counter[EnterpriseId] = Counter()
    recorded: set[InvocationId] = set()
    charged_microcredits: dict[LeaseId, tuple[EnterpriseId, int]] = {}
    for owner, usage in _records(bundle):
        served[owner] += 1
        recorded.add(usage.invocation)
        _, before_microcredits = charged_microcredits.get(usage.lease, (owner, 0))
        total_microcredits = before_microcredits + usage.amount_microcredits
        charged_microcredits[usage.lease] = owner, total_microcredits
    written_off: Counter[EnterpriseId] = Counter()
    for lease_id, (owner, total_microcredits) in charged_microcredits.items():
        on_ledger = ledger.lease(lease_id)
        if on_ledger is not None and on_ledger.is_resolved:
            written_off[owner] += total_microcredits - on_ledger.posted_microcredits
    return Books(
        served=served,
        recorded=frozenset(recorded),
        balances_microcredits={
            name: account.balance_microcredits for name, account in ledger.snapshot().accounts
        },
        written_off_microcredits=written_off,
    )


def _hub_ledger(folder: Path) -> Ledger:
    told = read_process_file(enterprise_folder(folder, HUB), HubFile)
    with _store(folder, HUB) as store:
        return Ledger(verify_trust(told.trust), store.scan(LEDGER_BUCKET))


def _records(bundle: Path) -> Iterator[tuple[EnterpriseId, UsageRecord]]:
    """Yield what runners metered, with whose log it stands in."""
    decoder: msgspec.json.Decoder[BundleItem] = msgspec.json.Decoder(BundleItem)
    with bundle.open("rb") as lines:
        for line in lines:
            item = decoder.decode(line)
            if isinstance(item, EntryItem) and item.body_kind == "record":
                yield EnterpriseId(item.log), parse_canonical(item.body, UsageRecord)
