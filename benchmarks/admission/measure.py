"""Time every kind of admission decision, and compare its verdicts with an exhaustive search."""

from bisect import insort_right
from math import ceil
from random import Random
from time import thread_time_ns

from msgspec.structs import replace

from benchmarks.admission.models import time_models
from mutualedge.model import NS_PER_MS, NS_PER_S
from mutualedge.plan.admission import (
    Admitted,
    Job,
    LeaseSlots,
    NotAdmitted,
    Processor,
    ProcessorSnapshot,
    Reservation,
    check_job,
    check_reservation,
)
from mutualedge.plan.admission.state import deadline_of
from mutualedge.plan.admission.windows import check_all_from_now
from tests.property.np_edf import TooLargeError, can_miss, state_of

MIXES = ((50, 50), (100, 0), (0, 100))
"""Reservations and pending jobs, 100 tasks in all."""

PROCESSORS_COUNT = 12
"""Independent task sets per mix."""

DECISIONS_PER_PROCESSOR = 400
"""Jobs asked about on each, so that the 99th percentile rests on about 50 values."""

TINY_SCENARIOS_COUNT = 400
"""Histories small enough for the exhaustive search: about half a minute."""

Line = dict[str, str | int | float]


def run(seed: int = 1) -> list[Line]:
    """Return one line per measured quantity; deterministic except for the times."""
    lines: list[Line] = []
    for reservation_count, job_count in MIXES:
        lines += _time_decisions(Random(seed), reservation_count, job_count)
    lines += _time_promises(Random(seed))
    lines += [_times_line(kind, times_ns) for kind, times_ns in time_models(seed).items()]
    lines.append(_time_booking())
    lines += _compare_with_search(Random(seed))
    return lines


def _times_line(kind: str, times_ns: list[int]) -> Line:
    ordered = sorted(times_ns)
    return {
        "benchmark": "admission",
        "kind": kind,
        "n": len(ordered),
        "unit": "us",
        "median": ordered[len(ordered) // 2] / 1_000,
        "p99": ordered[ceil(len(ordered) * 0.99) - 1] / 1_000,
        "max": ordered[-1] / 1_000,
    }


def _ratio_line(kind: str, accepted_count: int, possible_count: int) -> Line:
    return {
        "benchmark": "admission",
        "kind": kind,
        "n": possible_count,
        "unit": "ratio",
        "value": round(accepted_count / max(1, possible_count), 4),
    }


def _reservation(rng: Random, index: int, utilisation: float) -> Reservation:
    """Return a stream like a sampling device's: 20 ms to 1 s, deadline half to whole period."""
    period_ns = int(20 * NS_PER_MS * 50 ** rng.random())
    budget_ns = max(1, int(period_ns * utilisation))
    return Reservation(
        key=f"lease-{index}",
        budget_ns=budget_ns,
        period_ns=period_ns,
        deadline_ns=max(budget_ns, int(period_ns * rng.uniform(0.5, 1))),
    )


def _job(rng: Random, index: int, now_ns: int) -> Job:
    """Return a best-effort job of 0.1 to 20 ms that is due within 20 ms to 2 s."""
    return Job(
        key=f"job-{index}",
        budget_ns=int(NS_PER_MS / 10 * 200 ** rng.random()),
        release_ns=now_ns,
        deadline_ns=now_ns + int(20 * NS_PER_MS * 100 ** rng.random()),
    )


def _loaded_processor(rng: Random, reservation_count: int, job_count: int) -> tuple[Processor, int]:
    """Return a processor with that many tasks, after one second of promised work.

    Reservations use 30 to 90 % of it; half of them released lately.
    """
    processor = Processor()
    target = rng.uniform(0.3, 0.9)
    added_count = 0
    while added_count < reservation_count:
        share = rng.uniform(0.2, 1.8) * target / reservation_count
        new = _reservation(rng, added_count, share)
        added_count += isinstance(processor.add_reservation(new, 0), Admitted)
        if added_count > reservation_count // 2:
            target *= 0.999
    now_ns = NS_PER_S
    for index, each in enumerate(processor.snapshot().profile.reservations):
        if rng.random() < 0.5:
            now_ns += rng.randrange(NS_PER_MS)
            processor.release(each.key, f"promised-{index}", now_ns, budget_ns=each.budget_ns)
    while (job := processor.next_job(now_ns)) is not None:
        processor.start(job.key, now_ns)
        now_ns += job.budget_ns // 2
        processor.finish(job.key, now_ns)
    index = 0
    while len(processor.snapshot().pending) < job_count:
        small = replace(_job(rng, index, now_ns), budget_ns=rng.randint(10_000, 5 * NS_PER_MS))
        processor.admit(small, now_ns)
        index += 1
    first = processor.next_job(now_ns)
    if first is not None:
        processor.start(first.key, now_ns)
        now_ns += first.budget_ns // 2
    return processor, now_ns


def _time_decisions(rng: Random, reservation_count: int, job_count: int) -> list[Line]:
    """Return times of whole decisions and of refusals, and acceptance against what is necessary."""
    name = f"{reservation_count}+{job_count}"
    times: dict[str, list[int]] = {}
    accepted_count = possible_count = 0
    for _ in range(PROCESSORS_COUNT):
        processor, now_ns = _loaded_processor(rng, reservation_count, job_count)
        for index in range(DECISIONS_PER_PROCESSOR):
            job = _job(rng, 1_000_000 + index, now_ns)
            began_ns = thread_time_ns()
            state = processor.snapshot()
            verdict = check_job(state, job, now_ns)
            took_ns = thread_time_ns() - began_ns
            outcome = verdict.code if isinstance(verdict, NotAdmitted) else "admitted"
            times.setdefault("all", []).append(took_ns)
            times.setdefault(outcome, []).append(took_ns)
            pending = list(state.pending)
            insort_right(pending, job, key=deadline_of)
            accepted_count += isinstance(verdict, Admitted)
            possible_count += check_all_from_now(state, pending, now_ns) is None
    lines = [_times_line(f"{name} {outcome}", values) for outcome, values in times.items()]
    lines.append(_ratio_line(f"{name} accepted of necessary", accepted_count, possible_count))
    return lines


def _time_promises(rng: Random) -> list[Line]:
    """Return times of one more reservation beside 99, test alone and with its tables."""
    test_ns: list[int] = []
    add_ns: list[int] = []
    for _ in range(PROCESSORS_COUNT):
        processor, now_ns = _loaded_processor(rng, 99, 0)
        existing = processor.snapshot().profile.reservations
        new = _reservation(rng, 99, 0.002)
        began_ns = thread_time_ns()
        check_reservation(existing, new)
        test_ns.append(thread_time_ns() - began_ns)
        began_ns = thread_time_ns()
        processor.add_reservation(new, now_ns)
        add_ns.append(thread_time_ns() - began_ns)
    return [
        _times_line("check_reservation beside 99", test_ns),
        _times_line("add_reservation beside 99", add_ns),
    ]


def _time_booking() -> Line:
    """Return the time of a booking on the requester's side."""
    slots = LeaseSlots(
        budget_ns=NS_PER_MS,
        period_ns=10 * NS_PER_MS,
        deadline_ns=5 * NS_PER_MS,
        starts_ns=0,
        ends_ns=3_600 * NS_PER_S,
        network_ns=NS_PER_MS,
    )
    times_ns: list[int] = []
    for index in range(10_000):
        now_ns = index * 10 * NS_PER_MS
        began_ns = thread_time_ns()
        slots.book(NS_PER_MS, now_ns, now_ns + 20 * NS_PER_MS)
        times_ns.append(thread_time_ns() - began_ns)
    return _times_line("book", times_ns)


def _tiny_state(rng: Random) -> tuple[Processor, int]:
    """Return a processor of at most two reservations and a few ticks of history."""
    processor = Processor()
    now_ns = 0
    for index in range(rng.choice((0, 1, 1, 2))):
        budget_ns = rng.randint(1, 3)
        new = Reservation(
            key=f"r{index}",
            budget_ns=budget_ns,
            period_ns=rng.randint(3, 14),
            deadline_ns=rng.randint(budget_ns, 14),
        )
        processor.add_reservation(new, now_ns)
    for index in range(rng.randint(0, 12)):
        reservations = processor.snapshot().profile.reservations
        if reservations and rng.random() < 0.4:
            each = rng.choice(reservations)
            processor.release(each.key, f"p{index}", now_ns, budget_ns=each.budget_ns)
        elif rng.random() < 0.3:
            processor.admit(_tiny_job(rng, f"j{index}", now_ns), now_ns)
        running = processor.snapshot().running
        job = processor.next_job(now_ns)
        if job is not None:
            running = processor.start(job.key, now_ns)
        now_ns += 1
        if running is not None and running.started_ns + running.job.budget_ns == now_ns:
            processor.finish(running.job.key, now_ns)
    return processor, now_ns


def _tiny_job(rng: Random, key: str, now_ns: int) -> Job:
    budget_ns = rng.randint(1, 5)
    release_ns = now_ns + rng.choice((0, 0, 0, rng.randint(1, 6)))
    deadline_ns = release_ns + budget_ns + rng.randint(0, 14)
    return Job(key=key, budget_ns=budget_ns, release_ns=release_ns, deadline_ns=deadline_ns)


def _with_job(state: ProcessorSnapshot, job: Job) -> ProcessorSnapshot:
    pending = list(state.pending)
    insort_right(pending, job, key=deadline_of)
    return replace(state, pending=tuple(pending))


def _compare_with_search(rng: Random) -> list[Line]:
    """Return, by kind, which part of the jobs that no adversary could hurt is admitted."""
    possible: dict[str, int] = {}
    accepted: dict[str, int] = {}
    unsound_count = 0
    for _ in range(TINY_SCENARIOS_COUNT):
        processor, now_ns = _tiny_state(rng)
        state = processor.snapshot()
        job = _tiny_job(rng, "new", now_ns)
        admitted = isinstance(check_job(state, job, now_ns), Admitted)
        joined = _with_job(state, job)
        try:
            safe = not can_miss(state.profile.reservations, state_of(joined, now_ns))
        except TooLargeError:
            continue
        unsound_count += admitted and not safe
        if safe:
            kind = "reservations" if state.profile.reservations else "jobs only"
            if any(
                each.release_ns > now_ns and each.reservation_key is None for each in joined.pending
            ):
                kind += ", later release"
            possible[kind] = possible.get(kind, 0) + 1
            accepted[kind] = accepted.get(kind, 0) + admitted
    lines = [
        _ratio_line(f"accepted of safe: {kind}", accepted[kind], possible[kind])
        for kind in sorted(possible)
    ]
    lines.append(
        {
            "benchmark": "admission",
            "kind": "admitted although unsafe",
            "n": sum(possible.values()),
            "unit": "count",
            "value": unsound_count,
        }
    )
    return lines
