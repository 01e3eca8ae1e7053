"""An invitation as one line of text: what a newcomer must know of a consortium, and its secret."""

import base64
import hashlib

import msgspec

from mutualedge.errors import UsageError
from mutualedge.model import (
    UNREADABLE,
    Bytes32,
    EnterpriseName,
    HexDigest,
    InstantText,
    PositiveCount,
)

MARK = "mutualedge-invitation-1-"
"""What the text begins with; the number is that of this format."""

CHECK_CHARACTERS = 8
INVITATION_CHARACTERS_MAX = 4096


class Invitation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may join what, and where.

    Attributes:
        enterprise: Whom it is for.
        founding: Digest of the founding trust file: with it the newcomer checks everything else.
        host: Where the hub is.
        leaf_port: For the link between the servers.
        office_port: Where it answers about membership.
        root_pem: What the hub's certificate chains to.
        secret: Whoever shows it may apply.
        expires: After this it opens nothing.
    """

    consortium: EnterpriseName
    enterprise: EnterpriseName
    founding: HexDigest
    host: str
    leaf_port: PositiveCount
    office_port: PositiveCount
    root_pem: str
    secret: Bytes32
    expires: InstantText


def invitation_text(invitation: Invitation) -> str:
    """Return the invitation as one word, with a checksum."""
    body = base64.urlsafe_b64encode(msgspec.json.encode(invitation)).decode().rstrip("=")
    return f"{MARK}{_check(body)}{body}"


def parse_invitation(text: str) -> Invitation:
    """Return what an invitation says.

    Raises:
        UsageError: Not one, or not copied whole.
    """
    word = "".join(text.split())
    body = word[len(MARK) + CHECK_CHARACTERS :]
    is_whole = word == f"{MARK}{_check(body)}{body}" and len(word) <= INVITATION_CHARACTERS_MAX
    if not is_whole:
        sentence = f"This is no invitation, or not all of it; copy all from '{MARK}' on."
        raise UsageError("membership.invitation.broken", sentence)
    try:
        raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        return msgspec.json.decode(raw, type=Invitation)
    except (*UNREADABLE, ValueError) as error:
        sentence = f"This invitation was written by another release ({error}); install that one."
        raise UsageError("membership.invitation.other-release", sentence) from error


def _check(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:CHECK_CHARACTERS]
