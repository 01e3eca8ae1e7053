"""For programs beside a device: send readings to your enterprise's node, get scores back."""

from mutualedge.app.devices import DeviceClient, ReadingScored, connect_device

__all__ = ["DeviceClient", "ReadingScored", "connect_device"]
