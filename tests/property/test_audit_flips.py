"""One bit of a bundle changed, anywhere: the audit notices, and points at its line."""

from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualedge.audit import Report, verify_bundle
from tests.unit.audit_scenarios import honest

SAMPLED_FLIPS = 400
"""Bits tried in every run, a few seconds; the slow test tries one in every byte."""

PARTS = 8
"""Shares of the slow test, under a minute each, so that processors can divide them."""


@cache
def bundle() -> bytes:
    return b"".join(honest().write())


@cache
def unsigned() -> range:
    """Return where the only bytes stand that no signature covers: the header's time."""
    start = bundle().index(b'"exported":"') + len(b'"exported":"')
    return range(start, start + len("2026-11-21T08:00:00.000Z"))


def lines_of(raw: bytes) -> Iterator[bytes]:
    """Yield lines as a binary file does: the newline stays, the last line may lack it."""
    start = 0
    while start < len(raw):
        end = raw.find(b"\n", start) + 1 or len(raw)
        yield raw[start:end]
        start = end


def report_with_flip(position: int, bit: int) -> Report:
    raw = bytearray(bundle())
    raw[position] ^= 1 << bit
    return verify_bundle(lines_of(bytes(raw)))


def assert_noticed(position: int, bit: int) -> None:
    """Expect a finding whose lines hold the flipped byte."""
    line = bundle().count(b"\n", 0, position) + 1
    report = report_with_flip(position, bit)
    assert report.status != "proved", (position, bit)
    assert any(each.line <= line <= each.last_line for each in report.findings), (position, bit)


def test_the_bundle_is_proved_before_it_is_touched() -> None:
    """The flips below fail for their own reason; a flip in the unsigned time changes nothing."""
    assert verify_bundle(lines_of(bundle())).status == "proved"
    assert report_with_flip(unsigned()[3], 0).status == "proved"
    assert report_with_flip(unsigned()[3], 0).unsigned == "header.exported"


@settings(max_examples=SAMPLED_FLIPS)
@given(st.data())
def test_a_flipped_bit_is_noticed_on_its_line(data: st.DataObject) -> None:
    """Whatever it hits: structure, signature, digest, salt, evidence, newline."""
    positions = st.integers(0, len(bundle()) - 1).filter(lambda at: at not in unsigned())
    assert_noticed(data.draw(positions), data.draw(st.integers(0, 7)))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_flipped_bit_in_every_byte_is_noticed_on_its_line(part: int) -> None:
    """No byte of the file escapes, each once."""
    tried = [at for at in range(part, len(bundle()), PARTS) if at not in unsigned()]
    for position in tried:
        assert_noticed(position, position // PARTS % 8)
    assert len(tried) >= (len(bundle()) - len(unsigned())) // PARTS - 1
