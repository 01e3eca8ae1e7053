"""Four ways to meet the same load: own machines only, rent only, own and rent, or partners too."""

from enum import StrEnum

import msgspec

from mutualedge.plan.scenario import Scenario


class Strategy(StrEnum):
    """With whom an enterprise runs its work."""

    PRIVATE = "private"
    PUBLIC = "public"
    HYBRID = "hybrid"
    MUTUAL = "mutual"

    @property
    def lends(self) -> bool:
        """Whether partners run each other's tasks."""
        return self is Strategy.MUTUAL


def separate(scenario: Scenario, strategy: Strategy) -> tuple[Scenario, ...]:
    """Return the scenarios that are planned for themselves: one if enterprises lend, else each."""
    left = restrict(scenario, strategy)
    if strategy.lends:
        return (left,)
    return tuple(msgspec.structs.replace(left, enterprises=(each,)) for each in left.enterprises)


def restrict(scenario: Scenario, strategy: Strategy) -> Scenario:
    """Return what a strategy leaves of a scenario: no clouds if Private, no nodes if Public."""
    match strategy:
        case Strategy.PRIVATE:
            return msgspec.structs.replace(scenario, clouds=())
        case Strategy.PUBLIC:
            enterprises = tuple(
                msgspec.structs.replace(each, nodes=()) for each in scenario.enterprises
            )
            return msgspec.structs.replace(scenario, enterprises=enterprises)
        case Strategy.HYBRID | Strategy.MUTUAL:
            return scenario
