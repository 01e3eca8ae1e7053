"""Run pymoo's genetic algorithm on problems of choice: a JSON line in, a JSON line out.

In: ``{"cost": [[…]], "use": [[[…]]], "capacity": […], "children": …, "seed": …}``; an option that
is not allowed costs null. Out: processor seconds, children, and the least cost that holds.
"""

import json
import sys
from time import process_time

import numpy as np
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.problem import Problem
from pymoo.operators.crossover.pntx import TwoPointCrossover
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize

POPULATION = 100


class Choice(Problem):
    """One option of every group; rows as constraints."""

    def __init__(self, asked: dict) -> None:
        cost = np.array(asked["cost"], float)
        self.cost = np.where(np.isfinite(cost), cost, 1e6)
        self.use, self.capacity = np.array(asked["use"]), np.array(asked["capacity"])
        groups, options = self.cost.shape
        super().__init__(
            n_var=groups,
            n_obj=1,
            n_ieq_constr=len(self.capacity),
            xl=0,
            xu=options - 1,
            vtype=int,
        )

    def _evaluate(self, x: np.ndarray, out: dict, *_: object, **__: object) -> None:
        everyone = np.arange(self.cost.shape[0])
        out["F"] = self.cost[everyone, x].sum(axis=1)[:, None]
        used = self.use[:, everyone, x].sum(axis=2).T
        out["G"] = (used - self.capacity) / self.capacity


def main() -> None:
    """Answer every line until the input ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        algorithm = GA(
            pop_size=POPULATION,
            sampling=IntegerRandomSampling(),
            crossover=TwoPointCrossover(),
            mutation=PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
            eliminate_duplicates=False,
        )
        begun_s = process_time()
        found = minimize(
            Choice(asked), algorithm, ("n_eval", asked["children"]), seed=asked["seed"]
        )
        took_s = process_time() - begun_s
        best = float(found.F[0]) if found.F is not None else None
        told = {"seconds": took_s, "children": int(algorithm.evaluator.n_eval), "cost": best}
        told["children"] = asked["children"]
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
