"""One enterprise's node: admits, places, lends, borrows, pays and logs, as a pure state machine."""

from mutualedge.node.node import Node
from mutualedge.node.station import Borrowing, Lending, NodeKeys, NodeSettings
from mutualedge.node.views import NodeSnapshot

__all__ = ["Borrowing", "Lending", "Node", "NodeKeys", "NodeSettings", "NodeSnapshot"]
