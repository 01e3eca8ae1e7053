"""A session with a partner's runner, as the requester holds it."""

from mutualedge.errors import PeerError
from mutualedge.meter import UsageRecord
from mutualedge.model import InvocationId, KeyId
from mutualedge.protocol import SealedReply, SealedRequest, encode_sealed, parse_sealed
from mutualedge.session import RecordKind, SessionKeys, content_digest
from mutualedge.signing import parse_canonical

AWAITED_MAX = 1024
"""Calls of one session that may be without reply; the replay window is as wide."""


class Link:
    """Seals requests for one runner, opens its replies, and remembers what has no reply yet."""

    def __init__(self, *, session: int, meter: KeyId, keys: SessionKeys) -> None:
        """Take what the handshake produced."""
        self.session = session
        self.meter = meter
        self._sealer = keys.sealer
        self._opener = keys.opener
        self._secret = keys.secret
        self._awaited: dict[InvocationId, bytes] = {}

    def seal(self, invocation: InvocationId, request: bytes) -> bytes:
        """Return the record that carries this call; send the same bytes when repeating it."""
        while len(self._awaited) >= AWAITED_MAX:
            del self._awaited[next(iter(self._awaited))]
        self._awaited[invocation] = request
        content = encode_sealed(SealedRequest(invocation=invocation, request=request))
        return self._sealer.seal(RecordKind.REQUEST, content)

    def open(self, record: bytes) -> tuple[UsageRecord, bytes, bytes]:
        """Return the usage record (parsed and raw) and the response inside a sealed reply.

        Raises:
            PeerError: Forged or replayed, of another meter, about another request or response,
                or about an invocation that has its reply.
        """
        reply = parse_sealed(self._opener.open(record).content, SealedReply)
        usage = parse_canonical(reply.usage, UsageRecord)
        request = self._awaited.get(usage.invocation)
        if request is None:
            sentence = f"Invocation {usage.invocation} was not asked, or has its reply."
            raise PeerError("session.reply.unasked", sentence)
        told = (usage.meter, usage.request, usage.response)
        if told != (
            self.meter,
            content_digest(self._secret, usage.seq, "request", request),
            content_digest(self._secret, usage.seq, "response", reply.response),
        ):
            sentence = "The usage record is not about the request we sent and the result we got."
            raise PeerError("meter.record.content", sentence)
        return usage, reply.usage, reply.response

    def awaits(self, invocation: InvocationId) -> bool:
        """Tell whether this invocation was sent here and has no reply."""
        return invocation in self._awaited

    def awaits_other(self, invocation: InvocationId, request: bytes) -> bool:
        """Tell whether this invocation awaits a reply to another request than this.

        Its reply could not be opened, and nothing after it would be signed for.
        """
        return self._awaited.get(invocation, request) != request

    def forget(self, invocation: InvocationId) -> None:
        """Stop waiting for an invocation."""
        self._awaited.pop(invocation, None)
