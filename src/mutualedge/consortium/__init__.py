"""The consortium's services: the hub that writes the ledger, and witnessing of logs."""

from mutualedge.consortium.hub import Hub
from mutualedge.consortium.views import HubSnapshot
from mutualedge.consortium.witness import FORK_BUCKET, WITNESS_BUCKET, WitnessDesk

__all__ = ["FORK_BUCKET", "WITNESS_BUCKET", "Hub", "HubSnapshot", "WitnessDesk"]
