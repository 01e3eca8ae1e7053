"""EDF, executed: an exhaustive search for a missed deadline, and a non-preemptive driver.

Written from the execution model alone; shares no formula with the tests of admission.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from random import Random
from typing import NamedTuple

from mutualedge.plan.admission import (
    Admitted,
    Job,
    Processor,
    ProcessorSnapshot,
    Released,
    Reservation,
)

STATES_MAX = 150_000
"""Reachable states before the search gives up (`TooLargeError`): a few seconds."""


class TooLargeError(Exception):
    """The search space is larger than a test should explore."""


class Waiting(NamedTuple):
    """A job in the search; instants count from the state's own present."""

    deadline: int
    release: int
    budget: int


class State(NamedTuple):
    """Everything that decides the future, relative to the present.

    ``running`` is (remaining budget, deadline); ``gaps`` the time until each reservation may
    release again; ``just_started`` whether a job was chosen at this instant already.
    """

    running: tuple[int, int] | None
    pending: tuple[Waiting, ...]
    gaps: tuple[int, ...]
    just_started: bool


def state_of(snapshot: ProcessorSnapshot, now_ns: int) -> State:
    """Translate a processor's snapshot for the search."""
    running = snapshot.running
    return State(
        running=None
        if running is None
        else (
            running.started_ns + running.job.budget_ns - now_ns,
            running.job.deadline_ns - now_ns,
        ),
        pending=tuple(
            Waiting(job.deadline_ns - now_ns, max(0, job.release_ns - now_ns), job.budget_ns)
            for job in snapshot.pending
        ),
        gaps=tuple(max(0, next_ns - now_ns) for next_ns in snapshot.next_releases_ns),
        just_started=running is not None and running.started_ns == now_ns,
    )


def interrupted(state: State) -> State:
    """Return the state in which the running job waits with what is left of its budget."""
    if state.running is None:
        return state
    left, deadline = state.running
    waiting = (Waiting(deadline, 0, left),) if left else ()
    pending = sorted((*state.pending, *waiting), key=lambda job: job.deadline)
    return State(running=None, pending=tuple(pending), gaps=state.gaps, just_started=False)


def can_miss(
    reservations: Sequence[Reservation], start: State, *, preemptive: bool = False
) -> bool:
    """Tell whether some arrival pattern and some execution times up to budgets miss a deadline.

    Preemptive execution knows waiting jobs only: begin with an `interrupted` state.

    Raises:
        TooLargeError: More states are reachable than the search may visit.
    """
    seen = {start}
    frontier = [start]
    while frontier:
        for state in _successors(reservations, frontier.pop(), preemptive=preemptive):
            due = [job.deadline for job in state.pending]
            if state.running is not None:
                due.append(state.running[1] - state.running[0] + 1)
            if min(due, default=1) <= 0:
                return True
            if state not in seen:
                seen.add(state)
                frontier.append(state)
        if len(seen) > STATES_MAX:
            raise TooLargeError
    return False


def _successors(
    reservations: Sequence[Reservation], state: State, *, preemptive: bool
) -> Iterator[State]:
    """Yield every state one tick later: arrivals, then the choice, then a tick of work."""
    free = () if state.just_started else [i for i, gap in enumerate(state.gaps) if gap == 0]
    for count in range(len(free) + 1):
        for arriving in combinations(free, count):
            pending = list(state.pending)
            gaps = list(state.gaps)
            for index in arriving:
                each = reservations[index]
                pending.append(Waiting(each.deadline_ns, 0, each.budget_ns))
                gaps[index] = each.period_ns
            pending.sort(key=lambda job: job.deadline)
            yield from (
                _tick_shared(pending, gaps) if preemptive else _tick(state.running, pending, gaps)
            )


def _tick_shared(pending: list[Waiting], gaps: list[int]) -> Iterator[State]:
    """Yield the states after one tick of the released job that is due first."""
    first = next((index for index, job in enumerate(pending) if job.release == 0), None)
    ran = [job for index, job in enumerate(pending) if index != first]
    choices = [ran]
    if first is not None and pending[first].budget > 1:
        job = pending[first]
        left = Waiting(job.deadline, 0, job.budget - 1)
        choices.append(sorted((*ran, left), key=lambda each: each.deadline))
    later = tuple(max(0, gap - 1) for gap in gaps)
    for waiting in choices:
        aged = tuple(
            Waiting(job.deadline - 1, max(0, job.release - 1), job.budget) for job in waiting
        )
        yield State(running=None, pending=aged, gaps=later, just_started=False)


def _tick(
    running: tuple[int, int] | None, pending: list[Waiting], gaps: list[int]
) -> Iterator[State]:
    """Yield the states after one tick: the running job goes on, or ends within this tick."""
    if running is None:
        ready = [job for job in pending if job.release == 0]
        if ready:
            pending = [job for job in pending if job is not ready[0]]
            running = (ready[0].budget, ready[0].deadline)
    waiting = tuple(
        Waiting(job.deadline - 1, max(0, job.release - 1), job.budget) for job in pending
    )
    later = tuple(max(0, gap - 1) for gap in gaps)
    yield State(running=None, pending=waiting, gaps=later, just_started=False)
    if running is not None and running[0] > 1:
        still = (running[0] - 1, running[1] - 1)
        yield State(running=still, pending=waiting, gaps=later, just_started=False)


class Arrival(NamedTuple):
    """What reaches a driven processor: a job to admit, or one of a reservation (``budget_ns``)."""

    at_ns: int
    key: str
    job: Job | None = None
    reservation_key: str = ""
    budget_ns: int = 0


class Run(NamedTuple):
    """What a driven processor did: accepted deadlines and finishes, by job key."""

    deadlines_ns: dict[str, int]
    finishes_ns: dict[str, int]

    def missed(self) -> list[str]:
        """Return the accepted jobs that finished late or not at all."""
        return [
            key
            for key, deadline_ns in self.deadlines_ns.items()
            if self.finishes_ns.get(key, deadline_ns + 1) > deadline_ns
        ]


def drive(
    processor: Processor,
    arrivals: Sequence[Arrival],
    execution: Random | None,
    errand_ns: int = 0,
) -> Run:
    """Execute non-preemptive EDF event by event until everything accepted is done.

    Jobs take their whole budget, or a random part of it when ``execution`` is given. With
    ``errand_ns``, errands of that length fill every instant at which the processor lets them.
    """
    run = Run({}, {})
    queue = sorted(arrivals, key=lambda arrival: arrival.at_ns)
    now_ns = ends_ns = 0
    while queue or processor.next_release_ns() is not None or processor.snapshot().running:
        running = processor.snapshot().running
        if running is not None and ends_ns <= now_ns:
            processor.finish(running.job.key, now_ns)
            run.finishes_ns[running.job.key] = now_ns
            running = None
        while queue and queue[0].at_ns <= now_ns:
            _deliver(processor, queue.pop(0), now_ns, run)
        job = processor.next_job(now_ns)
        if job is not None:
            running = processor.start(job.key, now_ns)
            ends_ns = now_ns + (execution.randint(1, job.budget_ns) if execution else job.budget_ns)
        elif errand_ns and queue and processor.can_occupy(now_ns):
            running = processor.occupy(f"errand {now_ns}", errand_ns, now_ns)
            ends_ns = now_ns + errand_ns
        processor.validate()
        release_ns = processor.next_release_ns()
        wakes = [ends_ns] if running else [] if release_ns is None else [release_ns]
        wakes += [queue[0].at_ns] if queue else []
        now_ns = max(now_ns, min(wakes, default=now_ns))
    return run


def _deliver(processor: Processor, arrival: Arrival, now_ns: int, run: Run) -> None:
    if arrival.job is not None:
        if isinstance(processor.admit(arrival.job, now_ns), Admitted):
            run.deadlines_ns[arrival.key] = arrival.job.deadline_ns
        return
    outcome = processor.release(
        arrival.reservation_key, arrival.key, now_ns, budget_ns=arrival.budget_ns
    )
    if isinstance(outcome, Released):
        run.deadlines_ns[arrival.key] = outcome.job.deadline_ns
