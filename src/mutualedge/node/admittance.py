"""Sessions of our runner with those who lease it: placement, evidence archived, account opened."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mutualedge.attest import BACKEND_SGX, MeterAttestation, Placement
from mutualedge.errors import MutualEdgeError, PeerError, RefusedByPolicy
from mutualedge.meter import METERS_MAX, verify_voucher
from mutualedge.model import NS_PER_MS, LeaseId, format_instant
from mutualedge.node.dispatcher import Dispatcher
from mutualedge.node.lease_rows import save_account, save_attestation
from mutualedge.node.leases import HeldLease, MeterAccount
from mutualedge.node.station import Station
from mutualedge.protocol import (
    FinishResponder,
    FinishSession,
    FrameRefused,
    OpenResponder,
    OpenSession,
    Refused,
    ResponderFinished,
    ResponderOpened,
    RunnerAnswer,
    SessionOffered,
    SessionReady,
)
from mutualedge.signing import Envelope, sign_record, signed_only_by

SESSIONS_MAX = 8
"""Sessions per lease kept open; a requester that restarts opens a new one."""

HANDSHAKES_MAX = 2
"""Handshakes of one lease that may wait for the runner: a requester needs one, and a repeat."""

FindLease = Callable[[LeaseId, str], HeldLease]


@dataclass(slots=True, kw_only=True)
class Session:
    """A session of our runner with a lease's requester.

    Attributes:
        is_ready: The requester appraised the evidence and sent message 3.
        is_archived: The evidence has its row.
    """

    lease_id: LeaseId
    meter_key: bytes
    attestation: MeterAttestation
    is_ready: bool = False
    is_archived: bool = False


def refuse(station: Station, ask_id: int, answer: RunnerAnswer) -> None:
    """Pass on why the runner would not."""
    if isinstance(answer, FrameRefused):
        refused = Refused(code=answer.code, sentence=answer.sentence)
    else:
        sentence = f"The runner answered with {type(answer).__name__}; it is misbehaving."
        refused = Refused(code="node.runner.confused", sentence=sentence)
    station.answer(ask_id, refused)


class Admittance:
    """Opens sessions into the runner for requesters whose lease is active."""

    def __init__(self, station: Station, dispatcher: Dispatcher, find_active: FindLease) -> None:
        """Take how an active lease is found; ``find_active`` raises if there is none."""
        self._station = station
        self._dispatcher = dispatcher
        self._find_active = find_active
        self._sessions: dict[int, Session] = {}
        self._last_session = 0
        self._handshakes: dict[LeaseId, int] = {}

    def forget_all(self) -> None:
        """Drop every session: the runner that held them is gone."""
        self._sessions.clear()

    def open_session(self, ask_id: int, peer: str, request: OpenSession) -> None:
        """Have the runner answer message 1 of a handshake for an open lease."""
        lease = self._find_active(request.lease, peer)
        self._verify_version(request.trust_version)
        self._begin_step(lease.lease_id)
        now_ms = self._station.now_ns // NS_PER_MS
        self._last_session = max(self._last_session + 1, now_ms)
        order = OpenResponder(
            session=self._last_session,
            agreement=lease.agreement,
            nonce=request.nonce,
            message=request.message,
        )
        self._dispatcher.order(order, partial(self._on_opened, ask_id, lease))

    def _verify_version(self, theirs: int) -> None:
        """Say in plain words what the handshake would fail over.

        Raises:
            PeerError: The requester believes another version of the trust file than our runner.
        """
        ours = self._station.consortium.trust.version
        if theirs != ours:
            sentence = (
                f"You hold version {theirs} of the trust file, we hold version {ours}; "
                "ask again once both followed the ledger."
            )
            raise PeerError("session.trust.other-version", sentence)

    def _begin_step(self, lease_id: LeaseId) -> None:
        under_way = self._handshakes.get(lease_id, 0)
        if under_way >= HANDSHAKES_MAX:
            sentence = f"{HANDSHAKES_MAX} handshakes of this lease are under way; wait for them."
            raise RefusedByPolicy("session.busy", sentence)
        self._handshakes[lease_id] = under_way + 1

    def _end_step(self, lease_id: LeaseId) -> None:
        self._handshakes[lease_id] -= 1
        if not self._handshakes[lease_id]:
            del self._handshakes[lease_id]

    def _on_opened(self, ask_id: int, lease: HeldLease, answer: RunnerAnswer) -> None:
        self._end_step(lease.lease_id)
        if not isinstance(answer, ResponderOpened):
            refuse(self._station, ask_id, answer)
            return
        placement = self._placement(lease, answer)
        attestation = MeterAttestation(
            lease=lease.lease_id,
            meter_key=answer.meter_key,
            function=lease.terms.function,
            backend=BACKEND_SGX,
            handshake=answer.handshake,
            evidence=answer.evidence,
            collateral=self._station.settings.collateral,
            placement=placement,
        )
        self._remember_session(answer, lease, attestation)
        offered = SessionOffered(
            session=answer.session,
            message=answer.message,
            collateral=attestation.collateral,
            placement=placement,
        )
        self._station.answer(ask_id, offered)

    def _placement(self, lease: HeldLease, answer: ResponderOpened) -> Envelope:
        me = self._station.me
        placement = Placement(
            lease=lease.lease_id,
            node=me.node,
            platform=me.platform,
            handshake=answer.handshake,
            at=format_instant(self._station.now_ns),
        )
        return sign_record(placement, self._station.keys.node)

    def _remember_session(
        self, answer: ResponderOpened, lease: HeldLease, attestation: MeterAttestation
    ) -> None:
        mine = [key for key, s in self._sessions.items() if s.lease_id == lease.lease_id]
        for key in mine[: max(0, len(mine) + 1 - SESSIONS_MAX)]:
            del self._sessions[key]
        self._sessions[answer.session] = Session(
            lease_id=lease.lease_id, meter_key=answer.meter_key, attestation=attestation
        )

    def finish_session(self, ask_id: int, peer: str, request: FinishSession) -> None:
        """Have the runner take message 3; inside is the voucher that opens the account."""
        self._find_active(request.lease, peer)
        session = self.find(request.lease, request.session)
        self._begin_step(request.lease)
        order = FinishResponder(session=request.session, message=request.message)
        self._dispatcher.order(order, partial(self._on_finished, ask_id, peer, session))

    def find(self, lease_id: LeaseId, session_id: int) -> Session:
        """Return a session of this lease.

        Raises:
            PeerError: The runner does not hold it; the requester opens another.
        """
        session = self._sessions.get(session_id)
        if session is None or session.lease_id != lease_id:
            sentence = "The runner that held this session is gone; open a new one."
            raise PeerError("session.unknown", sentence)
        return session

    def _on_finished(self, ask_id: int, peer: str, session: Session, answer: RunnerAnswer) -> None:
        self._end_step(session.lease_id)
        if not isinstance(answer, ResponderFinished):
            refuse(self._station, ask_id, answer)
            return
        try:
            lease = self._find_active(session.lease_id, peer)
            account, is_new = self._account(lease, session, answer.opening)
        except MutualEdgeError as error:
            refused = Refused(code=error.code, sentence=error.sentence)
            self._station.answer(ask_id, refused)
            return
        session.is_ready = True
        if is_new:
            self.archive(session)
            save_account(self._station, lease, account)
        self._station.note("session.accepted", lease=lease.lease_id, meter=account.meter)
        self._station.answer(ask_id, SessionReady(session=answer.session))

    def archive(self, session: Session) -> None:
        """Keep the evidence behind a record or an account: what nothing names gets no row."""
        if not session.is_archived:
            session.is_archived = True
            save_attestation(self._station, session.attestation)

    def _account(
        self, lease: HeldLease, session: Session, opening: Envelope
    ) -> tuple[MeterAccount, bool]:
        """Return the account of the session's meter key, and whether it is new."""
        requester = self._station.consortium.member(lease.terms.requester)
        voucher = verify_voucher(
            opening, lease=lease.lease_id, requester_key=requester.settlement_key
        )
        if voucher.meter_key != session.meter_key or voucher.through_seq != 0:
            sentence = "The opening voucher must name this session's meter key and owe nothing."
            raise PeerError("meter.voucher.opening", sentence)
        existing = lease.accounts.get(voucher.meter)
        if existing is not None:
            return existing, False
        if len(lease.accounts) >= METERS_MAX:
            sentence = f"The lease has seen {METERS_MAX} runner starts; agree on another lease."
            raise RefusedByPolicy("meter.accounts.full", sentence)
        clean = signed_only_by(opening, requester.settlement_key)
        account = MeterAccount(meter_key=session.meter_key, voucher=clean)
        lease.accounts[voucher.meter] = account
        return account, True
