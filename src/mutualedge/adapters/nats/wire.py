"""Requests and replies on NATS: a version header, an explicit outcome, an authentic caller."""

import re

import msgspec
from nats.aio.msg import Msg

from mutualedge.adapters.nats.configuration import PAYLOAD_BYTES_MAX
from mutualedge.adapters.nats.credentials import SERVICE_SUBJECT
from mutualedge.errors import PeerError, RefusedByPeer, Unreachable, UsageError
from mutualedge.model import UNREADABLE

VERSION_HEADER = "Me-Version"
REFUSAL_HEADER = "Me-Refusal"
VERSION = "1"
VERSION_HEADERS = {VERSION_HEADER: VERSION}

OVERLOADED = "nats.handler.overloaded"
TOO_LARGE = "nats.payload.too-large"
UNVERSIONED = "nats.request.unversioned"
CALLER_UNREADABLE = "nats.caller.unreadable"

_REQUEST_INFO_HEADER = "Nats-Request-Info"
_NO_RESPONDERS_STATUS = "503"

_PARTNERS = SERVICE_SUBJECT.removesuffix(">")
"""Only here does our server write the caller itself; elsewhere the header is the sender's word."""

_CODE = re.compile(r"[a-z0-9]+([.-][a-z0-9]+){0,15}")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request as a handler sees it.

    Attributes:
        subject: Where it arrived.
        payload: At most ``PAYLOAD_BYTES_MAX`` bytes.
        caller: The partner's public account key, as the server states it; None for what did not
            come through the hub. Nobody but the operator of a server on the way can forge it.
    """

    subject: str
    payload: bytes
    caller: str | None


class _RequestInfo(msgspec.Struct, frozen=True):
    acc: str


_request_info = msgspec.json.Decoder(_RequestInfo)


def check_payload(payload: bytes, what: str) -> None:
    """Return if this may be sent.

    Raises:
        UsageError: It is larger than one message carries.
    """
    if len(payload) > PAYLOAD_BYTES_MAX:
        sentence = (
            f"{len(payload)} bytes for {what}; one message carries {PAYLOAD_BYTES_MAX}, "
            "send larger things in chunks."
        )
        raise UsageError("nats.payload.too-large", sentence)


def read_request(message: Msg) -> Request | str:
    """Return the request, or the code of why it must be refused; never raises."""
    headers = message.headers or {}
    if headers.get(VERSION_HEADER) != VERSION:
        return UNVERSIONED
    if len(message.data) > PAYLOAD_BYTES_MAX:
        return TOO_LARGE
    stated = headers.get(_REQUEST_INFO_HEADER) if message.subject.startswith(_PARTNERS) else None
    try:
        caller = None if stated is None else _request_info.decode(stated).acc
    except UNREADABLE:
        return CALLER_UNREADABLE
    return Request(subject=message.subject, payload=message.data, caller=caller)


def refusal_headers(code: str) -> dict[str, str]:
    """Return the headers of a reply that says no."""
    return {VERSION_HEADER: VERSION, REFUSAL_HEADER: code}


def parse_reply(message: Msg, subject: str) -> bytes:
    """Return the payload of an answer that is one.

    Raises:
        Unreachable: Nobody listens there, or the other side is at its limit.
        RefusedByPeer: The other side will not, for a reason of its own.
        PeerError: Not a reply of ours: no version, another version, or too large.
    """
    headers = message.headers or {}
    if headers.get("Status") == _NO_RESPONDERS_STATUS and not message.data:
        sentence = f"Nobody answers on '{subject}'; is the partner connected and does it let us?"
        raise Unreachable("nats.request.no-responders", sentence)
    if headers.get(VERSION_HEADER) != VERSION:
        sentence = f"The reply on '{subject}' is not of protocol version {VERSION}; discard it."
        raise PeerError("nats.reply.unversioned", sentence)
    refusal = headers.get(REFUSAL_HEADER)
    if refusal is not None:
        raise _refused(refusal, subject)
    if len(message.data) > PAYLOAD_BYTES_MAX:
        sentence = f"The reply on '{subject}' has {len(message.data)} bytes; discard it."
        raise PeerError("nats.reply.too-large", sentence)
    return message.data


def _refused(code: str, subject: str) -> Unreachable | RefusedByPeer | PeerError:
    if code == OVERLOADED:
        sentence = f"Whoever answers on '{subject}' is at its limit; go elsewhere or wait."
        return Unreachable("nats.request.overloaded", sentence)
    if _CODE.fullmatch(code) is None:
        sentence = f"The refusal on '{subject}' is not a code; discard it."
        return PeerError("nats.reply.malformed", sentence)
    sentence = f"The other side refused on '{subject}' with the code '{code}'."
    return RefusedByPeer("nats.request.refused", sentence, code)
