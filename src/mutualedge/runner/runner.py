"""The trusted computing base: answers sessions, runs functions under limits, meters them.

One order in, one answer out; nothing else reaches it. It holds the session and meter keys in
memory only, and new ones each start.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from mutualedge.attest import report_data
from mutualedge.errors import MutualEdgeError, PeerError, UsageError
from mutualedge.functions import (
    Execution,
    LoadedFunction,
    Runtime,
    calibrate,
    fuel_for_budget,
    parse_bundle,
    verify_bundle,
)
from mutualedge.identity import Consortium
from mutualedge.market import Agreement, verify_agreement
from mutualedge.meter import CHAIN_START, ChainPosition, UsageRecord
from mutualedge.model import AssuranceLevel, Digest, LeaseId, Microcredits
from mutualedge.protocol import (
    BatchSealed,
    BundleLoaded,
    Execute,
    Executed,
    ExecutedLocal,
    ExecuteLocal,
    FinishResponder,
    FrameRefused,
    LoadBundle,
    OpenResponder,
    ResponderFinished,
    ResponderOpened,
    RunnerAnswer,
    RunnerHello,
    RunnerOrder,
    SealBatch,
    SealedReply,
    SealedRequest,
    SessionGrant,
    SessionOpening,
    encode_sealed,
    parse_sealed,
)
from mutualedge.session import (
    Opener,
    RecordKind,
    Responder,
    Sealer,
    content_digest,
    handshake_prologue,
)
from mutualedge.signing import (
    Entropy,
    Envelope,
    SigningKey,
    canonical_bytes,
    digest_of,
    verify_record,
)

SESSIONS_PER_LEASE = 8
"""Sessions of one lease at once; its oldest goes first, so that nobody crowds out another."""

SESSIONS_MAX = 32 * SESSIONS_PER_LEASE
"""Sessions at once, for as many leases as a node lends."""


EXECUTION_SHARE_PERCENT = 50
"""Of a job's budget, for the function itself; the rest is for dispatch, crypto and commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attester:
    """Where evidence comes from: the hardware's quoting service, or its simulator.

    Attributes:
        backend: Evidence format, as in ``MeterAttestation.backend``.
        collect: Returns evidence over 64 bytes.
    """

    backend: str
    collect: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A loaded function and what this machine's speed allows it."""

    function: LoadedFunction
    fuel_per_ms: int

    def run(self, request: bytes, budget_ns: int) -> Execution:
        """Execute within the function's share of a job's budget; beyond it the engine traps."""
        share_ns = budget_ns * EXECUTION_SHARE_PERCENT // 100
        return self.function.run(request, fuel_for_budget(share_ns, self.fuel_per_ms))


@dataclass(slots=True, kw_only=True)
class _Session:
    lease: LeaseId
    terms: Agreement
    responder: Responder
    attestation: Digest
    sealer: Sealer | None = None
    opener: Opener | None = None
    secret: bytes = b""


class Runner:
    """State machine of the runner process."""

    def __init__(
        self,
        *,
        consortium: Consortium,
        runtime: Runtime,
        attester: Attester,
        assurance: AssuranceLevel,
        entropy: Entropy,
        clock_ns: Callable[[], int],
    ) -> None:
        """Draw the session's static key and the meter key; both die with the process.

        Args:
            consortium: Whose agreements and requesters it believes, for its whole life; each
                evidence names it.
            runtime: Executes functions.
            attester: Gives evidence over this runner.
            assurance: What that evidence is worth; stands in every record.
            entropy: Seeded anew at each start.
            clock_ns: Processor time, to calibrate fuel when a function is loaded; nothing else
                here knows time.
        """
        self._consortium = consortium
        self._clock_ns = clock_ns
        self._runtime = runtime
        self._attester = attester
        self._assurance = assurance
        self._entropy = entropy
        self._static_key = entropy.draw()
        self._meter_key = SigningKey(entropy.draw())
        self._functions: dict[Digest, _Ready] = {}
        self._sessions: dict[int, _Session] = {}
        self._chains: dict[LeaseId, ChainPosition] = {}

    def handle(self, order: RunnerOrder) -> RunnerAnswer:
        """Return the answer to one order; a refusal says why and changes nothing."""
        try:
            return self._answer(order)
        except MutualEdgeError as error:
            return FrameRefused(
                order=type(order).__name__,
                subject=_subject(order),
                code=error.code,
                sentence=error.sentence,
            )

    def _answer(self, order: RunnerOrder) -> RunnerAnswer:
        match order:
            case Execute():
                return self._execute(order)
            case ExecuteLocal():
                return self._execute_local(order)
            case OpenResponder():
                return self._open(order)
            case FinishResponder():
                return self._finish(order)
            case SealBatch():
                return self._seal_batch(order)
            case LoadBundle():
                return self._load(order)
            case _:
                assert_never(order)

    def _load(self, order: LoadBundle) -> BundleLoaded:
        """Measure what will be executed; the digest goes into evidence and every record."""
        bundle = verify_bundle(parse_bundle(order.bundle))
        function = self._runtime.load(bundle)
        sample = bundle.calibration_request or b""
        fuel_per_ms = calibrate(function, sample, self._clock_ns)
        self._functions[bundle.digest] = _Ready(function=function, fuel_per_ms=fuel_per_ms)
        return BundleLoaded(function=bundle.digest, fuel_per_ms=fuel_per_ms)

    def _function(self, digest: Digest) -> _Ready:
        function = self._functions.get(digest)
        if function is None:
            sentence = f"Function {digest[:12]} is not loaded in this runner; load its bundle."
            raise UsageError("runner.function.unknown", sentence)
        return function

    def _open(self, order: OpenResponder) -> ResponderOpened:
        """Answer message 1 with evidence over this very handshake, function and meter key."""
        lease, terms = verify_agreement(order.agreement, self._consortium)
        self._function(terms.function)
        responder = Responder(
            prologue=handshake_prologue(
                assurance=terms.assurance,
                lease=lease,
                function=terms.function,
                trust_digest=self._consortium.digest,
                nonce=order.nonce,
            ),
            static_private=self._static_key,
            ephemeral_private=self._entropy.draw(),
        )
        responder.read_message_1(order.message)
        handshake = responder.evidence_hash
        meter_key = self._meter_key.public_bytes
        bound = report_data(
            backend=self._attester.backend,
            trust_digest=self._consortium.digest,
            handshake=handshake,
            bundle_digest=terms.function,
            meter_key=meter_key,
        )
        evidence = self._attester.collect(bound)
        hello = RunnerHello(meter_key=meter_key, evidence=evidence)
        message = responder.write_message_2(encode_sealed(hello))
        self._remember(
            order.session,
            _Session(
                lease=lease, terms=terms, responder=responder, attestation=digest_of(evidence)
            ),
        )
        return ResponderOpened(
            session=order.session,
            message=message,
            handshake=handshake,
            meter_key=meter_key,
            evidence=evidence,
        )

    def _remember(self, session_id: int, session: _Session) -> None:
        same = [each for each, held in self._sessions.items() if held.lease == session.lease]
        for each in same[: max(0, len(same) + 1 - SESSIONS_PER_LEASE)]:
            del self._sessions[each]
        while len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[session_id] = session

    def _session(self, session_id: int) -> _Session:
        session = self._sessions.get(session_id)
        if session is None:
            sentence = "The runner does not hold this session (it restarted); open a new one."
            raise PeerError("session.unknown", sentence)
        return session

    def _finish(self, order: FinishResponder) -> ResponderFinished:
        session = self._session(order.session)
        payload = session.responder.read_message_3(order.message)
        opening = parse_sealed(payload, SessionOpening)
        self._verify_grant(session, opening.grant)
        keys = session.responder.split()
        session.sealer, session.opener, session.secret = keys.sealer, keys.opener, keys.secret
        return ResponderFinished(session=order.session, opening=opening.voucher)

    def _verify_grant(self, session: _Session, envelope: Envelope) -> None:
        """Refuse a handshake that the lease's requester does not call its own."""
        requester = self._consortium.member(session.terms.requester)
        grant = verify_record(envelope, SessionGrant, requester.settlement_key)
        if (grant.lease, grant.handshake) != (session.lease, session.responder.evidence_hash):
            sentence = "The requester granted another session than this; it must sign this one."
            raise PeerError("session.grant.other", sentence)

    def _execute(self, order: Execute) -> Executed:
        session = self._session(order.session)
        if session.opener is None or session.sealer is None:
            raise PeerError("session.unfinished", "The handshake is not finished; send message 3.")
        opened = session.opener.open(order.record)
        request = parse_sealed(opened.content, SealedRequest)
        if request.invocation != order.invocation:
            sentence = "The call names another invocation outside than inside its seal."
            raise PeerError("session.request.swapped", sentence)
        execution = self._function(session.terms.function).run(
            request.request, session.terms.budget_ns
        )
        usage, raw = self._meter(session, order, request, execution)
        reply = SealedReply(usage=raw, response=execution.output)
        sealed = session.sealer.seal(RecordKind.REPLY, encode_sealed(reply))
        self._chains[session.lease] = self._chain(session.lease).after(raw, usage)
        return Executed(job=order.job, reply=sealed, usage=raw)

    def _chain(self, lease: LeaseId) -> ChainPosition:
        return self._chains.get(lease, CHAIN_START)

    def _meter(
        self, session: _Session, order: Execute, request: SealedRequest, execution: Execution
    ) -> tuple[UsageRecord, bytes]:
        terms, chain = session.terms, self._chain(session.lease)
        seq = chain.seq + 1
        usage = UsageRecord(
            lease=session.lease,
            meter=self._meter_key.key_id,
            seq=seq,
            prev=chain.head,
            requester=terms.requester,
            provider=terms.provider,
            node=terms.node,
            function=terms.function,
            runtime=self._runtime.name,
            invocation=request.invocation,
            request=content_digest(session.secret, seq, "request", request.request),
            response=content_digest(session.secret, seq, "response", execution.output),
            status=execution.status,
            rs_ms=terms.call_rs_ms * order.billable,
            fuel=execution.fuel,
            cpu_ns=execution.cpu_ns,
            memory_bytes=execution.memory_bytes,
            in_bytes=len(request.request),
            out_bytes=len(execution.output),
            amount_microcredits=Microcredits(terms.call_microcredits * order.billable),
            assurance=self._assurance,
            attestation=session.attestation,
        )
        return usage, canonical_bytes(usage)

    def _execute_local(self, order: ExecuteLocal) -> ExecutedLocal:
        execution = self._function(order.function).run(order.request, order.budget_ns)
        return ExecutedLocal(job=order.job, status=execution.status, response=execution.output)

    def _seal_batch(self, order: SealBatch) -> BatchSealed:
        chain = self._chain(LeaseId(order.lease))
        batch = chain.batch(LeaseId(order.lease), self._meter_key) if chain.seq else None
        return BatchSealed(lease=order.lease, batch=batch)


def _subject(order: RunnerOrder) -> str:
    match order:
        case Execute(job=number) | ExecuteLocal(job=number):
            return f"job {number}"
        case OpenResponder(session=number) | FinishResponder(session=number):
            return f"session {number}"
        case SealBatch(lease=lease):
            return f"lease {lease}"
        case LoadBundle():
            return "bundle"
        case _:
            assert_never(order)
