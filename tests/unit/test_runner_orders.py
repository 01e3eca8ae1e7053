"""The runner by itself: what it executes, refuses, charges and signs, order by order."""

from dataclasses import dataclass
from typing import TypeVar

import msgspec
import pytest

from mutualedge.functions import anomaly
from mutualedge.market import Agreement
from mutualedge.meter import (
    CHAIN_START,
    RecordBatch,
    UsageRecord,
    position_of,
    verify_batch,
    walk_chain,
)
from mutualedge.model import (
    NS_PER_MS,
    AssuranceLevel,
    Digest,
    InvocationId,
    LeaseId,
    Microcredits,
    Milliseconds,
    format_instant,
)
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
from mutualedge.runner import Runner
from mutualedge.session import (
    Initiator,
    RecordKind,
    SessionKeys,
    content_digest,
    handshake_prologue,
)
from mutualedge.signing import (
    Envelope,
    SigningKey,
    digest_of,
    key_id_of,
    parse_canonical,
    sign_record,
)
from tests.simulation.founding import keys_of
from tests.simulation.schedule import START_NS
from tests.unit.node_world import BUNDLE, CANDY, FORGE, founded, invocation_of, new_runner

T = TypeVar("T")
NONCE = bytes(range(32))
REQUEST = anomaly.encode_request(anomaly.INITIAL_STATE, (20.0, 21.0))
TRUST = founded().trust.payload_digest


def agreed(*, budget_ms: int = 5, function: Digest = BUNDLE.digest, nonce: int = 0) -> Envelope:
    terms = Agreement(
        requester=CANDY,
        provider=FORGE,
        node=founded().consortium.member(FORGE).node,
        function=function,
        budget_ns=budget_ms * NS_PER_MS,
        period_ns=20 * NS_PER_MS,
        deadline_ns=20 * NS_PER_MS,
        opens_by=format_instant(START_NS + 60_000 * NS_PER_MS),
        starts=format_instant(START_NS),
        ends=format_instant(START_NS + 60_000 * NS_PER_MS),
        price_microcredits=Microcredits(100),
        window_calls=4,
        window_ms=Milliseconds(10_000),
        dispute_window_ms=Milliseconds(10_000),
        network_ms=Milliseconds(5),
        assurance=AssuranceLevel.SIMULATED,
        nonce=InvocationId(f"{nonce:032x}"),
    )
    return sign_record(terms, keys_of(CANDY).settlement, keys_of(FORGE).settlement)


@dataclass
class Caller:
    """A requester with a finished handshake."""

    runner: Runner
    session: int
    lease: LeaseId
    keys: SessionKeys
    hello: RunnerHello

    def seal(self, invocation: InvocationId, request: bytes = REQUEST) -> bytes:
        content = SealedRequest(invocation=invocation, request=request)
        return self.keys.sealer.seal(RecordKind.REQUEST, encode_sealed(content))

    def order(self, number: int, *, billable: bool = True) -> Execute:
        return Execute(
            job=number,
            session=self.session,
            invocation=invocation_of(number),
            record=self.seal(invocation_of(number)),
            billable=billable,
        )

    def call(self, number: int, *, billable: bool = True) -> tuple[UsageRecord, SealedReply]:
        answer = expect(self.runner.handle(self.order(number, billable=billable)), Executed)
        reply = parse_sealed(self.keys.opener.open(answer.reply).content, SealedReply)
        assert reply.usage == answer.usage
        return parse_canonical(reply.usage, UsageRecord), reply


def expect(answer: object, kind: type[T]) -> T:
    assert isinstance(answer, kind), answer
    return answer


def refused(runner: Runner, order: RunnerOrder) -> str:
    return expect(runner.handle(order), FrameRefused).code


def loaded_runner(life: int = 1) -> Runner:
    runner = new_runner(FORGE, life)
    assert expect(runner.handle(LoadBundle(bundle=BUNDLE.raw)), BundleLoaded).fuel_per_ms > 0
    return runner


def new_initiator(
    agreement: Envelope, secret: bytes = bytes(32), trust: Digest = TRUST
) -> Initiator:
    terms = parse_canonical(agreement.payload, Agreement)
    prologue = handshake_prologue(
        assurance=terms.assurance,
        lease=LeaseId(agreement.payload_digest),
        function=terms.function,
        trust_digest=trust,
        nonce=NONCE,
    )
    return Initiator(prologue=prologue, static_private=secret, ephemeral_private=b"e" * 32)


def opening_order(agreement: Envelope, initiator: Initiator, session: int = 1) -> OpenResponder:
    return OpenResponder(
        session=session,
        agreement=agreement,
        nonce=NONCE,
        message=initiator.write_message_1(b""),
    )


def opening_of(
    lease: LeaseId, initiator: Initiator, hello: RunnerHello, settlement: SigningKey | None = None
) -> SessionOpening:
    settlement = settlement or keys_of(CANDY).settlement
    grant = SessionGrant(lease=lease, handshake=initiator.evidence_hash)
    return SessionOpening(
        grant=sign_record(grant, settlement),
        voucher=CHAIN_START.voucher(lease, hello.meter_key, settlement),
    )


def connect(runner: Runner, agreement: Envelope, session: int = 1) -> Caller:
    initiator = new_initiator(agreement)
    opened = expect(runner.handle(opening_order(agreement, initiator, session)), ResponderOpened)
    hello = parse_sealed(initiator.read_message_2(opened.message), RunnerHello)
    lease = LeaseId(agreement.payload_digest)
    opening = opening_of(lease, initiator, hello)
    message = initiator.write_message_3(encode_sealed(opening))
    finished = runner.handle(FinishResponder(session=session, message=message))
    assert expect(finished, ResponderFinished).opening == opening.voucher
    return Caller(runner, session, lease, initiator.split(), hello)


def test_a_call_is_executed_and_metered() -> None:
    """The reply holds the function's own answer, and a record that names all of it."""
    caller = connect(loaded_runner(), agreed())
    usage, reply = caller.call(1)
    assert reply.response == anomaly.respond(REQUEST)
    assert (usage.seq, usage.invocation, usage.status) == (1, invocation_of(1), "ok")
    assert (usage.rs_ms, usage.amount_microcredits) == (5, 500)
    assert (usage.requester, usage.provider, usage.function) == (CANDY, FORGE, BUNDLE.digest)
    assert usage.meter == key_id_of(caller.hello.meter_key)
    assert (usage.in_bytes, usage.out_bytes) == (len(REQUEST), len(reply.response))


def test_a_record_names_its_evidence_and_what_that_is_worth() -> None:
    """Whoever audits a record finds the evidence that bound its key, and the level."""
    caller = connect(loaded_runner(), agreed())
    usage, _ = caller.call(1)
    assert usage.attestation == digest_of(caller.hello.evidence)
    assert usage.assurance is AssuranceLevel.SIMULATED


def test_a_record_tells_content_to_its_two_ends_only() -> None:
    """Request and response stand in it as digests salted with the session's secret."""
    caller = connect(loaded_runner(), agreed())
    usage, reply = caller.call(1)
    secret = caller.keys.secret
    assert usage.request == content_digest(secret, 1, "request", REQUEST)
    assert usage.response == content_digest(secret, 1, "response", reply.response)
    others = {content_digest(secret, 2, "request", REQUEST), digest_of(REQUEST)}
    assert usage.request not in others


def test_an_unknown_session_is_refused() -> None:
    """After a restart the runner knows nobody; the requester opens a new session."""
    caller = connect(loaded_runner(), agreed())
    fresh = loaded_runner(2)
    assert refused(fresh, caller.order(1)) == "session.unknown"
    assert refused(fresh, FinishResponder(session=1, message=b"")) == "session.unknown"


def test_an_unfinished_session_executes_nothing() -> None:
    """Before message 3 nobody has accepted the meter key."""
    runner, agreement = loaded_runner(), agreed()
    expect(runner.handle(opening_order(agreement, new_initiator(agreement))), ResponderOpened)
    order = Execute(job=1, session=1, invocation=invocation_of(1), record=bytes(64), billable=True)
    assert refused(runner, order) == "session.unfinished"


def test_a_swapped_invocation_is_refused() -> None:
    """The host cannot have a call charged under another name than the one inside its seal."""
    caller = connect(loaded_runner(), agreed())
    order = msgspec.structs.replace(caller.order(1), invocation=invocation_of(2))
    assert refused(caller.runner, order) == "session.request.swapped"
    usage, _ = caller.call(3)
    assert usage.seq == 1


def test_the_replay_window_stops_a_second_execution() -> None:
    """The host cannot have the same sealed call executed, and charged, again."""
    caller = connect(loaded_runner(), agreed())
    order = caller.order(1)
    expect(caller.runner.handle(order), Executed)
    assert refused(caller.runner, order) == "session.record.replayed"
    batch = expect(caller.runner.handle(SealBatch(lease=caller.lease)), BatchSealed).batch
    assert batch is not None
    assert parse_canonical(batch.payload, RecordBatch).through_seq == 1


def test_an_altered_record_is_refused() -> None:
    """One flipped bit of ciphertext and nothing runs."""
    caller = connect(loaded_runner(), agreed())
    order = caller.order(1)
    forged = order.record[:-1] + bytes([order.record[-1] ^ 1])
    code = refused(caller.runner, msgspec.structs.replace(order, record=forged))
    assert code == "session.record.forged"


def test_a_record_of_another_session_is_refused() -> None:
    """A call sealed for one lease's session does not run under another's."""
    runner = loaded_runner()
    mine, others = connect(runner, agreed(), 1), connect(runner, agreed(nonce=1), 2)
    order = msgspec.structs.replace(mine.order(1), session=others.session)
    assert refused(runner, order) == "session.record.foreign"


def test_sealed_nonsense_is_refused_not_fatal() -> None:
    """A requester that seals bytes which are no request is told so; the runner lives on."""
    caller = connect(loaded_runner(), agreed())
    for junk in (b"", b"\xc1", b"\x82\xaainvocation\xa1x", b"\x81\xa7\xffequest\x01"):
        record = caller.keys.sealer.seal(RecordKind.REQUEST, junk)
        order = msgspec.structs.replace(caller.order(1), record=record)
        assert refused(caller.runner, order) == "protocol.sealed.malformed"
    assert caller.call(2)[0].seq == 1


def test_an_unbillable_repeat_costs_nothing() -> None:
    """A call that was charged before is executed and recorded with amount 0."""
    caller = connect(loaded_runner(), agreed())
    caller.call(1)
    usage, reply = caller.call(2, billable=False)
    assert (usage.rs_ms, usage.amount_microcredits) == (0, 0)
    assert reply.response == anomaly.respond(REQUEST)
    batch = expect(caller.runner.handle(SealBatch(lease=caller.lease)), BatchSealed).batch
    assert batch is not None
    assert parse_canonical(batch.payload, RecordBatch).total_microcredits == 500


def test_a_batch_equals_the_chain_of_its_records() -> None:
    """The runner signs exactly the records it handed out, for one lease at a time."""
    runner = loaded_runner()
    mine, others = connect(runner, agreed(), 1), connect(runner, agreed(nonce=1), 2)
    replies = [mine.call(number) for number in (1, 2, 3)]
    others.call(4)
    position = walk_chain(CHAIN_START, ((reply.usage, usage) for usage, reply in replies))
    batch = expect(runner.handle(SealBatch(lease=mine.lease)), BatchSealed).batch
    assert batch is not None
    meter_key = mine.hello.meter_key
    assert position_of(verify_batch(batch, lease=mine.lease, meter_key=meter_key)) == position
    assert position.total_microcredits == 1500


def test_two_sessions_of_a_lease_share_one_chain() -> None:
    """A requester that reconnects goes on where it was; there is no second sequence 1."""
    runner = loaded_runner()
    first, second = connect(runner, agreed(), 1), connect(runner, agreed(), 2)
    records = [first.call(1), second.call(2), first.call(3)]
    position = walk_chain(CHAIN_START, ((reply.usage, usage) for usage, reply in records))
    assert position.seq == 3


def test_nothing_metered_has_no_batch() -> None:
    """For a lease without calls there is nothing to sign."""
    answer = loaded_runner().handle(SealBatch(lease=LeaseId("ab" * 32)))
    assert expect(answer, BatchSealed).batch is None


def test_the_leases_budget_limits_the_fuel() -> None:
    """A call that needs more than the lease pays for traps, is charged and has no result."""
    runner = loaded_runner()
    loaded = runner._functions[BUNDLE.digest]
    runner._functions[BUNDLE.digest] = type(loaded)(function=loaded.function, fuel_per_ms=100)
    usage, reply = connect(runner, agreed(budget_ms=1)).call(1)
    assert (usage.status, reply.response) == ("trap.fuel", b"")
    assert usage.fuel == 50
    assert usage.amount_microcredits == 100


def test_a_local_job_runs_within_its_budget_and_is_not_metered() -> None:
    """The enterprise's own work costs nothing and leaves no record."""
    runner = loaded_runner()
    order = ExecuteLocal(job=7, function=BUNDLE.digest, request=REQUEST, budget_ns=5 * NS_PER_MS)
    done = expect(runner.handle(order), ExecutedLocal)
    assert (done.job, done.status, done.response) == (7, "ok", anomaly.respond(REQUEST))
    starved = msgspec.structs.replace(order, budget_ns=1)
    assert expect(runner.handle(starved), ExecutedLocal).status == "trap.fuel"
    assert not runner._chains


def test_an_unknown_function_is_refused() -> None:
    """Neither a session nor a job starts for a function that was not loaded and measured."""
    runner, other = loaded_runner(), Digest("ab" * 32)
    agreement = agreed(function=other)
    order = opening_order(agreement, new_initiator(agreement))
    assert refused(runner, order) == "runner.function.unknown"
    job = ExecuteLocal(job=1, function=other, request=REQUEST, budget_ns=NS_PER_MS)
    assert refused(runner, job) == "runner.function.unknown"


def test_a_bundle_that_is_none_is_refused() -> None:
    """Bytes that are no signed bundle are not compiled."""
    answer = expect(new_runner(FORGE).handle(LoadBundle(bundle=b"wasm")), FrameRefused)
    assert answer.code.startswith("functions.bundle.")
    assert (answer.order, answer.subject) == ("LoadBundle", "bundle")


def test_a_refusal_names_order_and_subject() -> None:
    """The node finds out which of its orders was refused."""
    runner = new_runner(FORGE)
    job = ExecuteLocal(job=7, function=BUNDLE.digest, request=b"", budget_ns=1)
    subjects = {
        "job 7": job,
        "session 9": FinishResponder(session=9, message=b""),
    }
    for subject, order in subjects.items():
        answer = expect(runner.handle(order), FrameRefused)
        assert (answer.order, answer.subject) == (type(order).__name__, subject)


def test_a_second_handshake_has_other_keys() -> None:
    """Even the same requester with the same numbers never meets the same session keys."""
    runner, agreement = loaded_runner(), agreed()
    first, second = connect(runner, agreement, 1), connect(runner, agreement, 2)
    assert first.keys.secret != second.keys.secret
    assert first.hello.meter_key == second.hello.meter_key
    assert first.hello.evidence != second.hello.evidence
    assert first.seal(invocation_of(1)) != second.seal(invocation_of(1))


def test_a_second_life_has_other_keys() -> None:
    """A restarted runner meters under a new key, so that no chain continues unseen."""
    lives = [connect(loaded_runner(life), agreed()) for life in (1, 2)]
    assert len({caller.hello.meter_key for caller in lives}) == 2
    assert [caller.call(1)[0].seq for caller in lives] == [1, 1]


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x81\xa7\xffayload\x01"])
def test_message_three_must_open_the_account(payload: bytes) -> None:
    """Without an opening voucher the session is refused, and nothing runs in it."""
    runner, agreement = loaded_runner(), agreed()
    initiator = new_initiator(agreement)
    opened = expect(runner.handle(opening_order(agreement, initiator)), ResponderOpened)
    initiator.read_message_2(opened.message)
    message = initiator.write_message_3(payload)
    order = FinishResponder(session=1, message=message)
    assert refused(runner, order) == "protocol.sealed.malformed"
    caller = Caller(runner, 1, LeaseId(agreement.payload_digest), initiator.split(), None)
    assert refused(runner, caller.order(1)) == "session.unfinished"


def finishing(
    runner: Runner, agreement: Envelope, settlement: SigningKey, *, handshake: bytes | None = None
) -> FrameRefused | ResponderFinished:
    """Return the answer to a message 3 whose grant is signed by this key."""
    initiator, lease = new_initiator(agreement), LeaseId(agreement.payload_digest)
    opened = expect(runner.handle(opening_order(agreement, initiator)), ResponderOpened)
    hello = parse_sealed(initiator.read_message_2(opened.message), RunnerHello)
    opening = opening_of(lease, initiator, hello, settlement)
    if handshake is not None:
        grant = sign_record(SessionGrant(lease=lease, handshake=handshake), settlement)
        opening = msgspec.structs.replace(opening, grant=grant)
    message = initiator.write_message_3(encode_sealed(opening))
    answer = runner.handle(FinishResponder(session=1, message=message))
    assert isinstance(answer, FrameRefused | ResponderFinished)
    return answer


def test_the_provider_cannot_speak_in_the_requesters_place() -> None:
    """Whoever does not hold the requester's key has nothing metered at the requester's cost."""
    agreement = agreed()
    answer = finishing(loaded_runner(), agreement, keys_of(FORGE).settlement)
    assert expect(answer, FrameRefused).code == "signing.envelope.unsigned"
    finished = finishing(loaded_runner(), agreement, keys_of(CANDY).settlement)
    assert isinstance(finished, ResponderFinished)


def test_a_grant_is_for_one_handshake() -> None:
    """What the requester signed for another session opens none."""
    answer = finishing(loaded_runner(), agreed(), keys_of(CANDY).settlement, handshake=b"\x07" * 32)
    assert expect(answer, FrameRefused).code == "session.grant.other"


def test_an_agreement_needs_both_members_signatures() -> None:
    """Terms that the requester never signed open no session, whatever the node says."""
    runner, agreement = loaded_runner(), agreed()
    half = msgspec.structs.replace(agreement, signatures=agreement.signatures[1:])
    order = opening_order(half, new_initiator(half))
    assert refused(runner, order) == "signing.envelope.unsigned"


def test_another_trust_file_ends_the_handshake() -> None:
    """Peers that rely on different members never get past message 2."""
    runner, agreement = loaded_runner(), agreed()
    initiator = new_initiator(agreement, trust=Digest("ab" * 32))
    opened = expect(runner.handle(opening_order(agreement, initiator)), ResponderOpened)
    with pytest.raises(Exception, match="session") as broken:
        initiator.read_message_2(opened.message)
    assert getattr(broken.value, "code", "").startswith("session.")
