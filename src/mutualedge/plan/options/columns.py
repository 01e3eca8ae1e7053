"""The options that every task has alike: a node with one level and one memory, or a cloud."""

from collections.abc import Iterator
from dataclasses import dataclass

from mutualedge.plan.scenario import Cloud, Enterprise, Level, Memory, Node, Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeColumn:
    """To run on a node.

    Attributes:
        owner: Index of the enterprise whose node it is.
        row: Index of the row that is the node's processor.
        memory_row: Index of the row that is this memory of it.
    """

    owner: int
    node: Node
    level: Level
    memory: Memory
    row: int
    memory_row: int

    @property
    def speed(self) -> float:
        """Relative to the one that execution times speak of."""
        return self.node.speed * self.level.scale * self.memory.scale


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudColumn:
    """To run on a rented server."""

    cloud: Cloud


Column = NodeColumn | CloudColumn


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A capacity that options share: a node's processor, or one memory of a node.

    Attributes:
        place: Name of the node.
        memory: Name of the memory; None for the processor.
        capacity: Megabytes, or 1 for the whole processor.
    """

    place: str
    memory: str | None
    capacity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """All options and the capacities they share.

    Attributes:
        gateways: Row of each enterprise's first node, which sends and receives; None without one.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    gateways: tuple[int | None, ...]


def list_columns(scenario: Scenario) -> Columns:
    """Return the options of a scenario: nodes in order, each with its levels and memories."""
    columns: list[Column] = []
    rows: list[Row] = []
    gateways: list[int | None] = []
    for owner, enterprise in enumerate(scenario.enterprises):
        gateways.append(len(rows) if enterprise.nodes else None)
        for node in enterprise.nodes:
            columns.extend(_node_columns(owner, node, len(rows)))
            rows.extend(_node_rows(node))
    columns.extend(CloudColumn(cloud=cloud) for cloud in scenario.clouds)
    return Columns(columns=tuple(columns), rows=tuple(rows), gateways=tuple(gateways))


def _node_columns(owner: int, node: Node, row: int) -> Iterator[NodeColumn]:
    for level in node.levels:
        for index, memory in enumerate(node.memories):
            yield NodeColumn(
                owner=owner,
                node=node,
                level=level,
                memory=memory,
                row=row,
                memory_row=row + 1 + index,
            )


def _node_rows(node: Node) -> Iterator[Row]:
    yield Row(place=node.name, memory=None, capacity=1.0)
    for memory in node.memories:
        yield Row(place=node.name, memory=memory.name, capacity=memory.capacity_mb)


def gateway_node(enterprise: Enterprise) -> Node | None:
    """Return the node through which an enterprise's work leaves, if it has any node."""
    return enterprise.nodes[0] if enterprise.nodes else None
