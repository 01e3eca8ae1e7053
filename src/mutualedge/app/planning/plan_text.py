"""A plan as a person reads it: the money, the nodes, who moves where, and how sure it is."""

from collections import Counter
from collections.abc import Iterator

import msgspec

from mutualedge.plan.plans import Costs, NoPlan, Plan

CHOICES_SHOWN_MAX = 40
"""More tasks than this are summed up by place and level; ``--json`` lists every one."""

MICROCREDITS_PER_CREDIT = 1_000_000


def plan_text(plan: Plan) -> str:
    """Return money, nodes and places of a plan, a screen of it."""
    return "\n".join((*_headline(plan), "", *_costs(plan.cost), "", *_places(plan), *_notes(plan)))


def no_plan_text(answer: NoPlan) -> str:
    """Return why there is no plan, as text."""
    opening = "No plan keeps every deadline and capacity:" if answer.proven else "No plan found:"
    return "\n".join((opening, *(f"- {reason.sentence}" for reason in answer.reasons)))


def _headline(plan: Plan) -> Iterator[str]:
    yield (
        f"{len(plan.choices)} tasks for {plan.objective_usd_month:.2f} USD a month; no plan costs "
        f"less than {plan.bound_usd_month:.2f} (gap {plan.gap:.1e}; {plan.method}, "
        f"{plan.elapsed_s:.2f} s)"
    )


def _costs(cost: Costs) -> Iterator[str]:
    yield "USD a month"
    for name, usd_month in msgspec.structs.asdict(cost).items():
        yield f"  {name.removesuffix('_usd_month'):<10}{usd_month:>12.4f}"


def _places(plan: Plan) -> Iterator[str]:
    if len(plan.choices) <= CHOICES_SHOWN_MAX:
        yield f"{'task':<24}{'place':<16}{'level':>6}  memory"
        for each in plan.choices:
            name = f"{each.enterprise}/{each.task}"
            where = f"{each.place:<16}{_number(each.level):>6}  {each.memory or ''}"
            yield f"{name:<24}{where}".rstrip()
    else:
        yield f"{'place':<16}{'level':>6}  {'memory':<10}{'tasks':>8}"
        places = Counter((each.place, each.level, each.memory) for each in plan.choices)
        for (place, level, memory), tasks in sorted(places.items(), key=str):
            yield f"{place:<16}{_number(level):>6}  {memory or '':<10}{tasks:>8}"


def _number(level: int | None) -> str:
    return "" if level is None else str(level)


def _notes(plan: Plan) -> Iterator[str]:
    yield ""
    for node, share in plan.utilisation.items():
        yield f"{node} is busy {share:.2%} of the time"
    for name, microcredits in plan.mileage.items():
        if microcredits:
            verb = "earns" if microcredits > 0 else "pays"
            credits_month = abs(microcredits) / MICROCREDITS_PER_CREDIT
            yield f"{name} {verb} {credits_month:,.2f} credits a month"
    for reason in plan.reasons:
        yield f"- {reason.sentence}"
