"""Admission against execution: whatever is admitted meets its deadline, whatever arrives next."""

from bisect import insort_right
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mutualedge.plan.admission import (
    Admitted,
    Booked,
    Job,
    LeaseSlots,
    NotAdmitted,
    Processor,
    ProcessorSnapshot,
    Reservation,
    Running,
    check_job,
    check_reservation,
    profile_reservations,
)
from mutualedge.plan.admission.state import deadline_of
from tests.property.np_edf import (
    Arrival,
    State,
    TooLargeError,
    can_miss,
    drive,
    interrupted,
    state_of,
)

TINY_NS = 14
"""Longest period and deadline that the exhaustive search can explore in moments."""

seeds = st.integers(0, 2**32 - 1)


def tiny_reservations(rng: Random, count: int) -> list[Reservation]:
    """Return streams small enough for the exhaustive search; deadlines may exceed periods."""
    budgets = [rng.randint(1, 4) for _ in range(count)]
    return [
        Reservation(
            key=f"r{index}",
            budget_ns=budget_ns,
            period_ns=rng.randint(2, TINY_NS),
            deadline_ns=rng.randint(budget_ns, TINY_NS),
        )
        for index, budget_ns in enumerate(budgets)
    ]


def tiny_job(rng: Random, key: str, now_ns: int, later_ns: int) -> Job:
    """Return a job of up to 5 ns, released up to ``later_ns`` from now."""
    budget_ns = rng.randint(1, 5)
    release_ns = now_ns + rng.randint(0, later_ns)
    deadline_ns = release_ns + budget_ns + rng.randint(0, TINY_NS)
    return Job(key=key, budget_ns=budget_ns, release_ns=release_ns, deadline_ns=deadline_ns)


def tiny_history(rng: Random, reservation_count: int, later_ns: int) -> tuple[Processor, int]:
    """Return a processor after some random arrivals, starts and early or full finishes."""
    processor = Processor()
    now_ns = 0
    for new in tiny_reservations(rng, reservation_count):
        processor.add_reservation(new, now_ns)
    for step in range(rng.randint(0, 16)):
        reservations = processor.snapshot().profile.reservations
        if reservations and rng.random() < 0.4:
            each = rng.choice(reservations)
            budget_ns = rng.randint(1, each.budget_ns)
            processor.release(each.key, f"p{step}", now_ns, budget_ns=budget_ns)
        elif rng.random() < 0.4:
            processor.admit(tiny_job(rng, f"j{step}", now_ns, later_ns), now_ns)
        job = processor.next_job(now_ns)
        if job is not None:
            processor.start(job.key, now_ns)
        if rng.random() < 0.3:
            continue
        now_ns += 1
        running = processor.snapshot().running
        if running is not None:
            ends_ns = running.started_ns + running.job.budget_ns
            if ends_ns == now_ns or rng.random() < 0.2:
                processor.finish(running.job.key, now_ns)
    processor.validate()
    return processor, now_ns


def joined(state: ProcessorSnapshot, job: Job) -> ProcessorSnapshot:
    """Return the state with one more pending job."""
    pending = list(state.pending)
    insort_right(pending, job, key=deadline_of)
    return replace(state, pending=tuple(pending))


def is_safe(state: ProcessorSnapshot, now_ns: int) -> bool:
    """Tell whether no adversary can make this processor miss a deadline."""
    start, preemptive = state_of(state, now_ns), state.profile.preemptive
    if preemptive:
        start = interrupted(start)
    try:
        return not can_miss(state.profile.reservations, start, preemptive=preemptive)
    except TooLargeError:
        assume(condition=False)
        raise


def preemptive_state(seed: int, reservation_count: int) -> tuple[ProcessorSnapshot, int]:
    """Return a state with interrupted jobs, if its reservations hold and no adversary wins yet."""
    rng = Random(seed)
    reservations: list[Reservation] = []
    for new in tiny_reservations(rng, reservation_count):
        if isinstance(check_reservation(reservations, new, preemptive=True), Admitted):
            reservations.append(new)
    now_ns = rng.randint(0, 20)
    jobs = [tiny_job(rng, f"j{index}", now_ns, 0) for index in range(rng.randint(0, 3))]
    running = None
    if jobs and rng.random() < 0.7:
        started = replace(jobs.pop(), release_ns=max(0, now_ns - 2))
        began_ns = rng.randint(max(0, now_ns - started.budget_ns), now_ns)
        running = Running(job=started, started_ns=began_ns)
    state = ProcessorSnapshot(
        profile=profile_reservations(reservations, preemptive=True),
        next_releases_ns=tuple(now_ns + rng.randint(-2, each.period_ns) for each in reservations),
        pending=tuple(sorted(jobs, key=deadline_of)),
        running=running,
    )
    assume(is_safe(state, now_ns))
    return state, now_ns


@settings(max_examples=300)
@given(seeds, st.integers(0, 2))
def test_with_interruption_the_job_test_is_exact_beside_reservations(seed: int, count: int) -> None:
    """All jobs released: admitted means safe, and refused means that some adversary wins."""
    state, now_ns = preemptive_state(seed, count)
    job = tiny_job(Random(seed + 1), "new", now_ns, 0)
    verdict = check_job(state, job, now_ns)
    assert isinstance(verdict, Admitted) == is_safe(joined(state, job), now_ns)


@settings(max_examples=200)
@given(seeds, st.integers(0, 2))
def test_with_interruption_a_later_job_is_admitted_only_if_safe(seed: int, count: int) -> None:
    """Soundness for jobs whose release lies ahead."""
    state, now_ns = preemptive_state(seed, count)
    job = tiny_job(Random(seed + 1), "new", now_ns, 6)
    if isinstance(check_job(state, job, now_ns), Admitted):
        assert is_safe(joined(state, job), now_ns)


@settings(max_examples=400)
@given(seeds, st.integers(1, 3), st.booleans())
def test_a_reservation_is_admitted_exactly_when_no_adversary_wins(
    seed: int, count: int, preemptive: bool
) -> None:
    """The static test is necessary and sufficient: it agrees with the exhaustive search."""
    *existing, new = tiny_reservations(Random(seed), count)
    verdict = check_reservation(existing, new, preemptive=preemptive)
    at_rest = State(running=None, pending=(), gaps=(0,) * count, just_started=False)
    try:
        beaten = can_miss([*existing, new], at_rest, preemptive=preemptive)
    except TooLargeError:
        assume(condition=False)
        raise
    assert isinstance(verdict, NotAdmitted) == beaten


@settings(max_examples=300)
@given(seeds, st.integers(0, 2), st.sampled_from([0, 0, 6]))
def test_an_admitted_job_lets_no_adversary_win(seed: int, count: int, later_ns: int) -> None:
    """Soundness: after any history, admitted means safe for all arrivals and execution times."""
    rng = Random(seed)
    processor, now_ns = tiny_history(rng, count, later_ns)
    job = tiny_job(rng, "new", now_ns, later_ns)
    if isinstance(check_job(processor.snapshot(), job, now_ns), Admitted):
        assert is_safe(joined(processor.snapshot(), job), now_ns)


@settings(max_examples=200)
@given(seeds)
def test_without_reservations_and_later_releases_the_job_test_is_exact(seed: int) -> None:
    """What is refused there would really miss a deadline."""
    rng = Random(seed)
    processor, now_ns = tiny_history(rng, 0, 0)
    job = tiny_job(rng, "new", now_ns, 0)
    verdict = check_job(processor.snapshot(), job, now_ns)
    assert isinstance(verdict, Admitted) == is_safe(joined(processor.snapshot(), job), now_ns)


@settings(max_examples=200)
@given(seeds, st.integers(1, 2))
def test_a_demand_refusal_is_a_proof(seed: int, count: int) -> None:
    """Codes that name demand from now on are never wrong, even beside reservations."""
    rng = Random(seed)
    processor, now_ns = tiny_history(rng, count, 6)
    job = tiny_job(rng, "new", now_ns, 6)
    verdict = check_job(processor.snapshot(), job, now_ns)
    if isinstance(verdict, NotAdmitted) and verdict.code in {
        "admission.job.demand",
        "admission.job.late",
    }:
        assert not is_safe(joined(processor.snapshot(), job), now_ns)


@pytest.mark.parametrize(("later_ns", "floor"), [(0, 0.92), (6, 0.77)])
def test_the_sufficient_part_refuses_little_needlessly(later_ns: int, floor: float) -> None:
    """Of the jobs that are safe beside reservations, most are admitted (here 0.94 and 0.79)."""
    safe_count = admitted_count = 0
    for seed in range(400):
        rng = Random(seed)
        processor, now_ns = tiny_history(rng, 1 + seed % 2, later_ns)
        job = tiny_job(rng, "new", now_ns, later_ns)
        if is_safe(joined(processor.snapshot(), job), now_ns):
            safe_count += 1
            admitted_count += isinstance(check_job(processor.snapshot(), job, now_ns), Admitted)
    assert safe_count > 100
    assert admitted_count >= floor * safe_count


@settings(max_examples=300)
@given(seeds, st.integers(0, 2), st.sampled_from(["job", "budget", "reservation"]))
def test_more_demand_never_turns_a_refusal_into_an_acceptance(
    seed: int, count: int, kind: str
) -> None:
    """Another pending job, a longer budget or one more reservation only makes it harder."""
    rng = Random(seed)
    processor, now_ns = tiny_history(rng, count, 0)
    job = tiny_job(rng, "new", now_ns, 0)
    state = processor.snapshot()
    assume(isinstance(check_job(state, job, now_ns), NotAdmitted))
    if kind == "budget":
        assume(job.budget_ns < job.deadline_ns - job.release_ns)
        job = replace(job, budget_ns=job.budget_ns + 1)
    elif kind == "job":
        state = joined(state, tiny_job(rng, "more", now_ns, 0))
    else:
        extra = replace(tiny_reservations(rng, 1)[0], key="more")
        reservations = state.profile.reservations
        assume(isinstance(check_reservation(reservations, extra), Admitted))
        profile = profile_reservations((*reservations, extra))
        releases = (*state.next_releases_ns, 0)
        state = replace(state, profile=profile, next_releases_ns=releases)
    assert isinstance(check_job(state, job, now_ns), NotAdmitted)


@given(seeds, st.integers(2, 5))
def test_the_order_of_reservations_is_irrelevant(seed: int, count: int) -> None:
    """The verdict depends on the set, not on who came first."""
    rng = Random(seed)
    reservations = tiny_reservations(rng, count)
    shuffled = rng.sample(reservations, count)
    first = check_reservation(reservations[:-1], reservations[-1])
    second = check_reservation(shuffled[:-1], shuffled[-1])
    assert type(first) is type(second)


ERRAND_NS = 1_000_001


def real_reservations(rng: Random, processor: Processor) -> list[Reservation]:
    """Promise up to six streams with budgets and periods as devices have them."""
    added = []
    for index in range(6):
        period_ns = rng.randint(5_000_000, 200_000_000)
        new = Reservation(
            key=f"r{index}",
            budget_ns=int(period_ns * rng.uniform(0.01, 0.3)),
            period_ns=period_ns,
            deadline_ns=int(period_ns * rng.uniform(0.4, 1.5)),
        )
        if isinstance(processor.add_reservation(new, 0), Admitted):
            added.append(new)
    return added


def real_arrivals(rng: Random, reservations: list[Reservation], pattern: str) -> list[Arrival]:
    """Return half a second of reservation jobs and of best-effort jobs that try their luck."""
    arrivals = []
    for each in reservations:
        at_ns = 0 if pattern == "synchronous" else rng.randrange(each.period_ns)
        while at_ns < 500_000_000:
            key = f"{each.key}-{at_ns}"
            arrivals.append(Arrival(at_ns, key, reservation_key=each.key, budget_ns=each.budget_ns))
            at_ns += each.period_ns
            at_ns += 0 if pattern == "synchronous" else rng.randrange(each.period_ns)
    for index in range(150):
        at_ns = rng.randrange(500_000_000)
        release_ns = at_ns + (rng.randrange(50_000_000) if rng.random() < 0.2 else 0)
        budget_ns = int(100_000 * 300 ** rng.random())
        deadline_ns = release_ns + budget_ns + int(1_000_000 * 500 ** rng.random())
        job = Job(
            key=f"j{index}", budget_ns=budget_ns, release_ns=release_ns, deadline_ns=deadline_ns
        )
        arrivals.append(Arrival(at_ns, job.key, job))
        if pattern == "adversarial":
            # Each promise is claimed right after a best-effort job may have started.
            arrivals += [
                Arrival(
                    at_ns + 1,
                    f"{each.key}-after-{index}",
                    reservation_key=each.key,
                    budget_ns=each.budget_ns,
                )
                for each in reservations
            ]
    return arrivals


@settings(max_examples=60)
@given(
    seeds,
    st.sampled_from(["synchronous", "sporadic", "adversarial"]),
    st.booleans(),
    st.sampled_from([0, ERRAND_NS]),
)
def test_everything_accepted_is_executed_in_time(
    seed: int, pattern: str, early: bool, errand_ns: int
) -> None:
    """Long runs at nanosecond scale: nothing accepted is late, whatever errands fill the gaps."""
    rng = Random(seed)
    processor = Processor(best_effort_blocking_ns=ERRAND_NS - 1)
    reservations = real_reservations(rng, processor)
    arrivals = real_arrivals(rng, reservations, pattern)
    run = drive(processor, arrivals, Random(seed) if early else None, errand_ns)
    assert len(run.deadlines_ns) > 20
    assert run.missed() == []


@settings(max_examples=60)
@given(seeds)
def test_a_booked_job_is_back_by_the_bound_the_requester_computed(seed: int) -> None:
    """Bookings need no round trip: arrivals within the network bound keep every promise."""
    rng = Random(seed)
    processor = Processor()
    reservations = real_reservations(rng, processor)
    lease = reservations[0]
    network_ns = rng.randint(2, 20_000_000)
    slots = LeaseSlots(
        budget_ns=lease.budget_ns,
        period_ns=lease.period_ns,
        deadline_ns=lease.deadline_ns,
        starts_ns=0,
        ends_ns=2_000_000_000,
        network_ns=network_ns,
    )
    arrivals = real_arrivals(rng, reservations[1:], "adversarial")
    bounds_ns = {}
    now_ns = arrives_ns = 0
    for index in range(40):
        now_ns += rng.randrange(lease.period_ns * 2)
        booked = slots.book(lease.budget_ns, now_ns, now_ns + 3 * lease.period_ns)
        if isinstance(booked, Booked):
            # In order, and one nanosecond before the bound at the latest.
            arrives_ns = max(arrives_ns, now_ns + rng.randrange(network_ns))
            key = f"booked-{index}"
            bounds_ns[key] = booked.finish_bound_ns - network_ns
            arrivals.append(
                Arrival(arrives_ns, key, reservation_key=lease.key, budget_ns=lease.budget_ns)
            )
    run = drive(processor, arrivals, rng)
    late = [key for key, bound_ns in bounds_ns.items() if run.finishes_ns[key] > bound_ns]
    assert late == []
