"""Questions to the consortium's office, over TLS."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mutualedge.adapters.tls import ask
from mutualedge.app.files import NodeFile
from mutualedge.app.options import NodeOptions
from mutualedge.errors import PeerError, RefusedByPeer, Unreachable
from mutualedge.protocol import Refused, Reply, Request, encode_message, parse_reply

R = TypeVar("R")

RETRY_S = 0.3
PATIENCE_S = 30.0
"""The hub is back a second after it adopted a trust file; a loaded machine takes longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where the office answers, and the certificate authority behind it."""

    host: str
    port: int
    root_pem: str

    async def ask_patiently(
        self,
        request: Request,
        kind: type[R],
        *,
        patience_s: float = PATIENCE_S,
        say: Callable[[str], None] | None = None,
    ) -> R:
        """Return the answer to a question, also while the hub starts again.

        Args:
            request: The question; asking it again must do no harm.
            kind: What answers it.
            patience_s: How long the hub may take to come back.
            say: Told once if nobody answers at first.

        Raises:
            RefusedByPeer: The office says no, with its reason.
            PeerError: Another server, or another answer than this question has.
            Unreachable: The hub did not come back.
        """
        until_s = time.monotonic() + patience_s
        while True:
            try:
                return await self.ask(request, kind)
            except Unreachable as error:
                if time.monotonic() > until_s:
                    raise
                if say is not None:
                    say(f"{error.sentence} It is asked again for {patience_s:.0f} s.")
                    say = None
            await asyncio.sleep(RETRY_S)

    async def ask(self, request: Request, kind: type[R]) -> R:
        """Return the answer to a question.

        Raises:
            RefusedByPeer: The office says no, with its reason.
            PeerError: Another server, or another answer than this question has.
            Unreachable: Nobody answers there.
        """
        raw = await ask(self.host, self.port, self.root_pem, encode_message(request))
        reply: Reply = parse_reply(raw)
        if isinstance(reply, Refused):
            raise RefusedByPeer("membership.office.refused", reply.sentence, reply.code)
        if not isinstance(reply, kind):
            sentence = f"The office answered {type(request).__name__} with {type(reply).__name__}."
            raise PeerError("membership.office.misplaced", sentence)
        return reply


def desk_of(told: NodeFile, options: NodeOptions) -> Desk:
    """Return the office as a member knows it."""
    network = options.network
    return Desk(host=network.hub_host, port=network.office_port, root_pem=told.tls.root_pem)
