"""A device, or a gateway for many, as it talks to its own enterprise's node."""

import secrets
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from mutualedge.adapters.nats import NatsClient, PasswordLogin, connect
from mutualedge.app.bus import DEVICE_SERVICE
from mutualedge.errors import PeerError, RefusedByPolicy
from mutualedge.model import NS_PER_S, DeviceId, InvocationId, Nanoseconds
from mutualedge.protocol import (
    Reading,
    ReadingScored,
    Refused,
    encode_json,
    parse_json_reply,
)

__all__ = ["DEVICE_USER", "DeviceClient", "ReadingScored", "connect_device"]

DEVICE_USER = "device"

GRACE_S = 1.0
"""How long after its deadline a reply is still waited for, to learn what became of it."""


class DeviceClient:
    """Sends readings and returns what the node says about them."""

    def __init__(self, client: NatsClient) -> None:
        """Take a connected client; ``connect_device`` makes one."""
        self._client = client

    async def score(
        self,
        device: DeviceId,
        readings: Sequence[float],
        *,
        deadline_s: float,
        invocation: InvocationId | None = None,
        guaranteed: bool = False,
    ) -> ReadingScored:
        """Return a score and a flag for each reading, wherever they were computed.

        Args:
            device: Name of the device; its readings are scored in the order they are sent.
            readings: Consecutive values, at most ``protocol.READINGS_MAX``.
            deadline_s: How long the result is of use.
            invocation: Of a repeat, what it repeats: the same question has one answer.
            guaranteed: Rather be refused than placed where the deadline may be missed.

        Raises:
            RefusedByPolicy: The node says no, with its reason.
            Unreachable: The node did not answer.
        """
        reading = Reading(
            device=device,
            invocation=invocation or new_invocation(),
            readings=tuple(readings),
            remaining_ns=Nanoseconds(round(deadline_s * NS_PER_S)),
            guaranteed=guaranteed,
        )
        raw = await self._client.request(DEVICE_SERVICE, encode_json(reading), deadline_s + GRACE_S)
        reply = parse_json_reply(raw)
        if isinstance(reply, Refused):
            raise RefusedByPolicy(reply.code, reply.sentence)
        if not isinstance(reply, ReadingScored):
            sentence = f"The node answered readings with {type(reply).__name__}."
            raise PeerError("protocol.reply.misplaced", sentence)
        return reply

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self._client.close()


def new_invocation() -> InvocationId:
    """Return an identity that no other reading has."""
    return InvocationId(secrets.token_hex(16))


async def connect_device(url: str, password: str) -> DeviceClient:
    """Return a client of the node whose server is at ``url``.

    Raises:
        UsageError: The server does not know the password.
        Unreachable: Nothing answers there.
    """
    login = PasswordLogin(user=DEVICE_USER, password=password)
    client = await connect(url, login, name=DEVICE_USER, report=lambda _event, _detail: None)
    return DeviceClient(client)
