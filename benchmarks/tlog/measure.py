"""Grow one log in memory, then prove and verify at places all over it, in processor time."""

import random
from collections.abc import Callable
from time import thread_time_ns

from benchmarks.lines import Metric, rated, timed
from mutualedge.tlog import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_at,
    salted_leaf,
    verify_consistency,
    verify_inclusion,
)
from tests.property.tlog_logs import MemoryLog

ENTRIES = 50_000
"""Two full levels of tiles begun: a proof reads three."""

BATCH = 100
PROOFS = 1_000
SALT = bytes(32)


def run() -> list[Metric]:
    """Return appends per second and the times of proofs and their verification."""
    log = MemoryLog()
    entries = [salted_leaf(SALT, b"record %d" % number) for number in range(ENTRIES)]
    appends = _batches(log.append, entries)
    hashes = _batches(leaf_hash, entries)
    floor = ("leaf hash alone", hashes)
    return [
        rated("append and keep", appends, unit="appends/s", baseline=floor),
        *_inclusion(log),
        *_consistency(log),
    ]


def _batches(step: Callable[[bytes], object], entries: list[bytes]) -> list[int]:
    """Return nanoseconds per entry, averaged over batches."""
    times_ns: list[int] = []
    for start in range(0, len(entries), BATCH):
        begun_ns = thread_time_ns()
        for entry in entries[start : start + BATCH]:
            step(entry)
        times_ns.append((thread_time_ns() - begun_ns) // BATCH)
    return times_ns


def _inclusion(log: MemoryLog) -> list[Metric]:
    order, root = random.Random(1), log.tree.root()
    proving: list[int] = []
    verifying: list[int] = []
    for _ in range(PROOFS):
        index = order.randrange(ENTRIES)
        leaf = leaf_hash(log.entries[index])
        begun_ns = thread_time_ns()
        proof = inclusion_proof(index, ENTRIES, log.reader)
        proved_ns = thread_time_ns()
        verify_inclusion(leaf=leaf, index=index, size=ENTRIES, proof=proof, root=root)
        verifying.append(thread_time_ns() - proved_ns)
        proving.append(proved_ns - begun_ns)
    return [timed("inclusion proof", proving), timed("inclusion verified", verifying)]


def _consistency(log: MemoryLog) -> list[Metric]:
    order, new_root = random.Random(2), log.tree.root()
    proving: list[int] = []
    verifying: list[int] = []
    for _ in range(PROOFS):
        old_size = order.randrange(1, ENTRIES)
        old_root = root_at(old_size, log.reader)
        begun_ns = thread_time_ns()
        proof = consistency_proof(old_size, ENTRIES, log.reader)
        proved_ns = thread_time_ns()
        verify_consistency(
            old_size=old_size, old_root=old_root, new_size=ENTRIES, new_root=new_root, proof=proof
        )
        verifying.append(thread_time_ns() - proved_ns)
        proving.append(proved_ns - begun_ns)
    return [timed("consistency proof", proving), timed("consistency verified", verifying)]
