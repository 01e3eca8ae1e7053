"""For programs beside a device: send readings to your enterprise's node, get scores back."""

from mutualedge.app.devices import DeviceClient, connect_device
from mutualedge.protocol import ReadingScored

__all__ = ["DeviceClient", "ReadingScored", "connect_device"]
