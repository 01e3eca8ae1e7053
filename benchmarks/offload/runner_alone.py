"""A confined runner with one session and no node around it: what sealing and executing cost."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from mutualedge.adapters.isolation import spawn_runner
from mutualedge.app.files import NodeFile
from mutualedge.app.runner_link import runner_greeting
from mutualedge.identity import verify_trust
from mutualedge.market import Agreement
from mutualedge.meter import CHAIN_START
from mutualedge.model import InvocationId, LeaseId
from mutualedge.protocol import (
    LENGTH_BYTES,
    BundleLoaded,
    Execute,
    Executed,
    FinishResponder,
    LoadBundle,
    OpenResponder,
    ResponderFinished,
    ResponderOpened,
    RunnerAnswer,
    RunnerHello,
    RunnerOrder,
    SealedReply,
    SealedRequest,
    SessionGrant,
    SessionOpening,
    encode_frame,
    encode_sealed,
    parse_answer,
    parse_frame_length,
    parse_sealed,
)
from mutualedge.session import Initiator, RecordKind, SessionKeys, handshake_prologue
from mutualedge.signing import Envelope, SigningKey, parse_canonical, sign_record

T = TypeVar("T")

SESSION = 1


class RunnerAlone:
    """The node's and the requester's end at once, over the runner's own socket."""

    def __init__(
        self, node: socket.socket, told: NodeFile, requester: NodeFile, agreement: Envelope
    ) -> None:
        """Hand the runner its platform and function, and open a session for the agreement."""
        self._node = node
        self._stream = node.makefile("rb")
        self._count = 0
        node.sendall(runner_greeting(told.platform, told.trust))
        self._order(LoadBundle(bundle=told.bundle), BundleLoaded)
        self._keys = self._open_session(requester, agreement)

    def _order(self, order: RunnerOrder, kind: type[T]) -> T:
        self._node.sendall(encode_frame(order))
        length_bytes = parse_frame_length(self._stream.read(LENGTH_BYTES))
        answer: RunnerAnswer = parse_answer(self._stream.read(length_bytes))
        assert isinstance(answer, kind), answer
        return answer

    def _open_session(self, requester: NodeFile, agreement: Envelope) -> SessionKeys:
        terms = parse_canonical(agreement.payload, Agreement)
        lease, nonce = LeaseId(agreement.payload_digest), os.urandom(32)
        trust_digest = requester.trust.payload_digest
        initiator = Initiator(
            prologue=handshake_prologue(
                assurance=verify_trust(requester.trust).trust.assurance,
                lease=lease,
                function=terms.function,
                trust_digest=trust_digest,
                nonce=nonce,
            ),
            static_private=os.urandom(32),
            ephemeral_private=os.urandom(32),
        )
        order = OpenResponder(
            session=SESSION,
            agreement=agreement,
            nonce=nonce,
            message=initiator.write_message_1(b""),
        )
        opened = self._order(order, ResponderOpened)
        hello = parse_sealed(initiator.read_message_2(opened.message), RunnerHello)
        settlement = SigningKey(requester.settlement_seed)
        grant = SessionGrant(lease=lease, handshake=initiator.evidence_hash)
        opening = SessionOpening(
            grant=sign_record(grant, settlement),
            voucher=CHAIN_START.voucher(lease, hello.meter_key, settlement),
        )
        message = initiator.write_message_3(encode_sealed(opening))
        self._order(FinishResponder(session=SESSION, message=message), ResponderFinished)
        return initiator.split()

    def round_trip(self, request: bytes) -> bytes:
        """Seal a request, have it executed and metered, and open the reply."""
        self._count += 1
        invocation = InvocationId(f"{self._count:032x}")
        content = encode_sealed(SealedRequest(invocation=invocation, request=request))
        order = Execute(
            job=self._count,
            session=SESSION,
            invocation=invocation,
            record=self._keys.sealer.seal(RecordKind.REQUEST, content),
            billable=True,
        )
        executed = self._order(order, Executed)
        reply = parse_sealed(self._keys.opener.open(executed.reply).content, SealedReply)
        return reply.response


@contextmanager
def runner_alone(told: NodeFile, requester: NodeFile, agreement: Envelope) -> Iterator[RunnerAlone]:
    """Start a runner as a node does, behind the same walls, and end it with the block."""
    ours, theirs = socket.socketpair()
    argv = [sys.executable, "-m", "mutualedge.app.runner_process"]
    with ours:
        with theirs:
            process = spawn_runner(argv, theirs.fileno())
        with process:
            yield RunnerAlone(ours, told, requester, agreement)
