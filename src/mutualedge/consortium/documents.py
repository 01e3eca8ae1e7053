"""What newcomers and members sign for the office, held against who they are."""

from dataclasses import dataclass
from typing import TypeVar

from mutualedge.errors import PeerError
from mutualedge.identity import Consortium, Member, TrustFile, parse_trust, with_member
from mutualedge.model import NS_PER_S, parse_instant
from mutualedge.protocol import (
    APPLICATION_BYTES_MAX,
    Application,
    ApprovalOrder,
    InviteOrder,
    ListOrder,
    RenewOrder,
)
from mutualedge.signing import Envelope, canonical_bytes, parse_canonical, verify_record

ORDER_AGE_NS_MAX = 300 * NS_PER_S
"""An order older or newer than five minutes is refused: clocks differ less, replays wait longer."""

Order = TypeVar("Order", InviteOrder, ListOrder, ApprovalOrder, RenewOrder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Who applies, and the trust file it would be in."""

    application: Application
    member: Member
    trust: TrustFile


def candidate_of(application: Envelope, consortium: Consortium) -> Candidate:
    """Return who applies, if the application is in order.

    Raises:
        PeerError: Not signed by the card's enterprise key and by nothing else, too large, or a key
            or platform is another's.
        UsageError: Of a member already.
    """
    if len(application.payload) > APPLICATION_BYTES_MAX:
        sentence = f"An application has at most {APPLICATION_BYTES_MAX} bytes; apply again."
        raise PeerError("enrolment.application.large", sentence)
    claimed = parse_canonical(application.payload, Application)
    member = parse_canonical(claimed.card.payload, Member)
    verify_record(application, Application, member.enterprise_key)
    if len(claimed.card.signatures) != 1 or len(application.signatures) != 1:
        sentence = "Card and application have one signature each, their enterprise's; apply again."
        raise PeerError("enrolment.application.signatures", sentence)
    trust = with_member(consortium, claimed.card)
    proposed = Envelope(
        payload=canonical_bytes(trust), payload_type=consortium.envelope.payload_type, signatures=()
    )
    parse_trust(proposed)
    return Candidate(application=claimed, member=member, trust=trust)


def verify_approves(order: ApprovalOrder, wanted: TrustFile, consortium: Consortium) -> None:
    """Return if an order's trust file is the next one with just its change, signed by its approver.

    Raises:
        PeerError: It is not.
    """
    if order.trust.payload != canonical_bytes(wanted):
        sentence = "This approves another trust file than the next one with this change alone"
        raise PeerError("enrolment.approval.other", f"{sentence}; look again, then approve.")
    verify_record(order.trust, TrustFile, consortium.member(order.enterprise).enterprise_key)


def verified_order(
    envelope: Envelope, kind: type[Order], consortium: Consortium, now_ns: int
) -> Order:
    """Return a member's order, if it signed it just now.

    Raises:
        PeerError: It did not.
    """
    claimed = parse_canonical(envelope.payload, kind)
    key = consortium.member(claimed.enterprise).settlement_key
    order = verify_record(envelope, kind, key)
    verify_fresh(order, now_ns)
    return order


def verify_fresh(order: InviteOrder | ListOrder | ApprovalOrder | RenewOrder, now_ns: int) -> None:
    """Return if an order was signed just now.

    Raises:
        PeerError: It was not; it may be a replay.
    """
    if abs(parse_instant(order.at) - now_ns) > ORDER_AGE_NS_MAX:
        sentence = f"The order is of {order.at}, over five minutes from now; check both clocks."
        raise PeerError("enrolment.order.stale", sentence)


def card_in(application: bytes) -> Envelope:
    """Return the card inside an application as it was kept."""
    return parse_canonical(envelope_in(application).payload, Application).card


def envelope_in(raw: bytes) -> Envelope:
    """Return an envelope as it was kept."""
    return parse_canonical(raw, Envelope)
