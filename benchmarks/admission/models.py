"""One more job or promise on processors with and without interruption, at 100 and 1,000 tasks."""

from bisect import insort_right
from collections.abc import Iterator
from random import Random
from time import thread_time_ns

from mutualedge.model import NS_PER_MS, NS_PER_S
from mutualedge.plan.admission import (
    Admitted,
    Job,
    ProcessorSnapshot,
    Reservation,
    check_job,
    check_reservation,
    profile_reservations,
)
from mutualedge.plan.admission.state import deadline_of

MIXES = ((100, 0), (50, 50), (1_000, 0), (500, 500), (0, 1_000))
"""Reservations and pending jobs."""

PROCESSORS_COUNT = 6
JOBS_ASKED = 200
PROMISES_ASKED = 40
"""Decisions on each processor."""

Times = dict[str, list[int]]


def time_models(seed: int) -> Times:
    """Return the thread's time of every decision, ns, by execution, mix and kind."""
    times: Times = {}
    for preemptive in (False, True):
        for reservation_count, job_count in MIXES:
            rng = Random(seed)
            name = f"{'preemptive ' if preemptive else ''}{reservation_count}+{job_count}"
            for _ in range(PROCESSORS_COUNT):
                state = _loaded(rng, reservation_count, job_count, preemptive=preemptive)
                times.setdefault(f"{name} one more job", []).extend(_jobs(rng, state))
                times.setdefault(f"{name} one more promise", []).extend(_promises(rng, state))
    return times


def _jobs(rng: Random, state: ProcessorSnapshot) -> Iterator[int]:
    for index in range(JOBS_ASKED):
        job = _job(rng, f"new-{index}", 20 * NS_PER_MS)
        begun_ns = thread_time_ns()
        check_job(state, job, NS_PER_S)
        yield thread_time_ns() - begun_ns


def _promises(rng: Random, state: ProcessorSnapshot) -> Iterator[int]:
    profile = state.profile
    share = 0.2 / max(1, len(profile.reservations))
    for _ in range(PROMISES_ASKED):
        new = _reservation(rng, "new", share)
        begun_ns = thread_time_ns()
        check_reservation(profile.reservations, new, preemptive=profile.preemptive)
        yield thread_time_ns() - begun_ns


def _loaded(
    rng: Random, reservation_count: int, job_count: int, *, preemptive: bool
) -> ProcessorSnapshot:
    """Return a processor at 1 s; half of its streams, 30 to 90 % of it, released just before."""
    load = rng.uniform(0.3, 0.9)
    reservations = _reservations(rng, reservation_count, load, preemptive=preemptive)
    releases_ns = [
        NS_PER_S - rng.randrange(10 * NS_PER_MS) + (rng.random() < 0.5) * each.period_ns
        for each in reservations
    ]
    pending: list[Job] = []
    state = ProcessorSnapshot(
        profile=profile_reservations(reservations, preemptive=preemptive),
        next_releases_ns=tuple(releases_ns),
        pending=(),
        running=None,
    )
    for index in range(2 * job_count):
        job = _job(rng, f"job-{index}", NS_PER_MS)
        if len(pending) < job_count and isinstance(check_job(state, job, NS_PER_S), Admitted):
            insort_right(pending, job, key=deadline_of)
            state = ProcessorSnapshot(
                profile=state.profile,
                next_releases_ns=state.next_releases_ns,
                pending=tuple(pending),
                running=None,
            )
    return state


def _reservations(rng: Random, count: int, load: float, *, preemptive: bool) -> list[Reservation]:
    """Return streams that hold; one that does not is drawn again, with less of it each time."""
    while True:
        drawn = [
            _reservation(rng, f"lease-{index}", rng.uniform(0.2, 1.8) * load / count)
            for index in range(count)
        ]
        if not drawn or isinstance(
            check_reservation(drawn[:-1], drawn[-1], preemptive=preemptive), Admitted
        ):
            return drawn
        load *= 0.95


def _reservation(rng: Random, key: str, share: float) -> Reservation:
    period_ns = int(20 * NS_PER_MS * 50 ** rng.random())
    budget_ns = max(1, int(period_ns * share))
    return Reservation(
        key=key,
        budget_ns=budget_ns,
        period_ns=period_ns,
        deadline_ns=max(budget_ns, int(period_ns * rng.uniform(0.5, 1))),
    )


def _job(rng: Random, key: str, budget_max_ns: int) -> Job:
    """Return a released job of up to that budget that is due within 20 ms to 2 s."""
    return Job(
        key=key,
        budget_ns=int(budget_max_ns / 200 * 200 ** rng.random()),
        release_ns=NS_PER_S,
        deadline_ns=NS_PER_S + int(20 * NS_PER_MS * 100 ** rng.random()),
    )
