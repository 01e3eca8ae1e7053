"""The borrowing side: calls booked on leases, sealed for the runner, and paid when signed for."""

from collections.abc import Callable
from functools import partial

import msgspec

from mutualedge.errors import MutualEdgeError, PeerError
from mutualedge.meter import verify_terms
from mutualedge.model import EnterpriseId, InvocationId, KeyId, LeaseId, Nanoseconds
from mutualedge.node.borrower import Borrower
from mutualedge.node.leases import HeldLease, MeteredCall
from mutualedge.node.links import Link
from mutualedge.node.station import Station
from mutualedge.plan.admission import Booked
from mutualedge.protocol import (
    Call,
    CallDone,
    LateReply,
    Refused,
    Reply,
    Unanswered,
)

SENDS_MAX = 3
"""Times one call is sent before it counts as failed; each time it is the same question."""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """The partner's runner executed the call."""

    response: bytes
    status: str
    provider: str


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The call has no result; it may have been executed and may be charged, once."""

    code: str
    sentence: str


OnResult = Callable[[Served | Failed], None]


class _Calling(msgspec.Struct, kw_only=True):
    """One call on its way."""

    lease: HeldLease
    link: Link
    invocation: InvocationId
    record: bytes
    deadline_ns: int
    on_result: OnResult
    tries: int = 0


class Requester:
    """Places calls on borrowed leases; no round trip decides where."""

    def __init__(self, station: Station, borrower: Borrower) -> None:
        """Share the leases that the borrower acquires."""
        self._station = station
        self._borrower = borrower
        self._callings: dict[InvocationId, _Calling] = {}
        self._silent: dict[EnterpriseId, None] = {}

    def call(
        self, invocation: InvocationId, request: bytes, deadline_ns: int, on_result: OnResult
    ) -> Failed | None:
        """Book the call on the first lease that keeps its deadline, and send it.

        Returns:
            Why no lease can, or nothing: then ``on_result`` is called exactly once.
        """
        if invocation in self._callings:
            sentence = "Another device asks under the same invocation; draw a new one for each."
            return Failed(code="market.call.in-flight", sentence=sentence)
        reason = Failed(code="market.lease.none", sentence="No lease is open; borrow one first.")
        for lease, link in self._hopeful():
            if self._is_probed(lease.terms.provider):
                reason = _silent_partner(lease.terms.provider)
                continue
            if self._borrower.sessions.awaits_other(lease.lease_id, invocation, request):
                sentence = "The invocation was sent with other content; draw a new one for each."
                return Failed(code="market.call.reused", sentence=sentence)
            booked = self._borrower.slots[lease.lease_id].book(
                lease.terms.budget_ns, self._station.now_ns, deadline_ns
            )
            if isinstance(booked, Booked):
                calling = _Calling(
                    lease=lease,
                    link=link,
                    invocation=invocation,
                    record=link.seal(invocation, request),
                    deadline_ns=deadline_ns,
                    on_result=on_result,
                )
                self._callings[invocation] = calling
                lease.expect(invocation)
                self._send(calling)
                return None
            reason = Failed(code=booked.code, sentence=booked.sentence)
        return reason

    def _hopeful(self) -> list[tuple[HeldLease, Link]]:
        """Return the leases that can take a call, those of partners who last said nothing last."""
        return sorted(
            self._borrower.ready(), key=lambda each: each[0].terms.provider in self._silent
        )

    def _is_probed(self, provider: EnterpriseId) -> bool:
        """Tell whether a partner said nothing to its last call, and one more is on its way."""
        return provider in self._silent and any(
            calling.lease.terms.provider == provider for calling in self._callings.values()
        )

    def _send(self, calling: _Calling) -> None:
        calling.tries += 1
        remaining_ns = calling.deadline_ns - self._station.now_ns
        request = Call(
            lease=calling.lease.lease_id,
            session=calling.link.session,
            invocation=calling.invocation,
            record=calling.record,
            remaining_ns=Nanoseconds(max(0, remaining_ns)),
        )
        patience_ns = self._patience_ns(remaining_ns) // (1 + SENDS_MAX - calling.tries)
        on_reply = partial(self._on_reply, calling)
        self._station.ask(calling.lease.terms.provider, request, on_reply, max(1, patience_ns))

    def _patience_ns(self, remaining_ns: int) -> int:
        """Return how long all sends may take: a job's time less, where half is left all the same.

        What is kept back is for running the call here, should the partner stay silent.
        """
        budget_ns = self._station.settings.job_budget_ns
        return remaining_ns - budget_ns if 2 * budget_ns <= remaining_ns else remaining_ns

    def _on_reply(self, calling: _Calling, reply: Reply | Unanswered) -> None:
        if not isinstance(reply, Unanswered):
            self._silent.pop(calling.lease.terms.provider, None)
        if self._callings.get(calling.invocation) is not calling:
            return  # its result came late, with a request for a voucher
        match reply:
            case CallDone(record=record):
                self._on_done(calling, record)
            case Unanswered(code=code, sentence=sentence):
                if calling.tries < SENDS_MAX and self._station.now_ns < calling.deadline_ns:
                    self._send(calling)
                else:
                    self._silent[calling.lease.terms.provider] = None
                    self._end(calling, Failed(code=code, sentence=sentence))
            case Refused(code=code, sentence=sentence, breach=breach):
                self._on_refused(calling, code, breach is not None)
                self._end(calling, Failed(code=code, sentence=sentence))
            case other:
                sentence = f"The partner answered a call with {type(other).__name__}."
                self._end(calling, Failed(code="protocol.reply.misplaced", sentence=sentence))

    def _end(self, calling: _Calling, result: Served | Failed) -> None:
        """Tell the result of a call, once."""
        del self._callings[calling.invocation]
        calling.on_result(result)

    def _on_refused(self, calling: _Calling, code: str, is_breach: bool) -> None:
        if code.startswith("session."):
            self._borrower.sessions.drop_link(calling.lease.lease_id, calling.link)
        if is_breach:
            self._station.note("lease.breached", lease=calling.lease.lease_id, code=code)

    def _on_done(self, calling: _Calling, record: bytes) -> None:
        try:
            _, result = self._take(calling.lease, calling.link, record)
        except MutualEdgeError as error:
            self._station.note("reply.refused", lease=calling.lease.lease_id, code=error.code)
            self._end(calling, Failed(code=error.code, sentence=error.sentence))
            return
        self._end(calling, result)

    def _take(self, lease: HeldLease, link: Link, record: bytes) -> tuple[InvocationId, Served]:
        """Open a sealed reply and keep its usage record until we sign for it.

        Raises:
            PeerError: Forged, replayed, or its record is not one this lease allows.
        """
        usage, raw, response = link.open(record)
        account = lease.accounts[KeyId(usage.meter)]
        verified = verify_terms(usage, lease=lease.lease_id, terms=lease.terms, meter=account.meter)
        if verified.seq > account.signed.seq:
            account.calls.setdefault(
                verified.seq,
                MeteredCall(
                    raw=raw,
                    usage=verified,
                    session=link.session,
                    reply=b"",
                    at_ns=self._station.now_ns,
                ),
            )
        lease.unanswered.pop(verified.invocation, None)
        link.forget(verified.invocation)
        provider = lease.terms.provider
        served = Served(response=response, status=verified.status, provider=provider)
        return verified.invocation, served

    def take_late(self, lease_id: LeaseId, late: LateReply) -> tuple[InvocationId, Served] | None:
        """Open a reply that comes with a request for a voucher and keep its record.

        Returns:
            The result, where the call that asked for it has failed in the meantime.

        Raises:
            PeerError: Forged, replayed, or its record is not one this lease allows.
        """
        link = self._borrower.sessions.link_of(lease_id, late.session)
        if link is None:
            return None
        lease = self._borrower.leases.get(lease_id)
        if lease is None:
            sentence = "A late reply came for a lease we do not hold."
            raise PeerError("market.lease.unknown", sentence)
        invocation, served = self._take(lease, link, late.record)
        calling = self._callings.get(invocation)
        if calling is None:
            return invocation, served
        self._end(calling, served)
        return None


def _silent_partner(provider: EnterpriseId) -> Failed:
    sentence = (
        f"'{provider}' did not answer the last call; one more is on its way to see whether it is "
        "back."
    )
    return Failed(code="market.partner.silent", sentence=sentence)
