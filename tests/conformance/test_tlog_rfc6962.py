"""The eight-leaf tree that Certificate Transparency implementations have published since RFC 6962.

Leaves, node hashes and roots as in https://github.com/transparency-dev/merkle (testonly).
"""

import pytest

from mutualedge.tlog import (
    Tree,
    consistency_proof,
    empty_root,
    inclusion_proof,
    leaf_hash,
    root_at,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from tests.property.tlog_logs import MemoryLog

LEAVES = tuple(
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
)
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEAF_0, LEAF_1, LEAF_4 = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
)
NODES_0_1, NODES_2_3, NODES_4_5, NODES_6_7 = (
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
)
NODES_0_3, NODES_4_7 = (
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)


def log() -> MemoryLog:
    built = MemoryLog()
    for leaf in LEAVES:
        built.append(leaf)
    return built


def hexes(proof: tuple[bytes, ...]) -> list[str]:
    return [digest.hex() for digest in proof]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_published_ones(size: int) -> None:
    """By appending, by reading tiles, and by rebuilding the whole log."""
    tree = Tree()
    for leaf in LEAVES[:size]:
        tree.append(leaf)
    assert tree.root().hex() == ROOTS[size]
    assert root_at(size, log().reader).hex() == ROOTS[size]
    assert root_of(map(leaf_hash, LEAVES[:size])).hex() == ROOTS[size]
    assert empty_root().hex() == ROOTS[0]


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [
        (0, 1, []),
        (0, 8, [LEAF_1, NODES_2_3, NODES_4_7]),
        (5, 8, [LEAF_4, NODES_6_7, NODES_0_3]),
        (2, 3, [NODES_0_1]),
        (1, 5, [LEAF_0, NODES_2_3, LEAF_4]),
    ],
)
def test_inclusion_paths_are_the_published_ones(index: int, size: int, path: list[str]) -> None:
    """The audit paths of RFC 6962 section 2.1.1, and they verify."""
    proof = inclusion_proof(index, size, log().reader)
    assert hexes(proof) == path
    root = bytes.fromhex(ROOTS[size])
    verify_inclusion(leaf=leaf_hash(LEAVES[index]), index=index, size=size, proof=proof, root=root)


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        (1, 1, []),
        (1, 8, [LEAF_1, NODES_2_3, NODES_4_7]),
        (6, 8, [NODES_4_5, NODES_6_7, NODES_0_3]),
        (2, 5, [NODES_2_3, LEAF_4]),
    ],
)
def test_consistency_paths_are_the_published_ones(old: int, new: int, path: list[str]) -> None:
    """The proofs of RFC 6962 section 2.1.2, and they verify."""
    proof = consistency_proof(old, new, log().reader)
    assert hexes(proof) == path
    old_root, new_root = bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new])
    verify_consistency(
        old_size=old, old_root=old_root, new_size=new, new_root=new_root, proof=proof
    )
