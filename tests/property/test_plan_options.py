"""What the solvers count with arrays is what the independent check counts task by task."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualedge.plan.checking import check
from mutualedge.plan.options import OptionTable, list_options, pose_problem
from mutualedge.plan.scenario import Enterprise, Node, Scenario, Task
from mutualedge.plan.solving import assemble
from tests.property.planning import scenarios

if TYPE_CHECKING:
    from numpy.typing import NDArray


@st.composite
def chosen(draw: st.DrawFn) -> tuple[Scenario, OptionTable, "NDArray[np.intp]"]:
    scenario = draw(scenarios().filter(lambda each: bool(each.nodes or each.clouds)))
    table = list_options(scenario)
    columns = len(table.columns.columns)
    count = sum(len(each.tasks) for each in scenario.enterprises)
    options = draw(st.lists(st.integers(0, columns - 1), min_size=count, max_size=count))
    return scenario, table, np.array(options)


@given(chosen())
@settings(max_examples=300, deadline=None)
def test_what_the_check_accepts_the_rows_accept(
    case: tuple[Scenario, OptionTable, "NDArray[np.intp]"],
) -> None:
    """Rows leave out the windows; so they may accept more than the check, never less."""
    scenario, table, options = case
    problem = pose_problem(table)
    allowed = bool(np.isfinite(problem.cost[np.arange(len(options)), options]).all())
    verdict = check(scenario, assemble(table, options, bound_usd_month=-np.inf, method="drawn"))
    codes = {reason.code for reason in verdict}
    assert not codes & {"plan.check.tasks", "plan.check.place"}
    if allowed:
        assert not codes & {"plan.check.confidential", "plan.check.deadline"}, verdict
        money = [each for each in verdict if each.code == "plan.check.money"]
        assert all("out of balance" in each.sentence for each in money), money
        if not verdict:
            assert problem.holds(options)
    else:
        assert codes, "an option that is not allowed was checked as right"


def test_money_that_does_not_add_up_is_named() -> None:
    """A plan that claims to be cheaper than it is, or earns credits from nowhere, is refused."""
    scenario = Scenario(
        enterprises=(
            Enterprise(
                name="bakery",
                nodes=(Node(name="oven"),),
                tasks=(Task(name="t", wcet_ms=1.0, period_ms=10.0),),
            ),
        )
    )
    table = list_options(scenario)
    plan = assemble(table, np.array([0]), bound_usd_month=0.0, method="drawn")
    assert check(scenario, plan) == ()
    cheaper = msgspec.structs.replace(plan, objective_usd_month=plan.objective_usd_month - 0.001)
    richer = msgspec.structs.replace(plan, mileage={"bakery": 1.0})
    for wrong in (cheaper, richer):
        assert [each.code for each in check(scenario, wrong)] == ["plan.check.money"]
