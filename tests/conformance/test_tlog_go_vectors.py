"""Byte-for-byte agreement with Go's sumdb packages and torchwood on a log of 70,000 entries.

How the vectors were made stands in their own file, under ``produced``.
"""

import base64
from functools import cache
from pathlib import Path

import msgspec
import pytest

from mutualedge.signing import SigningKey
from mutualedge.tlog import (
    Checkpoint,
    NoteAlgorithm,
    NoteSigner,
    bundle_path,
    consistency_proof,
    cosign,
    count_cosignatures,
    inclusion_proof,
    leaf_hash,
    parse_tlog_proof,
    parse_vkey,
    root_at,
    sign_checkpoint,
    tile_path,
    verify_checkpoint,
    verify_tlog_proof,
    with_signatures,
)
from tests.property.tlog_logs import MemoryLog


class Inclusion(msgspec.Struct):
    index: int
    size: int
    hashes: tuple[str, ...]


class Consistency(msgspec.Struct):
    old: int
    new: int
    hashes: tuple[str, ...]


class TilePath(msgspec.Struct):
    level: int
    index: int
    width: int
    path: str


class Vectors(msgspec.Struct):
    roots: dict[int, str]
    inclusion: tuple[Inclusion, ...]
    consistency: tuple[Consistency, ...]
    paths: tuple[TilePath, ...]
    log_seed_hex: str
    log_vkey: str
    log_note: str
    witness_seed_hex: str
    witness_vkey: str
    witness_time_s: int
    cosigned_note: str
    tlog_proof_index: int
    tlog_proof: str


FILE = Path(__file__).parent / "tlog" / "go_sumdb_torchwood.json"
VECTORS = msgspec.json.decode(FILE.read_bytes(), type=Vectors)
LOG = NoteSigner(
    name="vectors.mutualedge.example/log", key=SigningKey(bytes.fromhex(VECTORS.log_seed_hex))
)
WITNESS = NoteSigner(
    name="vectors.mutualedge.example/witness",
    key=SigningKey(bytes.fromhex(VECTORS.witness_seed_hex)),
    algorithm=NoteAlgorithm.COSIGNATURE_V1,
)


@cache
def log() -> MemoryLog:
    return MemoryLog(70_000)


def encoded(proof: tuple[bytes, ...]) -> tuple[str, ...]:
    return tuple(base64.b64encode(digest).decode() for digest in proof)


def test_roots_agree() -> None:
    """Every size around the tile boundaries has the root that Go computed."""
    for size, root in VECTORS.roots.items():
        assert encoded((root_at(size, log().reader),)) == (root,)


def test_proofs_agree() -> None:
    """Inclusion and consistency proofs read from our tiles are the ones Go produced."""
    for each in VECTORS.inclusion:
        assert encoded(inclusion_proof(each.index, each.size, log().reader)) == each.hashes
    for growth in VECTORS.consistency:
        assert encoded(consistency_proof(growth.old, growth.new, log().reader)) == growth.hashes


@pytest.mark.parametrize("case", VECTORS.paths, ids=lambda case: case.path)
def test_paths_agree(case: TilePath) -> None:
    """Tile and bundle paths; Go calls the entries' level -1."""
    if case.level < 0:
        assert bundle_path(case.index, case.width) == case.path
    else:
        assert tile_path(case.level, case.index, case.width) == case.path


def test_keys_and_checkpoint_agree() -> None:
    """The same seeds give the same verifier keys and the same signed note, byte for byte."""
    assert LOG.verifier.vkey == VECTORS.log_vkey
    assert WITNESS.verifier.vkey == VECTORS.witness_vkey
    root = log().tree.root()
    checkpoint = Checkpoint(origin=LOG.name, size=70_000, root=root)
    assert sign_checkpoint(checkpoint, LOG) == VECTORS.log_note
    assert verify_checkpoint(VECTORS.log_note, parse_vkey(VECTORS.log_vkey)) == checkpoint


def test_cosignature_agrees() -> None:
    """The witness line of the same second is the same, byte for byte, and counts."""
    text = VECTORS.log_note.split("\n\n")[0] + "\n"
    line = cosign(text, WITNESS, VECTORS.witness_time_s)
    assert with_signatures(VECTORS.log_note, [line]) == VECTORS.cosigned_note
    count = count_cosignatures(VECTORS.cosigned_note, [parse_vkey(VECTORS.witness_vkey)], 1)
    assert count.reached
    assert count.cosigned[0].time_s == VECTORS.witness_time_s


def test_proof_file_agrees() -> None:
    """Torchwood's file verifies here, and ours for the same entry is the same text."""
    proof = parse_tlog_proof(VECTORS.tlog_proof)
    assert proof.text == VECTORS.tlog_proof
    assert proof.index == VECTORS.tlog_proof_index
    assert proof.hashes == inclusion_proof(proof.index, 70_000, log().reader)
    verify_tlog_proof(
        proof,
        leaf=leaf_hash(b"entry %d" % proof.index),
        log=LOG.verifier,
        witnesses=[WITNESS.verifier],
        quorum=1,
    )
