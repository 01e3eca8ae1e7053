"""The enterprise's usage log: append, checkpoint, have others witness it, witness theirs."""

from functools import partial

import msgspec

from mutualedge.consortium.witness import WITNESS_BUCKET, WitnessDesk
from mutualedge.errors import CorruptState
from mutualedge.identity import HUB
from mutualedge.model import NS_PER_MS, NS_PER_S, Bytes32, EnterpriseId, Instant, format_instant
from mutualedge.node.station import Station
from mutualedge.node.views import CheckpointView, CosignatureView
from mutualedge.protocol import (
    AddCheckpoint,
    CheckpointConflict,
    CheckpointCosigned,
    Refused,
    Reply,
    StoreView,
)
from mutualedge.protocol.effects import Unanswered
from mutualedge.tlog import (
    Checkpoint,
    NoteAlgorithm,
    NoteSigner,
    NoteVerifier,
    Tree,
    TreeReader,
    add_checkpoint_body,
    claimed_time_s,
    consistency_proof,
    leaf_hash,
    parse_checkpoint,
    parse_note,
    root_at,
    salted_leaf,
    sign_checkpoint,
    verify_cosignature,
    with_signatures,
)

FRESH_TILES_MAX = 16
"""Full tiles kept in memory; a batch of events completes at most three."""


class EntryRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Row ``entry/<index>``: the logged entry and where its opened body is stored.

    Attributes:
        body_kind: "record" or "statement".
        bucket: Bucket of the row that holds the body.
        key: Key of that row.
    """

    entry: bytes
    salt: Bytes32
    body_kind: str
    bucket: str
    key: str


class CheckpointRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Row ``checkpoint/latest``: our signed note and what witnesses added to it."""

    size: int
    note: str
    cosignatures: tuple[str, ...]


def entry_key(index: int) -> str:
    """Return the key of an entry's row; zero-padded, so that keys sort as numbers."""
    return f"{index:015d}"


def tile_key(level: int, index: int) -> str:
    """Return the key of a full tile's row."""
    return f"{level:02d}/{index:015d}"


class Logbook:
    """The log of one enterprise and its memory as a witness of the others."""

    def __init__(self, station: Station, store: StoreView) -> None:
        """Restore the log from its rows.

        Raises:
            CorruptState: Rows are missing or contradict the last checkpoint.
        """
        self._station = station
        me = station.me.enterprise
        self._witness = WitnessDesk(
            station.consortium,
            station.consortium.witness_name(me),
            station.keys.witness,
            store.scan(WITNESS_BUCKET),
        )
        self._signer = NoteSigner(name=station.consortium.log_origin(me), key=station.keys.log)
        self._store = store
        self._tree = _restore_tree(store)
        self._fresh_tiles: dict[str, bytes] = {}
        self._corrected: dict[EnterpriseId, None] = {}
        self._cosigned: dict[EnterpriseId, None] = {}
        self._validated_size = -1
        self._checkpoint = CheckpointRow(size=0, note="", cosignatures=())
        if (raw := store.get("checkpoint", "latest")) is not None:
            self._checkpoint = msgspec.msgpack.decode(raw, type=CheckpointRow)
            self._verify_checkpoint()
            self._restore_cosigned()
        self._witnessed: dict[EnterpriseId, int] = {}
        self._published: Instant | None = None
        self._schedule()

    def _restore_cosigned(self) -> None:
        note = with_signatures(self._checkpoint.note, self._checkpoint.cosignatures)
        named = {each.name: None for each in parse_note(note).signatures}
        for peer in self._witnesses():
            if self._witness_name(peer) in named:
                self._cosigned[peer] = None

    @property
    def size(self) -> int:
        """Entries logged."""
        return self._tree.size

    @property
    def checkpoint(self) -> CheckpointRow:
        """The latest checkpoint and the cosignatures it has so far."""
        return self._checkpoint

    def view(self) -> CheckpointView:
        """Return the latest checkpoint and who vouches for it, for an operator."""
        latest = self._checkpoint
        lines = (
            parse_note(with_signatures(latest.note, latest.cosignatures)) if latest.size else None
        )
        return CheckpointView(
            size=latest.size,
            at=self._published,
            cosignatures=tuple(
                CosignatureView(
                    witness=each.name, at=format_instant(claimed_time_s(each) * NS_PER_S)
                )
                for each in (lines.signatures if lines is not None else ())
                if each.name != self._signer.name
            ),
        )

    def append(self, body_kind: str, body: bytes, bucket: str, key: str) -> None:
        """Log a body that is written to ``bucket``/``key`` in the same transaction."""
        salt = self._station.salt(body)
        entry = salted_leaf(salt, body)
        row = EntryRow(entry=entry, salt=salt, body_kind=body_kind, bucket=bucket, key=key)
        index = self._tree.size
        self._station.write("entry", entry_key(index), msgspec.msgpack.encode(row))
        for tile in self._tree.append(entry):
            key = tile_key(tile.level, tile.index)
            self._station.write("tile", key, tile.hashes)
            self._keep_fresh(key, tile.hashes)

    def _keep_fresh(self, key: str, hashes: bytes) -> None:
        """Hold the newest tiles: their rows may not be durable yet when a proof needs them."""
        self._fresh_tiles[key] = hashes
        while len(self._fresh_tiles) > FRESH_TILES_MAX:
            del self._fresh_tiles[next(iter(self._fresh_tiles))]

    def _read_tile(self, level: int, index: int) -> bytes:
        key = tile_key(level, index)
        fresh = self._fresh_tiles.get(key)
        return fresh if fresh is not None else _row(self._store, "tile", key)

    def _verify_checkpoint(self) -> None:
        """Refuse to go on from rows that contradict what we signed.

        Raises:
            CorruptState: Entries are missing or altered.
        """
        signed = parse_checkpoint(parse_note(self._checkpoint.note).text)
        reader = TreeReader(self._tree, self._read_tile)
        if signed.size > self._tree.size or root_at(signed.size, reader) != signed.root:
            sentence = "The log's rows are not what its last checkpoint signed; restore a backup."
            raise CorruptState("node.log.contradiction", sentence)

    def _schedule(self) -> None:
        self._station.after(
            self._station.settings.checkpoint_every_ms * NS_PER_MS, self._publish_if_grown
        )

    def _publish_if_grown(self) -> None:
        if self._tree.size > self._checkpoint.size:
            self._publish()
        self._remind_witnesses()
        self._schedule()

    def _publish(self) -> None:
        checkpoint = Checkpoint(
            origin=self._signer.name, size=self._tree.size, root=self._tree.root()
        )
        note = sign_checkpoint(checkpoint, self._signer)
        self._cosigned.clear()
        self._published = format_instant(self._station.now_ns)
        self._keep(CheckpointRow(size=checkpoint.size, note=note, cosignatures=()))

    def _keep(self, checkpoint: CheckpointRow) -> None:
        self._checkpoint = checkpoint
        self._station.write("checkpoint", "latest", msgspec.msgpack.encode(checkpoint))

    def _remind_witnesses(self) -> None:
        """Ask every witness that has not cosigned the latest checkpoint."""
        self._corrected.clear()
        if not self._checkpoint.size:
            return
        for peer in self._witnesses():
            if peer not in self._cosigned:
                self._ask(peer, self._witnessed.get(peer, 0))

    def _witnesses(self) -> tuple[EnterpriseId, ...]:
        members = (member.enterprise for member in self._station.consortium.members)
        return (*(name for name in members if name != self._station.me.enterprise), HUB)

    def _witness_name(self, peer: EnterpriseId) -> str:
        consortium = self._station.consortium
        return consortium.trust.witness_name if peer == HUB else consortium.witness_name(peer)

    def _ask(self, peer: EnterpriseId, old_size: int) -> None:
        size, note = self._checkpoint.size, self._checkpoint.note
        reader = TreeReader(self._tree, self._read_tile)
        proof = consistency_proof(old_size, size, reader) if 0 < old_size < size else ()
        request = AddCheckpoint(body=add_checkpoint_body(old_size, proof, note))
        self._station.ask(peer, request, partial(self._on_cosigned, peer, size))

    def _on_cosigned(self, peer: EnterpriseId, size: int, reply: Reply | Unanswered) -> None:
        match reply:
            case CheckpointCosigned(line=line):
                self._verify_cosignature(peer, size, line)
                self._witnessed[peer] = max(size, self._witnessed.get(peer, 0))
                if size == self._checkpoint.size:
                    self._cosigned[peer] = None
                self._add_cosignature(peer, size, line)
            case CheckpointConflict(size=known) if known <= self._tree.size:
                self._witnessed[peer] = known
                if peer not in self._corrected and known <= self._checkpoint.size:
                    self._corrected[peer] = None
                    self._ask(peer, known)
            case Refused(code=code):
                self._station.note("checkpoint.refused", witness=peer, code=code)
            case _:
                self._station.note("checkpoint.unwitnessed", witness=peer)

    def _verify_cosignature(self, peer: EnterpriseId, size: int, line: str) -> None:
        """Refuse a line that would spoil our checkpoint: it must be this witness's, over it.

        Raises:
            PeerError: It is not.
        """
        consortium = self._station.consortium
        name = self._witness_name(peer)
        trust = consortium.trust
        key = trust.witness_key if peer == HUB else consortium.member(peer).witness_key
        if size == self._checkpoint.size:
            verifier = NoteVerifier(
                name=name, public_bytes=key, algorithm=NoteAlgorithm.COSIGNATURE_V1
            )
            verify_cosignature(
                parse_note(with_signatures(self._checkpoint.note, (line,))), verifier
            )

    def _add_cosignature(self, peer: EnterpriseId, size: int, line: str) -> None:
        latest = self._checkpoint
        if size == latest.size and line not in latest.cosignatures:
            lines = (*latest.cosignatures, line)
            self._keep(CheckpointRow(size=size, note=latest.note, cosignatures=lines))
            self._station.note("checkpoint.cosigned", witness=peer, size=size)

    def cosign(self, ask_id: int, request: AddCheckpoint) -> None:
        """Answer another log's request for our cosignature; remembered before it leaves."""
        reply, rows = self._witness.answer(request.body, self._station.now_ns // NS_PER_S)
        for bucket, key, value in rows:
            self._station.write(bucket, key, value)
        if isinstance(reply, Refused):
            self._station.note("checkpoint.not_cosigned", code=reply.code)
        self._station.answer(ask_id, reply)

    def validate(self) -> None:
        """Assert that nothing published exceeds what is logged; the tree once per growth."""
        if self._validated_size != self._tree.size:
            self._tree.validate()
            self._validated_size = self._tree.size
        assert self._checkpoint.size <= self._tree.size


def _restore_tree(store: StoreView) -> Tree:
    """Return the log's tree as its rows say.

    Raises:
        CorruptState: A row is missing or has the wrong length.
    """
    last = store.last_key("entry")
    size = int(last) + 1 if last is not None else 0
    return Tree.restore(
        size,
        lambda level, index: _row(store, "tile", tile_key(level, index)),
        lambda index: _leaf(store, index),
    )


def _leaf(store: StoreView, index: int) -> bytes:
    raw = _row(store, "entry", entry_key(index))
    return leaf_hash(msgspec.msgpack.decode(raw, type=EntryRow).entry)


def _row(store: StoreView, bucket: str, key: str) -> bytes:
    raw = store.get(bucket, key)
    if raw is None:
        sentence = f"The log's row {bucket}/{key} is missing; restore the store from its backup."
        raise CorruptState("node.log.row-missing", sentence)
    return raw
