"""Laws of the chain of usage records: sums are kept, and no change of any record passes."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mutualedge.errors import PeerError
from mutualedge.meter import CHAIN_START, UsageRecord, walk_chain
from mutualedge.signing import canonical_bytes, digest_of
from tests.unit.test_core_meter import usage_record

Link = tuple[bytes, UsageRecord]

billables = st.lists(st.booleans(), min_size=1, max_size=12)


def chain_of(billable: list[bool]) -> list[Link]:
    links: list[Link] = []
    head = CHAIN_START.head
    for index, is_billable in enumerate(billable):
        record = usage_record(index + 1, head, billable=is_billable)
        links.append((canonical_bytes(record), record))
        head = digest_of(links[-1][0])
    return links


def follows(links: list[Link]) -> bool:
    try:
        walk_chain(CHAIN_START, links)
    except PeerError as error:
        assert error.code == "meter.record.chain"  # noqa: PT017
        return False
    return True


@given(billables)
def test_the_total_is_the_sum_of_the_amounts(billable: list[bool]) -> None:
    """Whatever is charged or free, the position carries count, last digest and sum."""
    links = chain_of(billable)
    position = walk_chain(CHAIN_START, links)
    assert position.seq == len(links)
    assert position.head == digest_of(links[-1][0])
    assert position.total_microcredits == 30 * sum(billable)


@given(billables, st.data())
def test_walking_in_two_parts_is_walking_once(billable: list[bool], data: st.DataObject) -> None:
    """A voucher in between changes nothing about what follows."""
    links = chain_of(billable)
    cut = data.draw(st.integers(0, len(links)))
    midway = walk_chain(CHAIN_START, links[:cut])
    assert walk_chain(midway, links[cut:]) == walk_chain(CHAIN_START, links)


@given(st.lists(st.booleans(), min_size=2, max_size=12), st.data())
def test_no_record_can_be_left_out(billable: list[bool], data: st.DataObject) -> None:
    """A chain without one of its records breaks there, except at its very end."""
    links = chain_of(billable)
    gone = data.draw(st.integers(0, len(links) - 2))
    assert not follows(links[:gone] + links[gone + 1 :])
    assert follows(links[:-1])


@given(billables, st.data())
def test_no_record_can_come_twice(billable: list[bool], data: st.DataObject) -> None:
    """A repeated record does not follow itself."""
    links = chain_of(billable)
    index = data.draw(st.integers(0, len(links) - 1))
    assert not follows(links[: index + 1] + links[index:])


@given(st.lists(st.booleans(), min_size=2, max_size=12), st.data())
def test_records_cannot_change_places(billable: list[bool], data: st.DataObject) -> None:
    """Any other order than the one they were made in breaks the chain."""
    links = chain_of(billable)
    other = data.draw(st.permutations(links))
    assert follows(other) == (other == links)


@given(st.lists(st.booleans(), min_size=2, max_size=12), st.data())
def test_no_record_can_be_rewritten(billable: list[bool], data: st.DataObject) -> None:
    """One instruction more in any record but the last, and its successor no longer fits."""
    links = chain_of(billable)
    index = data.draw(st.integers(0, len(links) - 2))
    record = msgspec.structs.replace(links[index][1], fuel=links[index][1].fuel + 1)
    links[index] = (canonical_bytes(record), record)
    assert not follows(links)
