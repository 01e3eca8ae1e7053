"""The way from a scenario to its plan.

Rows that say how full each processor and memory may be leave out one thing: windows of time in
which deadlines before the end of the period ask for more than the window lasts. Whoever chooses
such a window is given it as one more row, and chooses again, until every deadline holds. Rows are
only added that every plan has to keep, so the bound stays a bound.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mutualedge.plan.choice import (
    Choice,
    ChoiceProblem,
    Chooser,
    NoChoice,
    Part,
    Watch,
    choose,
    gap_between,
)
from mutualedge.plan.options import OptionTable, Window, list_options, pose_problem
from mutualedge.plan.plans import NoPlan, Plan, Reason
from mutualedge.plan.scenario import Scenario
from mutualedge.plan.solving.answer import fixed_costs
from mutualedge.plan.solving.assembling import assemble, join
from mutualedge.plan.solving.deadlines import overloaded_windows, reserves_needed
from mutualedge.plan.solving.reasons import explain
from mutualedge.plan.strategies import Strategy, separate

GAP = 1e-6
"""Of the whole cost: a cent of ten thousand dollars."""

FIRST_GAPS = (1.0, 1e-3)
"""While windows are still missing the best choice is not worth its time."""

ROUNDS_MAX = 200
"""Choices made until every deadline holds; beyond it a stricter test decides."""

TIME_SHARE = 0.6
"""Of the time that may be spent on exact windows; the rest is for the stricter test."""


@dataclass(slots=True)
class _Known:
    """The choice problem, as far as its windows and reserves are known."""

    table: OptionTable
    windows: list[Window] = field(default_factory=list)
    reserves: dict[int, float] = field(default_factory=dict)
    posed: ChoiceProblem | None = None

    def problem(self) -> ChoiceProblem:
        if self.posed is None:
            self.posed = pose_problem(self.table, self.windows, self.reserves)
        return self.posed

    def learn(self, options: NDArray[np.intp]) -> bool:
        """Add what this choice breaks; tell whether it broke anything."""
        broken = self._learn(options)
        if broken:
            self.posed = None
        return broken

    def _learn(self, options: NDArray[np.intp]) -> bool:
        reserves = reserves_needed(self.table, options)
        grown = {
            row: max(2 * self.reserves.get(row, 0.0), share) for row, share in reserves.items()
        }
        self.reserves |= grown
        if grown:
            return True
        found = list(overloaded_windows(self.table, options))
        self.windows += found
        return bool(found)

    def reasons(self) -> Iterator[Reason]:
        for row, share in self.reserves.items():
            place = self.table.columns.rows[row].place
            sentence = (
                f"{place} keeps {share:.2g} of its processor free: fuller, its deadlines could not "
                "be proven in reasonable time."
            )
            yield Reason(code="plan.solve.reserve", sentence=sentence, places=(place,))


def solve(
    scenario: Scenario,
    strategy: Strategy = Strategy.MUTUAL,
    *,
    watch: Watch,
    gap: float = GAP,
    chooser: Chooser = choose,
) -> Plan | NoPlan:
    """Return the cheapest plan in which every deadline and capacity holds, or why there is none.

    Args:
        scenario: Tasks, nodes, clouds and prices.
        strategy: With whom enterprises share.
        watch: Ends the search: what was found by then is returned with its bound.
        gap: How far the cost may lie above its bound, as a share of it.
        chooser: What chooses among options.

    Raises:
        UsageError: A task or node cannot be counted in microseconds.
    """
    answers = []
    parts = separate(scenario, strategy)
    for number, part in enumerate(parts):
        # What one enterprise does not need of the time, those after it may have.
        kept_s = max(watch.left_s(), 0.0) * (1 - 1 / (len(parts) - number))
        answers.append(_solve(part, strategy, Part(watch, kept_s), gap, chooser))
    return join(answers)


def _solve(
    scenario: Scenario, strategy: Strategy, watch: Watch, gap: float, chooser: Chooser
) -> Plan | NoPlan:
    return solve_table(list_options(scenario), strategy, watch, gap, chooser)


def solve_table(
    table: OptionTable, strategy: Strategy, watch: Watch, gap: float, chooser: Chooser
) -> Plan | NoPlan:
    """Return the plan of options that are listed already; arguments as of `solve`.

    Where the chooser answers another problem than it is asked, such as one with other costs, the
    plan's bound is that problem's and its caller has to put another in its place.
    """
    began_s = watch.left_s()
    found, known = _choose(table, gap, watch, chooser)
    elapsed_s = began_s - watch.left_s()
    if isinstance(found, NoChoice):
        reasons = explain(table, known.windows, found, watch)
        # What does not fit beside a sliver that is kept free might fit without it.
        proven = found.proven and not known.reserves
        return NoPlan(proven=proven, elapsed_s=elapsed_s, reasons=reasons)
    return assemble(
        table,
        found.options,
        bound_usd_month=found.bound_usd,
        method=found.method,
        strategy=strategy,
        elapsed_s=elapsed_s,
        reasons=tuple(known.reasons()),
    )


def _choose(
    table: OptionTable, gap: float, watch: Watch, chooser: Chooser
) -> tuple[Choice | NoChoice, _Known]:
    """Return the cheapest choice that keeps every deadline, and what had to be known for it."""
    known = _Known(table)
    gap = _gap_of_choices(known, gap)
    part = Part(watch, (1 - TIME_SHARE) * max(watch.left_s(), 0.0))
    best: Choice | None = None
    bound, aims = -np.inf, [*(each for each in FIRST_GAPS if each > gap), gap]
    for _ in range(ROUNDS_MAX):
        found = chooser(known.problem(), gap=aims[0], watch=part)
        if isinstance(found, NoChoice):
            if found.proven:
                return found, known
            break
        bound = max(bound, found.bound_usd)
        if not known.learn(found.options):
            best = _cheaper(best, found)
            if len(aims) == 1 or gap_between(best.cost_usd, bound) <= gap:
                break
            del aims[0]
        if part.left_s() <= 0:
            break
    if best is None:
        return _choose_densely(table, bound, gap, watch, chooser), known
    return replace(best, bound_usd=min(bound, best.cost_usd)), known


def _cheaper(best: Choice | None, found: Choice) -> Choice:
    return found if best is None or found.cost_usd < best.cost_usd else best


def _gap_of_choices(known: _Known, gap: float) -> float:
    """Return a gap of the whole cost as one of the part that choices change."""
    cheapest = np.min(known.problem().cost, axis=1, initial=np.inf)
    changed = float(cheapest[np.isfinite(cheapest)].sum())
    fixed = fixed_costs(known.table.scenario).usd_month
    return gap * (1 + fixed / changed) if changed > 0 else gap


def _choose_densely(
    table: OptionTable, bound: float, gap: float, watch: Watch, chooser: Chooser
) -> Choice | NoChoice:
    """Return a choice under a test that is stricter than needed, and needs no windows."""
    found = chooser(pose_problem(table, is_dense=True), gap=gap, watch=watch)
    if isinstance(found, NoChoice):
        return NoChoice(proven=False)
    cheapest = float(pose_problem(table).cost.min(axis=1).sum())
    return replace(found, bound_usd=min(max(bound, cheapest), found.cost_usd))
