"""What a process said it keeps: looked up in its rows as it is said, and again at the end.

Each function here names the row that a reply vouches for; the reply has left, so whatever strikes
afterwards, the row (or a newer one of the same thing) must be there.
"""

from collections.abc import Callable, Iterator

import msgspec

from mutualedge.consortium.rows import BLOCK_BUCKET, LEDGER_BUCKET, block_row_key
from mutualedge.ledger import Command, Countersignature
from mutualedge.meter import UsageRecord, Voucher
from mutualedge.model import DeviceId, KeyId, LeaseId
from mutualedge.node.leases import (
    LENT,
    METER,
    RECORD,
    STATEMENT,
    MeterRow,
    RecordRow,
    meter_row_key,
    record_row_key,
)
from mutualedge.node.logbook import EntryRow, entry_key
from mutualedge.protocol import (
    Accepted,
    AddCheckpoint,
    CallDone,
    CheckpointCosigned,
    CommandsOrdered,
    LeaseSigned,
    Reading,
    ReadingScored,
    Reply,
    Request,
    SignedBlock,
    StatementSigned,
    SubmitCommands,
    SubmitCountersignatures,
    VoucherSigned,
)
from mutualedge.signing import canonical_bytes, key_id_of, parse_canonical
from mutualedge.tlog import WitnessedCheckpoint, parse_add_checkpoint, parse_checkpoint, parse_note
from tests.simulation.world_store import MemoryStore

Fact = tuple[str, Callable[[], bool]]
"""What must stay true: its name, unique within a process, and how to look it up."""


class Promises:
    """The promises of one process, kept in its store or broken."""

    def __init__(self, name: str, store: MemoryStore) -> None:
        self._name = name
        self._store = store
        self._facts: dict[str, Callable[[], bool]] = {}
        self._logged: dict[tuple[str, str], int] = {}
        self._executed: dict[bytes, bytes] = {}

    def executed(self, reply: bytes, usage: bytes) -> None:
        """Remember which record stands behind a sealed reply of this process's runner."""
        self._executed[reply] = usage

    def said(self, request: Request, reply: Reply) -> None:
        """Assert that what a reply vouches for is durable as it leaves."""
        for name, is_kept in self._facts_of(request, reply):
            assert is_kept(), f"{self._name} said without having kept: {name}"
            if not isinstance(reply, ReadingScored):
                self._facts[name] = is_kept

    def judge(self) -> int:
        """Assert that everything ever said is still kept; return how much that is."""
        for name, is_kept in self._facts.items():
            assert is_kept(), f"{self._name} said and lost: {name}"
        return len(self._facts)

    def _facts_of(self, request: Request, reply: Reply) -> Iterator[Fact]:
        match request, reply:
            case _, CallDone(record=record):
                yield self._call(self._executed[record])
            case _, VoucherSigned(voucher=envelope):
                yield self._voucher(parse_canonical(envelope.payload, Voucher))
            case _, StatementSigned(statement=statement):
                yield self._row(STATEMENT, _lease_of(statement.payload), canonical_bytes(statement))
            case _, LeaseSigned(agreement=agreement):
                key = agreement.payload_digest
                yield f"lease {key}", lambda: self._store.get(LENT, key) is not None
            case AddCheckpoint(body=body), CheckpointCosigned():
                yield self._cosigned(body)
            case SubmitCommands(commands=commands), CommandsOrdered():
                for each in commands:
                    yield self._outcome(parse_canonical(each.payload, Command))
            case SubmitCountersignatures(countersignatures=envelopes), Accepted():
                for each in envelopes:
                    word = parse_canonical(each.payload, Countersignature)
                    yield self._countersigned(word.height, each.signatures[0].keyid)
            case Reading(device=device), ReadingScored(invocation=invocation):
                yield self._scored(device, invocation)

    def _row(self, bucket: str, key: str, value: bytes) -> Fact:
        return f"{bucket} {key}", lambda: self._store.get(bucket, key) == value

    def _call(self, raw: bytes) -> Fact:
        usage = parse_canonical(raw, UsageRecord)
        key = record_row_key(LeaseId(usage.lease), KeyId(usage.meter), usage.seq)

        def is_kept() -> bool:
            row = self._store.get(RECORD, key)
            if row is None or msgspec.msgpack.decode(row, type=RecordRow).usage != raw:
                return False
            return self._is_logged(RECORD, key)

        return f"record {key}", is_kept

    def _is_logged(self, bucket: str, key: str) -> bool:
        """Tell whether an entry of the log is about this row; entries are read once each."""
        while (raw := self._store.get("entry", entry_key(len(self._logged)))) is not None:
            row = msgspec.msgpack.decode(raw, type=EntryRow)
            assert (row.bucket, row.key) not in self._logged, f"{row.key} is logged twice"
            self._logged[row.bucket, row.key] = len(self._logged)
        index = self._logged.get((bucket, key))
        return index is not None and self._store.get("entry", entry_key(index)) is not None

    def _voucher(self, voucher: Voucher) -> Fact:
        key = meter_row_key(LeaseId(voucher.lease), key_id_of(voucher.meter_key))

        def is_kept() -> bool:
            raw = self._store.get(METER, key)
            if raw is None:
                return False
            kept = msgspec.msgpack.decode(raw, type=MeterRow).voucher
            return parse_canonical(kept.payload, Voucher).through_seq >= voucher.through_seq

        return f"voucher {key} {voucher.through_seq}", is_kept

    def _cosigned(self, body: str) -> Fact:
        told = parse_checkpoint(parse_note(parse_add_checkpoint(body).note).text)

        def is_kept() -> bool:
            raw = self._store.get("witness", told.origin)
            if raw is None:
                return False
            return msgspec.msgpack.decode(raw, type=WitnessedCheckpoint).size >= told.size

        return f"cosignature {told.origin} {told.size}", is_kept

    def _outcome(self, command: Command) -> Fact:
        key = f"outcome/{command.enterprise}/{command.id}"
        return f"command {key}", lambda: self._store.get(LEDGER_BUCKET, key) is not None

    def _countersigned(self, height: int, signer: str) -> Fact:
        def is_kept() -> bool:
            raw = self._store.get(BLOCK_BUCKET, block_row_key(height))
            if raw is None:
                return False
            block = msgspec.msgpack.decode(raw, type=SignedBlock)
            return any(each.signatures[0].keyid == signer for each in block.countersignatures)

        return f"countersignature {height} {signer}", is_kept

    def _scored(self, device: DeviceId, invocation: str) -> Fact:
        def is_kept() -> bool:
            raw = self._store.get("device", device)
            return raw is not None and invocation.encode() in raw

        return f"score {invocation}", is_kept


def _lease_of(payload: bytes) -> str:
    return str(msgspec.json.decode(payload)["lease"])
