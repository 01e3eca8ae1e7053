"""A choice of options as a plan, with its bound; and plans of several as one."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from mutualedge.plan.options import OptionTable
from mutualedge.plan.plans import Costs, NoPlan, Plan, Reason
from mutualedge.plan.solving.answer import (
    add_costs,
    add_mileage,
    fixed_costs,
    list_choices,
    utilisations,
)
from mutualedge.plan.strategies import Strategy


def assemble(
    table: OptionTable,
    options: NDArray[np.intp],
    *,
    bound_usd_month: float,
    method: str,
    strategy: Strategy = Strategy.MUTUAL,
    elapsed_s: float = 0.0,
    reasons: tuple[Reason, ...] = (),
) -> Plan:
    """Return a choice of options as a plan.

    Args:
        table: What was chosen from.
        options: The column of every task, in the order of the scenario.
        bound_usd_month: Of the part of the cost that tasks add.
        method: What found the choice.
        strategy: With whom enterprises share.
        elapsed_s: How long that took.
        reasons: What the reader should know besides.
    """
    cost = add_costs(table, options)
    objective = cost.usd_month
    bound = min(fixed_costs(table.scenario).usd_month + bound_usd_month, objective)
    return Plan(
        strategy=strategy,
        objective_usd_month=objective,
        bound_usd_month=bound,
        gap=_gap(objective, bound),
        method=method,
        elapsed_s=elapsed_s,
        cost=cost,
        mileage=add_mileage(table, options),
        utilisation=utilisations(table, options),
        choices=list_choices(table, options),
        reasons=reasons,
    )


def join(answers: Sequence[Plan | NoPlan]) -> Plan | NoPlan:
    """Return the plans of enterprises that have nothing in common as one; none if one has none."""
    plans = [each for each in answers if isinstance(each, Plan)]
    failures = [each for each in answers if isinstance(each, NoPlan)]
    elapsed_s = sum(each.elapsed_s for each in answers)
    if failures:
        return NoPlan(
            proven=any(each.proven for each in failures),
            elapsed_s=elapsed_s,
            reasons=tuple(chain.from_iterable(each.reasons for each in failures)),
        )
    if len(plans) == 1:
        return plans[0]
    objective = sum(each.objective_usd_month for each in plans)
    bound = sum(each.bound_usd_month for each in plans)
    return Plan(
        strategy=plans[0].strategy,
        objective_usd_month=objective,
        bound_usd_month=bound,
        gap=_gap(objective, bound),
        method="+".join(sorted({each.method for each in plans})),
        elapsed_s=elapsed_s,
        cost=Costs.add(each.cost for each in plans),
        mileage={name: earned for each in plans for name, earned in each.mileage.items()},
        utilisation={name: share for each in plans for name, share in each.utilisation.items()},
        choices=tuple(chain.from_iterable(each.choices for each in plans)),
        reasons=tuple(chain.from_iterable(each.reasons for each in plans)),
    )


def _gap(objective: float, bound: float) -> float:
    return (objective - bound) / objective if objective > bound else 0.0
