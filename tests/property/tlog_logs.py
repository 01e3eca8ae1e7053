"""A log over a dictionary, as a key-value store would hold it, and its parties' keys."""

import hashlib

from mutualedge.signing import SigningKey
from mutualedge.tlog import (
    Checkpoint,
    NoteAlgorithm,
    NoteSigner,
    Tree,
    TreeReader,
    consistency_proof,
    leaf_hash,
    root_at,
    sign_checkpoint,
)

ORIGIN = "acme.example/log"


def signing_key(name: str) -> SigningKey:
    return SigningKey(hashlib.sha256(name.encode()).digest())


LOG_SIGNER = NoteSigner(name=ORIGIN, key=signing_key("log"))


def witness_signer(number: int) -> NoteSigner:
    return NoteSigner(
        name=f"partner{number}.example/witness",
        key=signing_key(f"witness {number}"),
        algorithm=NoteAlgorithm.COSIGNATURE_V1,
    )


class MemoryLog:
    """Rows ``leaf/<index>`` and ``tile/<level>/<index>``, and the tree that grows them."""

    def __init__(self, size: int = 0, *, first_entry: bytes = b"entry 0") -> None:
        self.rows: dict[str, bytes] = {}
        self.entries: list[bytes] = []
        self.tree = Tree()
        self.reader = TreeReader(self.tree, self.read_tile)
        self.first_entry = first_entry
        self.grow(size)

    def grow(self, count: int) -> None:
        for _ in range(count):
            index = len(self.entries)
            self.append(f"entry {index}".encode() if index else self.first_entry)

    def append(self, entry: bytes) -> None:
        self.rows[f"leaf/{len(self.entries)}"] = leaf_hash(entry)
        for tile in self.tree.append(entry):
            self.rows[f"tile/{tile.level}/{tile.index}"] = tile.hashes
        self.entries.append(entry)

    def read_tile(self, level: int, index: int) -> bytes:
        return self.rows[f"tile/{level}/{index}"]

    def read_leaf(self, index: int) -> bytes:
        return self.rows[f"leaf/{index}"]

    def restored(self) -> Tree:
        return Tree.restore(len(self.entries), self.read_tile, self.read_leaf)

    def note(self, size: int | None = None, signer: NoteSigner = LOG_SIGNER) -> str:
        at = len(self.entries) if size is None else size
        checkpoint = Checkpoint(origin=signer.name, size=at, root=root_at(at, self.reader))
        return sign_checkpoint(checkpoint, signer)

    def consistency(self, old_size: int, new_size: int) -> tuple[bytes, ...]:
        return consistency_proof(old_size, new_size, self.reader)
