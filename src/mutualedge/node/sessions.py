"""Attested sessions under what we borrow: evidence first, then anything secret."""

from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TypeVar

from mutualedge.attest import MeterAttestation, appraise
from mutualedge.errors import MutualEdgeError, PeerError
from mutualedge.meter import CHAIN_START, METERS_MAX
from mutualedge.model import NS_PER_MS, InvocationId, LeaseId
from mutualedge.node.lease_rows import save_account, save_attestation
from mutualedge.node.leases import HeldLease, MeterAccount
from mutualedge.node.links import Link
from mutualedge.node.station import OnReply, Station
from mutualedge.protocol import (
    FinishSession,
    OpenSession,
    Refused,
    Reply,
    RunnerHello,
    SessionGrant,
    SessionOffered,
    SessionOpening,
    SessionReady,
    Unanswered,
    encode_sealed,
    parse_sealed,
)
from mutualedge.session import Initiator, handshake_prologue
from mutualedge.signing import key_id_of, sign_record

T = TypeVar("T")

REFUSAL_BACKOFF_NS = 600_000 * NS_PER_MS
"""A partner whose evidence was refused, or that forgot the lease, is asked again in ten minutes."""

ENDED_LINKS_MAX = 8
"""Ended sessions of a lease whose keys we keep: as many as a provider keeps open."""

WORDS_MAX = 1_000
"""Characters noted of a refusal, which may be the partner's own words; ours are shorter."""


class Sessions:
    """Keeps one warm session per lease, and the keys of those that ended lately."""

    def __init__(self, station: Station, leases: Mapping[LeaseId, HeldLease]) -> None:
        """Open none yet; look at the leases that the borrower holds."""
        self._station = station
        self._leases = leases
        self.links: dict[LeaseId, Link] = {}
        self._ended: dict[LeaseId, deque[Link]] = {}
        self._connecting: dict[LeaseId, None] = {}
        self._static_key = station.entropy.draw()

    def open(self, lease: HeldLease) -> None:
        """Open a session under a lease that is open on the ledger, unless there is one."""
        if lease.lease_id not in self.links and lease.lease_id not in self._connecting:
            self._connect(lease)

    def _connect(self, lease: HeldLease) -> None:
        nonce = self._station.entropy.draw()
        initiator = Initiator(
            prologue=handshake_prologue(
                assurance=lease.terms.assurance,
                lease=lease.lease_id,
                function=lease.terms.function,
                trust_digest=self._station.consortium.digest,
                nonce=nonce,
            ),
            static_private=self._static_key,
            ephemeral_private=self._station.entropy.draw(),
        )
        self._connecting[lease.lease_id] = None
        request = OpenSession(
            lease=lease.lease_id,
            trust_version=self._station.consortium.trust.version,
            nonce=nonce,
            message=initiator.write_message_1(b""),
        )
        on_reply = partial(self._on_offered, lease, initiator)
        self._station.ask(
            lease.terms.provider, request, partial(self._connection_step, lease, on_reply)
        )

    def _connection_step(
        self, lease: HeldLease, on_reply: OnReply, reply: Reply | Unanswered
    ) -> None:
        """Run a step of opening a session; a refusal is noted and tried again later."""
        try:
            on_reply(reply)
        except MutualEdgeError as error:
            self._station.note(
                "session.not_opened",
                lease=lease.lease_id,
                provider=lease.terms.provider,
                code=error.code,
                sentence=error.sentence[:WORDS_MAX],
            )
            release = partial(self._connecting.pop, lease.lease_id, None)
            self._station.after(self._backoff_ns(error), release)

    def _backoff_ns(self, error: MutualEdgeError) -> int:
        if error.code.startswith("attest.") or error.code == "market.lease.unknown":
            return REFUSAL_BACKOFF_NS
        return 0

    def _on_offered(
        self, lease: HeldLease, initiator: Initiator, reply: Reply | Unanswered
    ) -> None:
        """Appraise the evidence inside message 2; only then say anything secret."""
        offered = expect_reply(reply, SessionOffered)
        hello = parse_sealed(initiator.read_message_2(offered.message), RunnerHello)
        attestation = MeterAttestation(
            lease=lease.lease_id,
            meter_key=hello.meter_key,
            function=lease.terms.function,
            backend="sgx",
            handshake=initiator.evidence_hash,
            evidence=hello.evidence,
            collateral=offered.collateral,
            placement=offered.placement,
        )
        appraisal = appraise(
            attestation,
            self._station.consortium,
            lease.terms,
            lease.lease_id,
            self._station.now_ns,
        )
        self._station.note(
            "evidence.appraised", provider=lease.terms.provider, assurance=appraisal.assurance
        )
        account = self._open_account(lease, attestation)
        opening = self._opening_of(lease, account, initiator.evidence_hash)
        message = initiator.write_message_3(encode_sealed(opening))
        request = FinishSession(lease=lease.lease_id, session=offered.session, message=message)
        on_reply = partial(self._on_ready, lease, initiator, attestation)
        self._station.ask(
            lease.terms.provider, request, partial(self._connection_step, lease, on_reply)
        )

    def _opening_of(
        self, lease: HeldLease, account: MeterAccount, handshake: bytes
    ) -> SessionOpening:
        """Say that this handshake is ours, and that what its meter signs is owed, up to W."""
        settlement = self._station.keys.settlement
        grant = SessionGrant(lease=lease.lease_id, handshake=handshake)
        return SessionOpening(
            grant=sign_record(grant, settlement),
            voucher=CHAIN_START.voucher(lease.lease_id, account.meter_key, settlement),
        )

    def _open_account(self, lease: HeldLease, attestation: MeterAttestation) -> MeterAccount:
        """Accept a meter key whose evidence was appraised; known ones keep their account."""
        meter_key = attestation.meter_key
        meter = key_id_of(meter_key)
        account = lease.accounts.get(meter)
        if account is None and len(lease.accounts) >= METERS_MAX:
            sentence = f"The provider's runner started {METERS_MAX} times under this lease."
            raise PeerError("meter.accounts.full", sentence)
        if account is None:
            account = lease.accounts[meter] = MeterAccount(
                meter_key=meter_key,
                voucher=CHAIN_START.voucher(
                    lease.lease_id, meter_key, self._station.keys.settlement
                ),
            )
            save_attestation(self._station, attestation)
            save_account(self._station, lease, account)
        return account

    def _on_ready(
        self,
        lease: HeldLease,
        initiator: Initiator,
        attestation: MeterAttestation,
        reply: Reply | Unanswered,
    ) -> None:
        """Use the session; its evidence is kept now that records may name it."""
        ready = expect_reply(reply, SessionReady)
        keys = initiator.split()
        self._connecting.pop(lease.lease_id, None)
        if lease.lease_id not in self._leases:
            return
        save_attestation(self._station, attestation)
        meter = key_id_of(attestation.meter_key)
        self.links[lease.lease_id] = Link(session=ready.session, meter=meter, keys=keys)
        self._station.note("session.opened", lease=lease.lease_id, provider=lease.terms.provider)

    def awaits(self, lease_id: LeaseId, invocation: InvocationId) -> bool:
        """Tell whether we sent this invocation and could still open the reply we have not got."""
        return any(link.awaits(invocation) for link in self._openable(lease_id))

    def awaits_other(self, lease_id: LeaseId, invocation: InvocationId, request: bytes) -> bool:
        """Tell whether this invocation awaits a reply to another request than this."""
        links = self._openable(lease_id)
        return any(link.awaits_other(invocation, request) for link in links)

    def can_open(self, lease_id: LeaseId, session: int) -> bool:
        """Tell whether we have the keys of this session of a lease."""
        return self.link_of(lease_id, session) is not None

    def link_of(self, lease_id: LeaseId, session: int) -> Link | None:
        """Return a session of this lease, also one that ended, if we still have its keys."""
        links = self._openable(lease_id)
        return next((link for link in links if link.session == session), None)

    def _openable(self, lease_id: LeaseId) -> Iterator[Link]:
        if lease_id in self.links:
            yield self.links[lease_id]
        yield from self._ended.get(lease_id, ())

    def drop_link(self, lease_id: LeaseId, link: Link) -> None:
        """Stop using a session its runner forgot; a new one is opened at the next tending.

        Replies that its runner sealed before may still come with a request for a voucher.
        """
        if self.links.get(lease_id) is link:
            del self.links[lease_id]
            ended = self._ended.setdefault(lease_id, deque(maxlen=ENDED_LINKS_MAX))
            ended.append(link)

    def forget(self, lease_id: LeaseId) -> None:
        """Let go of every session of a lease."""
        self.links.pop(lease_id, None)
        self._ended.pop(lease_id, None)
        self._connecting.pop(lease_id, None)


def expect_reply(reply: Reply | Unanswered, kind: type[T]) -> T:
    """Return the reply if it is of the kind that this step needs.

    Raises:
        PeerError: The peer refused, did not answer, or answered something else.
    """
    if isinstance(reply, kind):
        return reply
    if isinstance(reply, Refused | Unanswered):
        raise PeerError(reply.code, reply.sentence)
    sentence = f"Expected {kind.__name__}, got {type(reply).__name__}."
    raise PeerError("protocol.reply.misplaced", sentence)
