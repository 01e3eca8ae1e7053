"""What is said about who joins: invitation, application, approval. Data only."""

from typing import Annotated

import msgspec

from mutualedge.model import (
    Bytes32,
    EnterpriseName,
    HexDigest,
    InstantText,
    PositiveCount,
)
from mutualedge.signing import Envelope

INVITATIONS_MAX = 3
"""Newcomers that one member may have invited at once: below a third of them fill no office."""

APPLICATIONS_MAX = 64
"""Enterprises that may wait for approval at once; above a third of 64 members, three times."""

APPLICATION_BYTES_MAX = 128 << 10
"""A leave has under 1 KiB, and 65 of them are in the largest application."""

APPROVERS_MAX = 64
"""As many as a consortium has members."""

Pem = Annotated[str, msgspec.Meta(max_length=4096)]
Activation = Annotated[str, msgspec.Meta(max_length=16_384)]
Activations = Annotated[
    dict[EnterpriseName, Activation], msgspec.Meta(max_length=APPROVERS_MAX + 1)
]
RELEASE_PATTERN = r"^[ -~]{1,64}\Z"
Release = Annotated[str, msgspec.Meta(pattern=RELEASE_PATTERN)]
Approvers = Annotated[tuple[EnterpriseName, ...], msgspec.Meta(max_length=APPROVERS_MAX)]


class InviteOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member opens the office's door for one enterprise; under its settlement key.

    Attributes:
        secret_digest: SHA-256 of what the newcomer must show; the secret itself travels in the
            invitation, from member to newcomer.
        expires: After this the secret opens nothing.
        at: When it was signed: an old order is refused.
    """

    enterprise: EnterpriseName
    newcomer: EnterpriseName
    secret_digest: HexDigest
    expires: InstantText
    at: InstantText


class Application(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who wants to join, under the enterprise key of its own card.

    Attributes:
        card: Its signed ``identity.Member``.
        release: Version of the software it runs.
        measurement: What its runner is measured as.
        tls_public_key_pem: To be certified for the link to the hub.
        activations: Its leave to call it, for the hub and each member, by name.
    """

    card: Envelope
    release: Release
    measurement: HexDigest
    tls_public_key_pem: Pem
    activations: Activations


class ListOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member asks for what only members may see; under its settlement key."""

    enterprise: EnterpriseName
    at: InstantText


class Admission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Somebody joins; with it the approver's leave for the newcomer to call it."""

    newcomer: EnterpriseName
    activation: Activation


class ReleaseAccepted(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """Runners of one more release are believed: of this version, measured like this."""

    release: Release
    measurement: HexDigest


Change = Admission | ReleaseAccepted
"""What a next trust file changes, and what goes with it."""


class ApprovalOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member approves a change; under its settlement key.

    Attributes:
        change: What for.
        trust: The next trust file, under its enterprise key.
    """

    enterprise: EnterpriseName
    change: Change
    trust: Envelope
    at: InstantText


class RenewOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member wants what expires anew; under its settlement key.

    Attributes:
        measurement: What its runner is measured as by now.
        tls_public_key_pem: To be certified for the link to the hub.
        activations: Its leave to call it, by name, for as long as credentials last.
    """

    enterprise: EnterpriseName
    measurement: HexDigest
    tls_public_key_pem: Pem
    activations: Activations
    at: InstantText


class Credentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the office issues to a member.

    Attributes:
        certificate_pem: For the link to the hub.
        platform: Secret of its simulated machine, handed to its runner.
        collateral: Endorsements for that machine's evidence.
    """

    certificate_pem: Pem
    platform: bytes
    collateral: bytes


class Invite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """An ``InviteOrder``."""

    order: Envelope


class Apply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """An ``Application``, with the secret of an invitation."""

    secret: Bytes32
    application: Envelope


class AskConsortium(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """Whoever holds an invitation: what is the founding trust file, and whom would I join?"""

    secret: Bytes32


class ConsortiumShown(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """The founding trust file and the one that counts now."""

    founding: Envelope
    trust: Envelope


class AskProgress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """How far is my application?"""

    secret: Bytes32


class Progress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Who approved, how many must, and whether the ledger adopted it.

    No more: whoever invited knows the secret too. For ledger and credentials the newcomer signs.
    """

    approved: Approvers
    needed: PositiveCount
    is_admitted: bool


class AskLedger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """The ledger's blocks from a height on, with a ``ListOrder`` of who is or was a member.

    Who was one gets them up to the block that let it go.
    """

    order: Envelope
    from_height: PositiveCount


class AskApplications(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True
):
    """A ``ListOrder``."""

    order: Envelope


class Applied(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose application waits, by its signed card, and who approved it so far."""

    card: Envelope
    approved: Approvers


class ReleaseWaiting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A release that not enough members approved yet, and who did."""

    release: Release
    measurement: HexDigest
    approved: Approvers


class Applications(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Who and what waits, and the trust file that it would be added to."""

    trust: Envelope
    waiting: Annotated[tuple[Applied, ...], msgspec.Meta(max_length=APPLICATIONS_MAX)]
    releases: Annotated[tuple[ReleaseWaiting, ...], msgspec.Meta(max_length=APPROVERS_MAX)]


class Approve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """An ``ApprovalOrder``."""

    order: Envelope


class Approved(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Who approved, how many must, and the next trust file once enough signed it."""

    approved: Approvers
    needed: PositiveCount
    trust: Envelope | None


class Renew(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """A ``RenewOrder``."""

    order: Envelope


class Renewed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """What the office issued anew."""

    credentials: Credentials


EnrolmentRequest = (
    Invite | Apply | AskConsortium | AskProgress | AskLedger | AskApplications | Approve | Renew
)
EnrolmentReply = ConsortiumShown | Progress | Applications | Approved | Renewed
