"""One enterprise's node: admits, places, lends, borrows, pays and logs, as a pure state machine."""

from mutualedge.node.node import Node, NodeSnapshot
from mutualedge.node.station import HUB, Borrowing, Lending, NodeKeys, NodeSettings

__all__ = ["HUB", "Borrowing", "Lending", "Node", "NodeKeys", "NodeSettings", "NodeSnapshot"]
