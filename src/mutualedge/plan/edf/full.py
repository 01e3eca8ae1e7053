"""Deadlines before the period on a processor that is needed entirely: which window is overloaded?

No bound but the hyperperiod is known there, which can have any number of digits. Two exact
searches share the work. Let S_i = T_i - D_i.

From the end: a window H - d holds H minus the jobs that are due in its last d, which are those of
a mirrored set with first releases at S_i. It is overloaded where these leave the processor idle;
following their busy time from 0 on meets small numbers first.

By residues: demand(t) > t exactly where sum of U_i ((t + S_i) mod T_i) < sum of U_i S_i. So each
residue is small, few are possible, and those of different tasks must agree modulo the common
divisors of their periods: a search in depth by the Chinese remainder theorem, whose size follows
the S_i and not the hyperperiod.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd

import numpy as np

from mutualedge.plan.edf.tasks import EXACT_MAX_US, TaskSet, rows_of
from mutualedge.plan.edf.utilisation import hyperperiod_us

LOOKS_FROM_THE_END_MAX = 10_000
"""Some 0.1 s for 100 tasks; nearly every overload shows in the first few."""


def overload_when_full_us(tasks: TaskSet, shortest_us: int) -> int:
    """Return an overloaded window of this length or longer, 0 if there is none.

    The utilisation is exactly one.
    """
    spared_us = tasks.period_us - tasks.deadline_us
    if not spared_us.any():
        return 0
    repeat_us = hyperperiod_us(tasks)
    missing_us = 1
    for _ in range(LOOKS_FROM_THE_END_MAX):
        if repeat_us - missing_us < shortest_us:
            return 0
        due_us = _due_at_the_end_us(tasks, missing_us)
        if due_us < missing_us:
            return repeat_us - missing_us
        missing_us = due_us + 1
    return _by_residues_us(_congruences(tasks, repeat_us), repeat_us)


def _due_at_the_end_us(tasks: TaskSet, missing_us: int) -> int:
    """Return the work due in the last part of a hyperperiod, its begin excluded."""
    spared_us = tasks.period_us - tasks.deadline_us
    if missing_us < EXACT_MAX_US // 4:
        late_us = np.maximum(missing_us - spared_us, 0)
        return int((-(-late_us // tasks.period_us) * tasks.execution_us).sum())
    return sum(
        -(-max(0, missing_us - spared) // period) * execution
        for execution, period, spared in rows_of(tasks.execution_us, tasks.period_us, spared_us)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Congruence:
    """One task in the search by residues; those before it fix the window modulo ``known_us``.

    Attributes:
        weight: Utilisation times hyperperiod.
        period_us: Of the task.
        spared_us: Period minus deadline.
        known_us: Least common multiple of the periods before.
        common_us: Greatest common divisor of that and the period.
        inverse: Of ``known_us / common_us`` modulo ``period_us / common_us``.
    """

    weight: int
    period_us: int
    spared_us: int
    known_us: int
    common_us: int
    inverse: int

    def joined_us(self, window_us: int, residue_us: int) -> int:
        """Return the window modulo the multiple of all periods so far, this one's included."""
        apart = (residue_us - self.spared_us - window_us) // self.common_us
        steps = apart * self.inverse % (self.period_us // self.common_us)
        return window_us + self.known_us * steps

    def least_us(self, window_us: int) -> int:
        """Return the smallest residue that agrees with the window so far."""
        return (self.spared_us + window_us) % self.common_us


def _congruences(tasks: TaskSet, repeat_us: int) -> list[_Congruence]:
    """Return the tasks as congruences, those with few possible residues first."""
    spared_us = tasks.period_us - tasks.deadline_us
    rows = sorted(
        rows_of(tasks.execution_us, tasks.period_us, spared_us),
        key=lambda row: (-(repeat_us // row[1] * row[0]), row[1]),
    )
    known_us = 1
    found = []
    for execution, period, spared in rows:
        common = gcd(known_us, period)
        found.append(
            _Congruence(
                weight=repeat_us // period * execution,
                period_us=period,
                spared_us=spared,
                known_us=known_us,
                common_us=common,
                inverse=pow(known_us // common, -1, period // common),
            )
        )
        known_us = known_us // common * period
    return found


def _by_residues_us(congruences: list[_Congruence], repeat_us: int) -> int:
    """Return an overloaded window below the hyperperiod, 0 if there is none."""
    room = sum(each.weight * each.spared_us for each in congruences)
    waiting = [_choices(congruences[0], 0, room)]
    while waiting:
        choice = next(waiting[-1], None)
        if choice is None:
            waiting.pop()
            continue
        window_us, left = choice
        if len(waiting) == len(congruences):
            return window_us % repeat_us
        waiting.append(_choices(congruences[len(waiting)], window_us, left))
    return 0


def _choices(each: _Congruence, window_us: int, room: int) -> Iterator[tuple[int, int]]:
    """Yield the window with each residue of this task that is small enough, and the room left."""
    first_us = each.least_us(window_us)
    for residue_us in range(first_us, each.period_us, each.common_us):
        left = room - each.weight * residue_us
        if left <= 0:
            return
        yield each.joined_us(window_us, residue_us), left
