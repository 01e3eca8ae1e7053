from itertools import count

import pytest

from mutualedge.app.demo.cast import CANDY, LOGISTICS, MACHINES
from mutualedge.app.demo.script import hours_between, roles_of
from mutualedge.app.demo.tally import Asked, Outcome, Tally, outcome_of_refusal, quantile
from mutualedge.model import EnterpriseId, InvocationId

NUMBERS = count()


def new_invocation() -> InvocationId:
    return InvocationId(f"{next(NUMBERS):032x}")


def local(latency_s: float, *, hour: int = 0, is_late: bool = False) -> Asked:
    return Asked(
        enterprise=CANDY,
        invocation=new_invocation(),
        hour=hour,
        outcome=Outcome.LOCAL,
        latency_s=latency_s,
        is_late=is_late,
        placed=CANDY,
    )


def offloaded(placed: EnterpriseId, hour: int = 0) -> Asked:
    return Asked(
        enterprise=CANDY,
        invocation=new_invocation(),
        hour=hour,
        outcome=Outcome.OFFLOADED,
        latency_s=0.05,
        placed=placed,
    )


def without_result(outcome: Outcome, code: str, hour: int = 0) -> Asked:
    return Asked(
        enterprise=CANDY,
        invocation=new_invocation(),
        hour=hour,
        outcome=outcome,
        latency_s=9.0,
        code=code,
    )


def tally_of(*asked: Asked) -> Tally:
    tally = Tally()
    for each in asked:
        tally.add(each)
    return tally


def test_every_question_is_counted_in_one_class() -> None:
    """Local, offloaded, refused and unanswered add up to the invocations."""
    tally = tally_of(
        local(0.01),
        local(0.02),
        offloaded(LOGISTICS),
        without_result(Outcome.REFUSED, "booking.job.deadline"),
        without_result(Outcome.UNANSWERED, "nats.request.timeout"),
    )
    count = tally.count(CANDY)
    assert (count.local, count.offloaded, count.refused, count.unanswered) == (2, 1, 1, 1)
    assert (count.answered, count.invocations) == (3, 5)
    assert tally.count(LOGISTICS).invocations == 0


def test_a_miss_is_a_late_answer_or_none_but_no_refusal() -> None:
    """Who is told no at once has missed nothing; who waits in vain has."""
    tally = tally_of(
        local(0.01),
        local(0.5, is_late=True),
        without_result(Outcome.REFUSED, "booking.job.deadline"),
        without_result(Outcome.UNANSWERED, "nats.request.timeout"),
    )
    assert tally.count(CANDY).deadline_misses == 2


def test_latencies_are_of_answers_only() -> None:
    """A refusal that came fast, or a node that was off, does not improve the figures."""
    tally = tally_of(
        local(0.010), local(0.030), without_result(Outcome.UNANSWERED, "device.node.off")
    )
    count = tally.count(CANDY)
    assert (count.latency_ms_p50, count.latency_ms_p99) == (10.0, 30.0)
    assert tally_of().count(CANDY).latency_ms_p99 == 0.0


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 50.0), (99, 99.0), (100, 100.0), (1, 1.0), (0, 1.0)]
)
def test_a_quantile_is_a_value_that_occurred(percent: int, expected: float) -> None:
    """Nearest rank: of a hundred values the 99th for 99 percent."""
    assert quantile([float(value) for value in range(1, 101)], percent) == expected


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("booking.job.deadline", Outcome.REFUSED),
        ("market.lease.none", Outcome.REFUSED),
        ("admission.job.promised-first", Outcome.REFUSED),
        ("node.device.busy", Outcome.REFUSED),
        ("node.runner.absent", Outcome.REFUSED),
        ("node.runner.lost", Outcome.UNANSWERED),
        ("nats.request.timeout", Outcome.UNANSWERED),
        ("session.unknown", Outcome.UNANSWERED),
        ("functions.trap.fuel", Outcome.UNANSWERED),
    ],
)
def test_no_at_once_differs_from_giving_up(code: str, outcome: Outcome) -> None:
    """What was accepted and came to nothing is no refusal: it counts as a miss."""
    assert outcome_of_refusal(code) is outcome


def test_hours_are_told_as_roles() -> None:
    """Who borrows, from whom and how much; who needed nobody is not mentioned."""
    tally = tally_of(
        local(0.01, hour=4),
        offloaded(LOGISTICS, hour=4),
        offloaded(LOGISTICS, hour=5),
        offloaded(MACHINES, hour=5),
        without_result(Outcome.REFUSED, "booking.job.deadline", hour=5),
        offloaded(MACHINES, hour=6),
    )
    assert list(roles_of(tally, range(3, 6))) == [
        "candy borrows: logistics runs 2 and machines runs 1 of its 5, 1 refused"
    ]
    assert list(roles_of(tally, range(9))) != []
    assert list(roles_of(tally, range(3))) == []


def test_reasons_are_counted_by_code() -> None:
    """Results have none."""
    tally = tally_of(
        local(0.01),
        without_result(Outcome.REFUSED, "booking.job.deadline"),
        without_result(Outcome.REFUSED, "booking.job.deadline"),
    )
    assert tally.reasons(CANDY) == {"booking.job.deadline": 2}


@pytest.mark.parametrize(
    ("day_s", "hours"), [(12.0, 3), (6.0, 6), (48.0, 1), (600.0, 1), (1.0, 24)]
)
def test_whoever_watches_is_told_something_every_other_second(day_s: float, hours: int) -> None:
    """Whole hours that divide the day, however long it is."""
    assert hours_between(day_s) == hours
