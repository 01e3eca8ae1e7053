import hashlib

import pytest

from mutualedge.errors import UsageError
from mutualedge.tlog import Tree, empty_root, leaf_hash, node_hash, root_of, salted_leaf
from mutualedge.tlog.hashing import LEAF_TAG


def test_leaf_and_node_hashes_are_domain_separated() -> None:
    """A leaf that spells two hashes is not the node above them."""
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(b"\x01" + left + right) != node_hash(left, right)
    assert leaf_hash(left + right) != node_hash(left, right)


def test_root_of_nothing_is_the_empty_root() -> None:
    """RFC 6962 defines the empty tree's root as SHA-256 of nothing."""
    assert root_of([]) == empty_root() == hashlib.sha256().digest()


def test_rebuild_reads_a_large_log_in_chunks() -> None:
    """Beyond two chunks of 65,536 leaves the rebuild still agrees with the tree that grew."""
    tree = Tree()
    leaves = [index.to_bytes(32, "big") for index in range(2 * 65_536 + 5)]
    for leaf in leaves:
        tree.append_leaf_hash(leaf)
    assert root_of(iter(leaves)) == tree.root()
    assert root_of(leaves[: 2 * 65_536]) != tree.root()


def test_salted_leaf_commits_to_salt_and_body() -> None:
    """The entry is the tag and one digest, and changes with either input."""
    entry = salted_leaf(b"s" * 32, b"record")
    assert entry == LEAF_TAG + hashlib.sha256(b"s" * 32 + b"record").digest()
    assert entry != salted_leaf(b"t" * 32, b"record")
    assert entry != salted_leaf(b"s" * 32, b"recorD")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_salt_of_another_length_is_refused(length: int) -> None:
    """With one length only, no salt can lend bytes to the body."""
    with pytest.raises(UsageError, match=r"tlog\.leaf\.salt"):
        salted_leaf(b"s" * length, b"record")
