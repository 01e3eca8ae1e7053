"""Status files of processes that never ran, for what only reads them."""

import msgspec

from mutualedge.app.operation.queries import Child, ProcessState, ProcessView
from mutualedge.app.status import ProcessStatus
from mutualedge.model import NS_PER_S, EnterpriseId, format_instant
from mutualedge.node import NodeSnapshot
from tests.unit.node_world import open_world

NOW_NS = 1_800_000_000 * NS_PER_S
TICKS = 4_711


def status(name: str = "candy", node: NodeSnapshot | None = None) -> ProcessStatus:
    return ProcessStatus(
        kind="node",
        name=EnterpriseId(name),
        pid=100,
        start_ticks=TICKS,
        version="1.0",
        started=format_instant(NOW_NS - 3_700 * NS_PER_S),
        written=format_instant(NOW_NS),
        is_stopped=False,
        client_url="nats://127.0.0.1:4222",
        answers=None,
        loop_lag_us=10,
        runner={},
        node=node,
        hub=None,
    )


def stopped() -> ProcessStatus:
    return msgspec.structs.replace(status(), is_stopped=True)


def process(
    state: ProcessState, said: ProcessStatus | None, child: Child | None = None
) -> ProcessView:
    return ProcessView(name="candy", kind="node", state=state, age_ms=0, said=said, child=child)


def node_snapshot(**changes: object) -> NodeSnapshot:
    """Return what a borrowing node shows, with some of it changed."""
    return msgspec.structs.replace(open_world().candy.node.snapshot(), **changes)
