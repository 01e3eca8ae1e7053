"""The genetic algorithm's inner loop: one child after the other, in place.

Compiled by numba where it is installed, and the same answers without it, a thousand times slower.
A child is its better parent but for a stretch from the other one and one or two mutations, every
other of which is to what prices prefer; only what differs is added up. It takes the place of
somebody worse, if it finds one.
"""

import numpy as np
from numpy.typing import NDArray

from mutualedge.plan.compiled import compiled

RANDOMS = 10
"""Random numbers a child uses up: four for parents, two cuts, three for mutations, a victim."""

Floats = NDArray[np.float64]
Genes = NDArray[np.uint8]
Randoms = NDArray[np.uint32]


@compiled
def breed(  # noqa: C901, PLR0912 - one loop: calls with slices of arrays take ten times as long
    members: tuple[Genes, Floats, Floats],
    table: Floats,
    rules: tuple[Floats, Floats, Genes],
    randoms: Randoms,
) -> int:
    """Breed a child for each row of random numbers; return how many were kept.

    Args:
        members: The option of every group, shape (population, groups); cost and use of each row
            of capacity, shape (population, 1 + rows); scores, shape (population,).
        table: Cost and uses of every option, shape (groups, options, 1 + rows).
        rules: Capacity of each row and what a unit above it counts, shape (rows,); the option that
            prices prefer, shape (groups,).
        randoms: Shape (children, RANDOMS).
    """
    genes, sums, scores = members
    limits, penalties, wishes = rules
    population, groups = genes.shape
    options, width = table.shape[1], table.shape[2]
    child = np.empty(groups, np.uint8)
    total = np.empty(width, np.float64)
    kept = 0
    for index in range(randoms.shape[0]):
        first, other = randoms[index, 0] % population, randoms[index, 1] % population
        if scores[other] < scores[first]:
            first = other
        second = randoms[index, 2] % population
        for column in range(width):
            total[column] = sums[first, column]
        for group in range(groups):
            child[group] = genes[first, group]
        start = randoms[index, 3] % groups
        for step in range(randoms[index, 4] % groups):
            group = start + step
            if group >= groups:
                group -= groups
            before, after = child[group], genes[second, group]
            if before != after:
                child[group] = after
                for column in range(width):
                    total[column] += table[group, after, column] - table[group, before, column]
        for turn in range(1 + randoms[index, 5] % 2):
            draw = np.int64(randoms[index, 6 + turn])
            group = draw % groups
            draw //= groups
            before = child[group]
            after = np.uint8((draw >> 1) % options) if draw & 1 else wishes[group]
            if before != after and table[group, after, 0] < np.inf:
                child[group] = after
                for column in range(width):
                    total[column] += table[group, after, column] - table[group, before, column]
        score = total[0]
        for row in range(width - 1):
            over = total[row + 1] - limits[row]
            if over > 0:
                score += over * penalties[row]
        victim, other = randoms[index, 8] % population, randoms[index, 9] % population
        if scores[other] > scores[victim]:
            victim = other
        if score < scores[victim]:
            kept += 1
            scores[victim] = score
            for column in range(width):
                sums[victim, column] = total[column]
            for group in range(groups):
                genes[victim, group] = child[group]
    return kept
