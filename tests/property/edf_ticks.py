"""EDF executed tick by tick: slow, short, and written from the definition alone."""

from typing import NamedTuple

from mutualedge.plan.edf import TaskSet


class Ticked(NamedTuple):
    """What happened: finishes by (task, job), None at the horizon; who had each tick."""

    finishes: dict[tuple[int, int], int | None]
    ticks: list[tuple[int, int] | None]
    preemptions: int


def tick_by_tick(tasks: TaskSet, horizon_us: int, *, preemptive: bool) -> Ticked:
    """Run one microsecond after the other; ties go to the lower id."""
    columns = (tasks.execution_us, tasks.period_us, tasks.deadline_us, tasks.offset_us)
    rows = list(zip(*(each.tolist() for each in columns), strict=True))
    left: dict[tuple[int, int], int] = {}
    finishes: dict[tuple[int, int], int | None] = {}
    ticks: list[tuple[int, int] | None] = []
    running: tuple[int, int] | None = None
    preemptions = 0
    for now in range(horizon_us):
        for task, (execution, period, _, offset) in enumerate(rows):
            if now >= offset and (now - offset) % period == 0:
                left[task, (now - offset) // period] = execution
                finishes[task, (now - offset) // period] = None

        def due(job: tuple[int, int]) -> tuple[int, int]:
            _, period, deadline, offset = rows[job[0]]
            return offset + job[1] * period + deadline, job[0]

        chosen = min(left, key=due) if left else None
        if running in left and chosen != running:
            if preemptive:
                preemptions += 1
            else:
                chosen = running
        ticks.append(chosen)
        running = chosen
        if chosen is not None:
            left[chosen] -= 1
            if not left[chosen]:
                del left[chosen]
                finishes[chosen] = now + 1
    return Ticked(finishes, ticks, preemptions)
