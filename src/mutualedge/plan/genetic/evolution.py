"""A genetic algorithm for the same choice: to compare with, and to see how it converges.

Steady state: tournaments choose parents, a child is crossed at two points and mutated once or
twice, and takes the place of somebody worse. What overdraws a row pays for it at twice the row's
price, so that the search may pass through what does not hold; the best is repaired in the end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from mutualedge.plan.choice import (
    Choice,
    ChoiceProblem,
    NoChoice,
    Watch,
    choose,
    improve,
    prices_of,
)
from mutualedge.plan.genetic.loop import RANDOMS, breed

Floats = NDArray[np.float64]
Genes = NDArray[np.uint8]

OPTIONS_MAX = 255
"""A gene is a byte."""

ROWS_MAX = 1_000
"""Of the report of convergence, as published."""

ADDED_EVERY = 256
"""Rows of the report after which sums are computed anew, so that rounding does not gather."""

PENALTY_FACTOR = 2.0
LEAST = 1e-300

PENALTY_LEAST = 1e-8
"""Prices below it are none: then a row is worth as much as everything together."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How to search.

    Attributes:
        population: How many live at once.
        children: How many are bred in all.
        seed: Decides everything.
    """

    population: int = 2_048
    children: int = 2_000_000
    seed: int = 0


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Of a number over the population."""

    least: float
    mean: float
    most: float


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """The population after so many generations of as many children as it has members.

    Attributes:
        fitness: One over cost and penalty, 1/USD.
        penalty: For what is overdrawn, USD.
        score: Cost and penalty, USD.
        utilisation: Of the fullest processor, memory or window.
    """

    number: int
    fitness: Spread
    penalty: Spread
    score: Spread
    utilisation: Spread


@dataclass(slots=True)
class Evolver:
    """Chooses by evolution; keeps how the last choice converged."""

    settings: Settings
    convergence: list[Generation] = field(default_factory=list)

    def choose(self, problem: ChoiceProblem, *, gap: float, watch: Watch) -> Choice | NoChoice:
        """Return the best that evolution and repair found, with the bound of prices.

        Args:
            problem: What to choose from; at most 255 options a group.
            gap: Not looked at: evolution goes on until its children are bred.
            watch: Ends it early.
        """
        if not problem.groups:
            return choose(problem, gap=gap, watch=watch)
        priced = prices_of(problem, gap=gap, watch=watch)
        if isinstance(priced, NoChoice):
            return priced
        bound_usd, prices = priced
        population = _Population.drawn(problem, prices, self.settings)
        self.convergence = list(_generations(population, self.settings, watch))
        options = population.best().astype(np.intp)
        repaired = improve(problem, options, prices)
        if repaired is None:
            return NoChoice(proven=False)
        cost_usd = problem.cost_of(repaired)
        return Choice(
            options=repaired,
            cost_usd=cost_usd,
            bound_usd=min(bound_usd, cost_usd),
            method="genetic",
            prices=prices,
        )


@dataclass(slots=True)
class _Population:
    problem: ChoiceProblem
    table: Floats
    penalties: Floats
    wishes: Genes
    genes: Genes
    chance: np.random.Generator
    sums: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    scores: Floats = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def drawn(cls, problem: ChoiceProblem, prices: Floats, settings: Settings) -> "_Population":
        """Return members that chose at random among what is allowed."""
        if problem.cost.shape[1] > OPTIONS_MAX:
            message = f"{problem.cost.shape[1]} options; evolution knows {OPTIONS_MAX}"
            raise ValueError(message)
        chance = np.random.Generator(np.random.PCG64(settings.seed))
        wishes = chance.random((settings.population, *problem.cost.shape))
        genes = np.where(np.isfinite(problem.cost), wishes, -1.0).argmax(axis=2).astype(np.uint8)
        table = np.concatenate([problem.cost[:, :, None], np.moveaxis(problem.use, 0, 2)], axis=2)
        reduced = problem.cost + np.tensordot(prices, problem.use, 1)
        new = cls(
            problem=problem,
            table=table.copy(),
            penalties=_penalties(problem, prices),
            wishes=reduced.argmin(axis=1).astype(np.uint8),
            genes=genes,
            chance=chance,
        )
        new.add_up()
        return new

    def add_up(self) -> None:
        """Compute sums and scores anew, so that rounding does not gather."""
        everyone = np.arange(self.problem.groups)
        self.sums = self.table[everyone, self.genes].sum(axis=1)
        over = np.maximum(self.sums[:, 1:] - self.problem.capacity, 0.0)
        self.scores = self.sums[:, 0] + over @ self.penalties

    def breed(self, children: int) -> None:
        """Let so many children take the places of worse ones, where they are better."""
        raw = self.chance.bit_generator.random_raw(children * RANDOMS // 2)
        randoms = np.asarray(raw, np.uint64).view(np.uint32).reshape(children, RANDOMS)
        members = self.genes, self.sums, self.scores
        breed(members, self.table, (self.problem.capacity, self.penalties, self.wishes), randoms)

    def best(self) -> Genes:
        """Return the genes of the member with the least score."""
        genes: Genes = self.genes[int(np.argmin(self.scores))]
        return genes

    def report(self, number: int) -> Generation:
        """Return how the members' numbers spread just now."""
        fullest = np.zeros(len(self.scores))
        for row, size in enumerate(np.maximum(np.abs(self.problem.capacity), LEAST), start=1):
            np.maximum(fullest, self.sums[:, row] / size, out=fullest)
        numbers = np.stack(
            [
                1 / np.maximum(self.scores, LEAST),
                self.scores - self.sums[:, 0],
                self.scores,
                fullest,
            ]
        )
        least, mean, most = numbers.min(axis=1), numbers.mean(axis=1), numbers.max(axis=1)
        fitness, penalty, score, utilisation = (
            Spread(least=float(least[index]), mean=float(mean[index]), most=float(most[index]))
            for index in range(len(numbers))
        )
        return Generation(
            number=number,
            fitness=fitness,
            penalty=penalty,
            score=score,
            utilisation=utilisation,
        )


def _generations(population: _Population, settings: Settings, watch: Watch) -> Iterator[Generation]:
    """Breed all children; yield the population's state at the start and now and then."""
    generations = max(settings.children // settings.population, 1)
    every = -(-generations // ROWS_MAX)
    yield population.report(0)
    for row, number in enumerate(range(every, generations + every, every), start=1):
        if watch.left_s() <= 0:
            return
        population.breed(every * settings.population)
        if row % ADDED_EVERY == 0:
            population.add_up()
        yield population.report(min(number, generations))


def _penalties(problem: ChoiceProblem, prices: Floats) -> Floats:
    finite = np.where(np.isfinite(problem.cost), problem.cost, 0.0)
    everything = float(np.abs(finite).max(axis=1).sum()) / np.maximum(
        np.abs(problem.capacity), 1e-9
    )
    penalties: Floats = np.where(prices > PENALTY_LEAST, prices * PENALTY_FACTOR, everything)
    return penalties


def convergence_text(rows: Sequence[Generation]) -> str:
    """Return the convergence as the published ``report.txt``: 13 columns a generation."""
    return "".join(f"{_row_text(row)}\n" for row in rows)


def _row_text(row: Generation) -> str:
    spreads = (row.fitness, row.penalty, row.score, row.utilisation)
    numbers = (f"{value:.6f}" for each in spreads for value in (each.least, each.mean, each.most))
    return " ".join((str(row.number), *numbers))
