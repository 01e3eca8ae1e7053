import pickle

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from mutualedge.adapters.nats.configuration import PAYLOAD_BYTES_MAX
from mutualedge.adapters.nats.wire import (
    Request,
    parse_reply,
    read_request,
    refusal_headers,
)
from mutualedge.errors import MutualEdgeError, RefusedByPeer


def message(data: bytes = b"", subject: str = "me.in.x", **headers: str) -> Msg:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Msg(_client=Client(), subject=subject, data=data, headers=named or None)


def test_a_request_carries_the_account_the_server_states() -> None:
    """The caller is the account of the server's own header, None where there is none."""
    info = '{"acc":"ABC","rtt":1,"other":true}'
    stated = read_request(message(b"x", Me_Version="1", Nats_Request_Info=info))
    assert stated == Request(subject="me.in.x", payload=b"x", caller="ABC")
    own = read_request(message(b"x", Me_Version="1"))
    assert own == Request(subject="me.in.x", payload=b"x", caller=None)


@pytest.mark.parametrize("info", ['{"acc":"ABC"}', "forged"])
def test_who_did_not_come_through_the_hub_cannot_name_itself(info: str) -> None:
    """Where no server overwrites the header, it is not read at all."""
    arrived = read_request(message(subject="me.device.x", Me_Version="1", Nats_Request_Info=info))
    assert arrived == Request(subject="me.device.x", payload=b"", caller=None)


@pytest.mark.parametrize(
    ("arrived", "code"),
    [
        (message(), "nats.request.unversioned"),
        (message(Me_Version="2"), "nats.request.unversioned"),
        (message(b"x" * (PAYLOAD_BYTES_MAX + 1), Me_Version="1"), "nats.payload.too-large"),
        (message(Me_Version="1", Nats_Request_Info="{}"), "nats.caller.unreadable"),
        (message(Me_Version="1", Nats_Request_Info='{"acc":7}'), "nats.caller.unreadable"),
        (message(Me_Version="1", Nats_Request_Info="\ufffd"), "nats.caller.unreadable"),
    ],
)
def test_what_is_not_a_request_is_refused_with_its_reason(arrived: Msg, code: str) -> None:
    """Nothing reaches a handler that is not a request of ours with a known caller."""
    assert read_request(arrived) == code


@pytest.mark.parametrize(
    ("arrived", "code"),
    [
        (message(), "nats.reply.unversioned"),
        (message(b'{"stream":"X","seq":1}'), "nats.reply.unversioned"),
        (message(Status="503"), "nats.request.no-responders"),
        (message(b"x", Status="503"), "nats.reply.unversioned"),
        (message(b"x" * (PAYLOAD_BYTES_MAX + 1), Me_Version="1"), "nats.reply.too-large"),
        (message(Me_Version="1", Me_Refusal="nats.handler.overloaded"), "nats.request.overloaded"),
        (message(Me_Version="1", Me_Refusal="market.lease.expired"), "nats.request.refused"),
        (message(Me_Version="1", Me_Refusal="Bad Code!"), "nats.reply.malformed"),
        (message(Me_Version="1", Me_Refusal="a" + ".b" * 40), "nats.reply.malformed"),
    ],
)
def test_every_way_of_not_answering_has_its_code(arrived: Msg, code: str) -> None:
    """Callers can tell retry, refusal and nonsense apart."""
    with pytest.raises(MutualEdgeError) as caught:
        parse_reply(arrived, "me.at.harbour.x")
    assert caught.value.code == code


def test_an_empty_answer_is_an_answer() -> None:
    """Only headers decide what a reply is."""
    assert parse_reply(message(Me_Version="1"), "me.at.harbour.x") == b""


def test_a_refusal_keeps_its_reason_between_processes() -> None:
    """Refusing, reading and pickling preserve the other side's code."""
    refusal = message()
    refusal.headers = refusal_headers("market.lease.expired")
    with pytest.raises(RefusedByPeer) as caught:
        parse_reply(refusal, "me.at.harbour.x")
    assert pickle.loads(pickle.dumps(caught.value)).reason == "market.lease.expired"  # noqa: S301
