"""For what `mutualedge up` waits."""

import pytest

from mutualedge.app.operation.queries import Child, ProcessState
from mutualedge.app.operation.switch import FAILURES_MAX, _answers, _is_stuck
from tests.unit.status_samples import node_snapshot, process, status
from tests.unit.test_status_text import view

READY = {"is_runner_ready": True}


@pytest.mark.parametrize(
    ("changes", "answers"),
    [
        ({"hub_since": None}, False),
        ({"hub_since": None, "is_member": False}, True),
    ],
)
def test_a_member_waits_for_its_hub_and_who_left_does_not(
    changes: dict[str, object], answers: bool
) -> None:
    """Nobody would let who left in again, however long it waits."""
    said = status(node=node_snapshot(**READY, **changes))
    assert _answers(process(ProcessState.RUNNING, said)) is answers


def test_nobody_waits_for_those_who_wait_for_what_keeps_ending() -> None:
    """A hub without its port is told as soon as all others run."""
    waits = process(ProcessState.RUNNING, status(node=node_snapshot(hub_since=None)))
    starts = process(ProcessState.STARTING, None)
    ending = process(ProcessState.KILLED, None, Child(failures=FAILURES_MAX))
    assert _is_stuck(view(waits, ending))
    assert not _is_stuck(view(waits, starts, ending))
    assert not _is_stuck(view(waits))
