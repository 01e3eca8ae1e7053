"""Foreign bytes nested deeper than any reader recurses: malformed like others, never fatal."""

from collections.abc import Callable
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from mutualedge.adapters.nats.wire import CALLER_UNREADABLE, read_request
from mutualedge.app.files import PROCESS_FILE, NodeFile, read_process_file
from mutualedge.attest.collateral import Collateral, parse_bulletins, parse_collateral
from mutualedge.audit import verify_bundle
from mutualedge.audit.endorsements import check_collateral
from mutualedge.audit.envelopes import parse_document
from mutualedge.errors import AttestationFailed, CorruptState, MutualEdgeError, PeerError
from mutualedge.functions import parse_bundle
from mutualedge.identity import verify_trust
from mutualedge.ledger import Command, verify_command
from mutualedge.ledger.blocks import Head
from mutualedge.ledger.context import decode_row
from mutualedge.market import verify_agreement, verify_commitment
from mutualedge.protocol import (
    RunnerHello,
    parse_answer,
    parse_json_reply,
    parse_order,
    parse_reading,
    parse_reply,
    parse_request,
    parse_sealed,
)
from mutualedge.signing import Envelope, parse_canonical
from tests.unit.ledger_world import consortium

DEPTH = 100_000
JSON = b'{"unknown":' + b"[" * DEPTH + b"]" * DEPTH + b"}"
UNTAGGED = b'{"action":' + JSON + b"}"
MSGPACK = b"\x81\xa7unknown" + b"\x91" * DEPTH + b"\xc0"
CARRIED = Envelope(payload=UNTAGGED, payload_type="x", signatures=())


def collateral_of(bulletin: bytes) -> Collateral:
    return Collateral(
        **{**dict.fromkeys(Collateral.__struct_fields__, ""), "tcb_info": bulletin.decode()}
    )


@pytest.mark.parametrize(
    ("read", "kind", "code"),
    [
        (lambda: parse_canonical(JSON, Command), PeerError, "signing.json.malformed"),
        (lambda: parse_canonical(UNTAGGED, Command), PeerError, "signing.json.malformed"),
        (lambda: verify_command(CARRIED, consortium()), PeerError, "signing.json.malformed"),
        (lambda: verify_commitment(CARRIED, consortium()), PeerError, "signing.json.malformed"),
        (lambda: verify_agreement(CARRIED, consortium()), PeerError, "signing.json.malformed"),
        (lambda: verify_trust(CARRIED), PeerError, "signing.json.malformed"),
        (lambda: parse_request(MSGPACK), PeerError, "protocol.message.malformed"),
        (lambda: parse_reply(MSGPACK), PeerError, "protocol.message.malformed"),
        (lambda: parse_reading(JSON), PeerError, "protocol.message.malformed"),
        (lambda: parse_json_reply(JSON), PeerError, "protocol.message.malformed"),
        (lambda: parse_order(MSGPACK), PeerError, "protocol.frame.malformed"),
        (lambda: parse_answer(MSGPACK), PeerError, "protocol.frame.malformed"),
        (lambda: parse_sealed(MSGPACK, RunnerHello), PeerError, "protocol.sealed.malformed"),
        (lambda: parse_bundle(MSGPACK), PeerError, "functions.bundle.malformed"),
        (lambda: parse_collateral(JSON), AttestationFailed, "attest.collateral.malformed"),
        (
            lambda: parse_bulletins(collateral_of(JSON)),
            AttestationFailed,
            "attest.collateral.malformed",
        ),
        (lambda: decode_row("chain/head", JSON, Head), CorruptState, "ledger.row.corrupt"),
    ],
)
def test_nesting_is_a_malformed_document(
    read: Callable[[], object], kind: type[MutualEdgeError], code: str
) -> None:
    """An unknown field may hold anything; reading past it must not end the process."""
    with pytest.raises(kind) as refused:
        read()
    assert refused.value.code == code


def test_a_callers_header_of_brackets_is_unreadable() -> None:
    """The server writes that header; what relays it may not."""
    headers = {"Me-Version": "1", "Nats-Request-Info": JSON.decode()}
    arrived = Msg(_client=Client(), subject="me.in.x", headers=headers)
    assert read_request(arrived) == CALLER_UNREADABLE


def test_the_auditor_reports_nesting() -> None:
    """A line, a document and an archive of brackets are findings with an exit code."""
    report = verify_bundle([JSON + b"\n"])
    assert report.exit_code in {1, 2}
    assert "audit.line.malformed" in {finding.rule for finding in report.findings}
    assert isinstance(parse_document(JSON, Command), str)
    assert check_collateral(JSON, b"") is not None


def test_a_process_file_of_brackets_is_refused(tmp_path: Path) -> None:
    """Even our own folder is read with care."""
    path = tmp_path / PROCESS_FILE
    path.write_bytes(JSON)
    path.chmod(0o600)
    with pytest.raises(MutualEdgeError) as refused:
        read_process_file(tmp_path, NodeFile)
    assert refused.value.code == "app.file.malformed"
