"""Invitations: which member expects whom, until it joined or the invitation expired."""

import hashlib
from collections.abc import Iterator

from mutualedge.errors import RefusedByPolicy
from mutualedge.identity import Consortium
from mutualedge.model import NS_PER_S, Digest, EnterpriseId, parse_instant
from mutualedge.protocol import INVITATIONS_MAX, InviteOrder, StoreView, Write
from mutualedge.signing import Envelope, canonical_bytes, parse_canonical

INVITATION_BUCKET = "invitation"

INVITATION_NS_MAX = 7 * 86_400 * NS_PER_S
"""The longest an invitation may be good for: a week, then somebody must mean it again."""


class Invitations:
    """Of each newcomer the last order to let it apply."""

    def __init__(self, store: StoreView) -> None:
        """Restore what was kept."""
        self._orders = {
            EnterpriseId(name): parse_canonical(parse_canonical(raw, Envelope).payload, InviteOrder)
            for name, raw in store.scan(INVITATION_BUCKET)
        }

    def __iter__(self) -> Iterator[tuple[EnterpriseId, InviteOrder]]:
        """Yield who is invited, and by what order; what is put or dropped meanwhile changes not."""
        return iter([*self._orders.items()])

    def check(self, order: InviteOrder, consortium: Consortium, now_ns: int) -> None:
        """Let no member take over another's newcomer, nor fill the office alone.

        Raises:
            RefusedByPolicy: It is good for too long, for a member or for whom another member
                invited, or its member has invited too many.
        """
        if consortium.has(order.newcomer):
            sentence = f"'{order.newcomer}' is a member already; invite under another name."
            raise RefusedByPolicy("enrolment.newcomer.member", sentence)
        if parse_instant(order.expires) > now_ns + INVITATION_NS_MAX:
            sentence = "An invitation is good for a week at most; let it expire earlier."
            raise RefusedByPolicy("enrolment.invitation.long", sentence)
        open_ = {name: each for name, each in self if not consortium.has(name)}
        known = open_.pop(order.newcomer, order)
        if known.enterprise != order.enterprise and parse_instant(known.expires) > now_ns:
            sentence = f"'{known.enterprise}' has invited '{order.newcomer}' already; leave it so."
            raise RefusedByPolicy("enrolment.invitation.other", sentence)
        mine = [name for name, each in open_.items() if each.enterprise == order.enterprise]
        if len(mine) >= INVITATIONS_MAX:
            sentence = f"You have invited {', '.join(mine)}; wait until one joined or it expired."
            raise RefusedByPolicy("enrolment.invitations.full", sentence)

    def put(self, order: InviteOrder, envelope: Envelope) -> Write:
        """Keep a verified order; return its row."""
        self._orders[order.newcomer] = order
        raw = canonical_bytes(envelope)
        return Write(bucket=INVITATION_BUCKET, key=order.newcomer, value=raw)

    def drop(self, newcomer: EnterpriseId) -> Write:
        """Forget an order; return its row."""
        del self._orders[newcomer]
        return Write(bucket=INVITATION_BUCKET, key=newcomer, value=None)

    def invited(self, secret: bytes, consortium: Consortium, now_ns: int) -> EnterpriseId:
        """Return who was invited with this secret; who was admitted since may go on joining.

        Raises:
            RefusedByPolicy: No invitation has this secret, or it has expired.
        """
        digest = Digest(hashlib.sha256(secret).hexdigest())
        for _, order in self:
            is_open = parse_instant(order.expires) > now_ns or consortium.has(order.newcomer)
            if order.secret_digest == digest and is_open:
                return order.newcomer
        sentence = "No invitation has this secret, or it has expired; ask a member for a new one."
        raise RefusedByPolicy("enrolment.invitation.unknown", sentence)
