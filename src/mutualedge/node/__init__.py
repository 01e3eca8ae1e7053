"""One enterprise's node: admits, places, lends, borrows, pays and logs, as a pure state machine."""

from mutualedge.node.node import Node
from mutualedge.node.station import HUB, Borrowing, Lending, NodeKeys, NodeSettings
from mutualedge.node.views import NodeSnapshot

__all__ = ["HUB", "Borrowing", "Lending", "Node", "NodeKeys", "NodeSettings", "NodeSnapshot"]
