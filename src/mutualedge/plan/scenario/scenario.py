"""Who has which nodes and tasks, and what things cost: all that a plan is made from."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal

import msgspec

from mutualedge.model import Amount, Microcredits
from mutualedge.plan.scenario.nodes import Cloud, Link, Node
from mutualedge.plan.scenario.ranges import Label, NotNegative
from mutualedge.plan.scenario.tasks import Task

SCHEMA: Final = "mutualedge.scenario/1"

MONTH_S = 30 * 24 * 3600
"""Money is per month of 30 days, as in the published model."""


class Tariff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What energy and a partner's time cost.

    Attributes:
        microcredits_per_ms: Mileage for a millisecond of a partner's processor.
        imbalance_max_microcredits: By how much what an enterprise lends and borrows in a month
            may differ; no limit if absent.
    """

    usd_per_kwh: NotNegative = 0.08
    microcredits_per_ms: Amount = Microcredits(50)
    imbalance_max_microcredits: Amount | None = None

    @property
    def usd_month_per_w(self) -> float:
        """What a watt that is drawn all month costs."""
        return self.usd_per_kwh * MONTH_S / 3.6e6


class Enterprise(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One enterprise; the first of its nodes is its gateway to the others."""

    name: Label
    link: Link = msgspec.field(default_factory=Link)
    nodes: tuple[Node, ...] = ()
    tasks: tuple[Task, ...] = ()


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question to the planner.

    Attributes:
        schema: Says which fields there are.
        enterprises: Those that plan together.
        clouds: Where anybody may rent.
    """

    enterprises: Annotated[tuple[Enterprise, ...], msgspec.Meta(min_length=1)]
    schema: Literal["mutualedge.scenario/1"] = SCHEMA
    name: Label = "scenario"
    tariff: Tariff = msgspec.field(default_factory=Tariff)
    clouds: tuple[Cloud, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that mean two things."""
        for message in _ambiguities(self):
            raise ValueError(message)

    @property
    def nodes(self) -> tuple[tuple[Enterprise, Node], ...]:
        """Every node with its owner."""
        return tuple((owner, node) for owner in self.enterprises for node in owner.nodes)


def _ambiguities(scenario: Scenario) -> Iterator[str]:
    """Yield what is named twice: enterprises, places, tasks of one enterprise, its memories."""
    places = (*(node.name for _, node in scenario.nodes), *(each.name for each in scenario.clouds))
    yield from _twice("enterprise", (each.name for each in scenario.enterprises))
    yield from _twice("node or cloud", places)
    for enterprise in scenario.enterprises:
        yield from _twice(f"task of {enterprise.name}", (task.name for task in enterprise.tasks))
    for _, node in scenario.nodes:
        yield from _twice(f"memory of {node.name}", (memory.name for memory in node.memories))


def _twice(kind: str, names: Iterable[str]) -> Iterator[str]:
    for name, times in Counter(names).items():
        if times > 1:
            yield f"{kind} '{name}' is named {times} times"
