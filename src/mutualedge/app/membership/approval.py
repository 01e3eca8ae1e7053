"""How a member lets others in: it invites, sees who applies, approves."""

import hashlib
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from mutualedge.app.accounts import account_key, open_door
from mutualedge.app.measurement import runner_measurement
from mutualedge.app.membership.invitation import Invitation, invitation_text
from mutualedge.app.membership.joining import fingerprint
from mutualedge.app.membership.orders import list_order
from mutualedge.app.membership.site import (
    MemberSite,
    Say,
    adopt,
    enterprise_key_of,
    member_site,
    wait_outcome,
)
from mutualedge.errors import RefusedByPolicy
from mutualedge.identity import Member, TrustFile, with_measurement, with_member
from mutualedge.model import (
    NS_PER_S,
    Digest,
    EnterpriseId,
    format_instant,
)
from mutualedge.protocol import (
    Accepted,
    Admission,
    Applications,
    Applied,
    ApprovalOrder,
    Approve,
    Approved,
    AskApplications,
    Invite,
    InviteOrder,
    ReleaseAccepted,
    ReleaseWaiting,
)
from mutualedge.protocol.enrolment import Change
from mutualedge.signing import (
    Envelope,
    parse_canonical,
    sign_record,
    verify_record,
)

SECRET_BYTES = 32
INVITATION_S = 24 * 3600
"""How long an invitation is good for: a working day, and the night before somebody reads it."""

Confirm = Callable[[str], bool]


async def invite(own: Path, newcomer: EnterpriseId) -> str:
    """Return the invitation for an enterprise, as one word to hand over.

    Raises:
        UsageError: This folder is no member's.
        MutualEdgeError: The office refuses or cannot be reached.
    """
    member, secret, now_ns = member_site(own), os.urandom(SECRET_BYTES), time.time_ns()
    expires = format_instant(now_ns + INVITATION_S * NS_PER_S)
    order = InviteOrder(
        enterprise=member.name,
        newcomer=newcomer,
        secret_digest=Digest(hashlib.sha256(secret).hexdigest()),
        expires=expires,
        at=format_instant(now_ns),
    )
    await member.desk.ask(Invite(order=sign_record(order, member.settlement_key)), Accepted)
    network = member.options.network
    invitation = Invitation(
        consortium=member.consortium.trust.consortium,
        enterprise=newcomer,
        founding=member.told.trust.payload_digest,
        host=network.hub_host,
        leaf_port=network.hub_port,
        office_port=network.office_port,
        root_pem=member.told.tls.root_pem,
        secret=secret,
        expires=expires,
    )
    return invitation_text(invitation)


async def waiting(own: Path) -> list[str]:
    """Return a sentence about each enterprise and each release that waits for approval.

    Raises:
        MutualEdgeError: The office refuses or cannot be reached.
    """
    shown = await _applications(member_site(own))
    return [*map(_described, shown.waiting), *map(_described_release, shown.releases)]


async def approve(own: Path, newcomer: EnterpriseId, confirm: Confirm, say: Say) -> bool:
    """Approve a newcomer; the last approval needed has the ledger adopt it. False if not confirmed.

    Args:
        own: The member's folder, with its enterprise key in it.
        newcomer: Whom.
        confirm: Shown who it is, says whether to go on.
        say: Told what happened.

    Raises:
        UsageError: The enterprise key is not there.
        RefusedByPolicy: Nobody of this name waits, or our ledger is behind the hub's.
        MutualEdgeError: The office or the ledger refuses.
    """
    member = member_site(own)
    applied = await _application_of(member, newcomer)
    if not confirm(_described(applied)):
        return False
    if await _approved(member, _approval(member, applied.card), say):
        say(f"'{newcomer}' is a member from now on.")
    return True


async def approve_release(own: Path, confirm: Confirm, say: Say) -> bool:
    """Approve that runners of the release installed here are believed, beside those that are.

    The last approval needed has the ledger adopt it. False if not confirmed.

    Args:
        own: The member's folder, with its enterprise key in it.
        confirm: Shown release and measurement, says whether to go on.
        say: Told what happened.

    Raises:
        UsageError: The enterprise key is not there, or the release is accepted already.
        RefusedByPolicy: Our ledger is behind the hub's.
        MutualEdgeError: The office or the ledger refuses.
    """
    member, measured = member_site(own), runner_measurement()
    shown = await _applications(member)
    _verify_current(member, shown)
    by = next((each.approved for each in shown.releases if each.measurement == measured), ())
    here = ReleaseWaiting(release=version("mutualedge"), measurement=measured, approved=by)
    trust = with_measurement(member.consortium, measured)
    if not confirm(_described_release(here)):
        return False
    change = ReleaseAccepted(release=here.release, measurement=measured)
    if await _approved(member, _order(member, change, trust), say):
        say("Its runners are believed from now on. Renew, then start the node: mutualedge renew")
    return True


async def _approved(member: MemberSite, order: Envelope, say: Say) -> bool:
    """Send an approval; the last one needed has the ledger adopt the change. False if not yet."""
    approved = await member.desk.ask(Approve(order=order), Approved)
    if approved.trust is None:
        missing = approved.needed - len(approved.approved)
        say(f"Approved by {', '.join(approved.approved)}; {missing} more must.")
        return False
    await wait_outcome(member, await adopt(member, approved.trust), say)
    return True


def _approval(member: MemberSite, card: Envelope) -> Envelope:
    claimed = parse_canonical(card.payload, Member)
    newcomer = verify_record(card, Member, claimed.enterprise_key)
    account = account_key(member.told.account_seed)
    admission = Admission(
        newcomer=newcomer.enterprise,
        activation=open_door(account, newcomer.account, time.time_ns()),
    )
    return _order(member, admission, with_member(member.consortium, card))


def _order(member: MemberSite, change: Change, trust: TrustFile) -> Envelope:
    order = ApprovalOrder(
        enterprise=member.name,
        change=change,
        trust=sign_record(trust, enterprise_key_of(member)),
        at=format_instant(time.time_ns()),
    )
    return sign_record(order, member.settlement_key)


async def _applications(member: MemberSite) -> Applications:
    signed = list_order(member.name, member.told.settlement_seed)
    return await member.desk.ask_patiently(AskApplications(order=signed), Applications)


async def _application_of(member: MemberSite, newcomer: EnterpriseId) -> Applied:
    shown = await _applications(member)
    _verify_current(member, shown)
    for each in shown.waiting:
        if _name_of(each.card) == newcomer:
            return each
    names = ", ".join(_name_of(each.card) for each in shown.waiting) or "nobody"
    sentence = f"'{newcomer}' does not wait for approval; who does: {names}."
    raise RefusedByPolicy("membership.application.unknown", sentence)


def _verify_current(member: MemberSite, shown: Applications) -> None:
    """Return if our node knows the trust file that the office would change.

    Raises:
        RefusedByPolicy: It does not yet.
    """
    if shown.trust.payload_digest != member.consortium.digest:
        sentence = "This node has not seen the ledger's latest block; let it run, then try again."
        raise RefusedByPolicy("membership.ledger.behind", sentence)


def _name_of(card: Envelope) -> EnterpriseId:
    return parse_canonical(card.payload, Member).enterprise


def _described_release(waiting: ReleaseWaiting) -> str:
    by = f"approved by {', '.join(waiting.approved)}" if waiting.approved else "not approved yet"
    return f"Release {waiting.release}, runner measured {waiting.measurement}; {by}"


def _described(applied: Applied) -> str:
    mark = fingerprint(applied.card)
    by = f"approved by {', '.join(applied.approved)}" if applied.approved else "not approved yet"
    return f"'{_name_of(applied.card)}' applies; fingerprint {mark}; {by}"
