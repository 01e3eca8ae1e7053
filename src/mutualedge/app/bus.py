"""Requests over NATS: which subject reaches whom with what, and messages to bytes and back."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mutualedge.adapters.nats import NatsClient, PasswordLogin, Report, connect, partner_subject
from mutualedge.adapters.nats import Request as NatsRequest
from mutualedge.app.delays import DelayRing
from mutualedge.app.driver import Driver
from mutualedge.app.files import NodeFile
from mutualedge.errors import PeerError
from mutualedge.model import NS_PER_S, EnterpriseId
from mutualedge.protocol import (
    Reading,
    Refused,
    Reply,
    Request,
    encode_json,
    encode_message,
    parse_reading,
    parse_reply,
    parse_request,
)

PARTNER_VERB = "ask"
PARTNER_SERVICE = "me.in.ask"
DEVICE_SERVICE = "me.device.reading"

NODE_USER = "node"
INTAKE_USER = "intake"
"""The node twice on its own server: once towards partners, once towards devices."""

IN_FLIGHT_MAX = 512
"""Requests of others handled at once; one more is refused so that its sender knows."""

ANSWER_TIMEOUT_S = 30.0
"""Longest a request of others may take; every step inside has a shorter limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConnections:
    """A node's connections to its own server; each sees one account, so nothing crosses.

    Attributes:
        partners: In the account that is linked to the hub.
        devices: In the account that is linked to nothing.
    """

    partners: NatsClient
    devices: NatsClient


@asynccontextmanager
async def connect_node(told: NodeFile, url: str, report: Report) -> AsyncIterator[NodeConnections]:
    """Connect a node to its own server until the block ends.

    Yields:
        Both connections.

    Raises:
        UsageError: The server does not know the passwords.
        Unreachable: Nothing answers there.
    """
    node = PasswordLogin(user=NODE_USER, password=told.node_password)
    intake = PasswordLogin(user=INTAKE_USER, password=told.intake_password)
    async with (
        await connect(url, node, name=NODE_USER, report=report) as partners,
        await connect(url, intake, name=INTAKE_USER, report=report) as devices,
    ):
        yield NodeConnections(partners=partners, devices=devices)


class NatsBus:
    """Reaches partners and the hub through this enterprise's own server."""

    def __init__(self, client: NatsClient) -> None:
        """Take a connected client."""
        self._client = client

    async def request(self, peer: EnterpriseId, request: Request, timeout_ns: int) -> Reply:
        """Return the peer's reply.

        Raises:
            MutualEdgeError: None came in time, or it cannot be understood.
        """
        subject = partner_subject(peer, PARTNER_VERB)
        raw = await self._client.request(subject, encode_message(request), timeout_ns / NS_PER_S)
        return parse_reply(raw)


async def serve_partners(
    client: NatsClient, driver: Driver, names: Mapping[str, EnterpriseId]
) -> None:
    """Answer partners' requests from now on; ``names`` are their accounts on the hub."""

    async def answer(request: NatsRequest) -> bytes:
        peer = names.get(request.caller or "", EnterpriseId("unknown"))
        try:
            asked = _parse_partner_request(request.payload)
        except PeerError as error:
            return encode_message(Refused(code=error.code, sentence=error.sentence))
        return encode_message(await driver.ask(peer, asked))

    await client.serve(
        PARTNER_SERVICE, answer, max_in_flight=IN_FLIGHT_MAX, timeout_s=ANSWER_TIMEOUT_S
    )


def _parse_partner_request(raw: bytes) -> Request:
    """Return what a partner asks.

    Raises:
        PeerError: Malformed, or something that only a device of ours may send.
    """
    asked = parse_request(raw)
    if isinstance(asked, Reading):
        sentence = "Readings come from this enterprise's own devices; a partner sends sealed calls."
        raise PeerError("protocol.request.misplaced", sentence)
    return asked


async def serve_devices(client: NatsClient, driver: Driver, answers: DelayRing) -> None:
    """Answer this enterprise's own devices, who speak JSON; ``answers`` learns how fast."""

    async def answer(request: NatsRequest) -> bytes:
        try:
            reading = parse_reading(request.payload)
        except PeerError as error:
            return encode_json(Refused(code=error.code, sentence=error.sentence))
        began_ns = time.perf_counter_ns()
        reply = encode_json(await driver.ask("device", reading))
        answers.add_since(began_ns)
        return reply

    await client.serve(
        DEVICE_SERVICE, answer, max_in_flight=IN_FLIGHT_MAX, timeout_s=ANSWER_TIMEOUT_S
    )
