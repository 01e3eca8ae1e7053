import pytest

from mutualedge.errors import PeerError, UsageError
from mutualedge.tlog import bundle_path, encode_bundle, parse_bundle, tile_path, tile_width


@pytest.mark.parametrize(
    ("index", "path"),
    [(0, "000"), (7, "007"), (999, "999"), (1000, "x001/000"), (1234067, "x001/x234/067")],
)
def test_index_is_spelled_in_groups_of_three(index: int, path: str) -> None:
    """Every group but the last starts with an x, so files and folders never collide."""
    assert tile_path(0, index) == f"tile/0/{path}"
    assert bundle_path(index, 255) == f"tile/entries/{path}.p/255"


def test_widths_follow_the_specification_s_example() -> None:
    """70,000 entries: 273 full tiles and one of 112, then 1 full and one of 17, then one of 1."""
    assert [tile_width(70_000, 0, index) for index in (272, 273, 274)] == [256, 112, 0]
    assert [tile_width(70_000, 1, index) for index in (0, 1, 2)] == [256, 17, 0]
    assert [tile_width(70_000, level, 0) for level in (2, 3)] == [1, 0]


def test_bundle_carries_lengths_in_two_bytes() -> None:
    """Empty and longest entries survive; the form is length then bytes."""
    entries = (b"", b"ab", b"\xff" * 65_535)
    raw = encode_bundle(entries)
    assert raw.startswith(b"\x00\x00\x00\x02ab\xff\xff")
    assert parse_bundle(raw, 3) == entries


def test_entry_that_no_bundle_can_hold_is_refused() -> None:
    """65,536 bytes do not fit the length field."""
    with pytest.raises(UsageError, match=r"tlog\.entry\.size"):
        encode_bundle([b"x" * 65_536])


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "short"),
        (b"\x00", "short"),
        (b"\x00\x03ab", "short"),
        (b"\x00\x02abc", "long"),
        (b"\x00\x02ab\x00\x00", "long"),
    ],
)
def test_bundle_of_another_width_is_refused(raw: bytes, code: str) -> None:
    """A bundle that ends early or late belongs to another tile."""
    with pytest.raises(PeerError, match=rf"tlog\.bundle\.{code}"):
        parse_bundle(raw, 1)
