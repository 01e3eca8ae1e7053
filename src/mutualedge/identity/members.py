"""Who is in the consortium: each enterprise's card of delegated keys, and the trust file."""

from typing import Annotated

import msgspec

from mutualedge.errors import PeerError
from mutualedge.model import (
    ZERO_DIGEST,
    AssuranceLevel,
    Bytes32,
    Digest,
    EnterpriseId,
    EnterpriseName,
    HexDigest,
    KeyId,
    NodeName,
    PositiveCount,
)
from mutualedge.signing import Envelope, key_id_of, parse_canonical, valid_signers, verify_record

BusAccount = Annotated[str, msgspec.Meta(pattern=r"^A[A-Z2-7]{55}\Z")]
"""Public key of an account on the bus, as NATS writes it."""

HUB = EnterpriseId("hub")
"""What the hub is called among the members; none of them may have this name."""

MEMBERS_MAX = 64
"""Members of one consortium; above it, pairwise imports and witnesses grow too many."""

MEASUREMENTS_MAX = 64
"""Releases of the runner that may be accepted at once."""


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys an enterprise delegates, each for one purpose, under its own signature.

    Attributes:
        enterprise_key: Offline key; signs this card and consortium changes, nothing daily.
        node_key: Signs placements and refusals of the node.
        settlement_key: Signs agreements, vouchers, statements, ledger commands, block roots.
        log_key: Signs checkpoints of the enterprise's usage log.
        witness_key: Cosigns the checkpoints of others.
        account: Its account on the bus: who calls under it is this enterprise.
        platform: Identity of the node's machine, registered by its owner (here the SGX PPID).
    """

    enterprise: EnterpriseName
    node: NodeName
    enterprise_key: Bytes32
    node_key: Bytes32
    settlement_key: Bytes32
    log_key: Bytes32
    witness_key: Bytes32
    account: BusAccount
    platform: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


class TrustFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What everyone in one consortium agrees to rely on; signed by more than two thirds.

    Attributes:
        version: 1 when founded; grows by one with each change that the ledger adopts.
        previous: Digest of the version before; zeros in the founding one.
        assurance: Weakest level any session of this consortium may have.
        members: Signed cards, sorted by enterprise name.
        writer_key: Key of the ledger writer, signs blocks.
        witness_name: Note name of the hub's witness.
        witness_key: Key of the hub's witness.
        hub_account: The hub's account on the bus.
        attestation_root: DER of the root certificate that evidence must chain to.
        runner_measurements: Accepted measurements (MRENCLAVE) of the runner.
    """

    consortium: EnterpriseName
    version: PositiveCount
    previous: HexDigest
    assurance: AssuranceLevel
    members: Annotated[tuple[Envelope, ...], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)]
    writer_key: Bytes32
    witness_name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    witness_key: Bytes32
    hub_account: BusAccount
    attestation_root: Annotated[bytes, msgspec.Meta(max_length=8192)]
    runner_measurements: Annotated[
        tuple[HexDigest, ...], msgspec.Meta(min_length=1, max_length=MEASUREMENTS_MAX)
    ]


class Consortium:
    """A verified trust file with its members at hand, and those of every version before it.

    Attributes:
        trust: What its members agreed on.
        envelope: The signed file, for whoever must be told.
        digest: SHA-256 of the file's signed bytes: two parties with one digest rely on the same.
        members: Their cards, in order of their names.
        everyone: Cards of members of this or an earlier version; a name has one card for ever.
    """

    def __init__(
        self,
        trust: TrustFile,
        envelope: Envelope,
        members: tuple[Member, ...],
        before: "Consortium | None" = None,
    ) -> None:
        """Take what ``verify_trust`` or ``verify_successor`` verified; call those instead."""
        self.trust = trust
        self.envelope = envelope
        self.digest: Digest = envelope.payload_digest
        self.members = members
        self._by_name = {member.enterprise: member for member in members}
        earlier = () if before is None else before.everyone
        self._ever = {each.enterprise: each for each in (*earlier, *members)}
        self.everyone: tuple[Member, ...] = tuple(self._ever[name] for name in sorted(self._ever))
        signed = dict(zip(self._by_name, trust.members, strict=True))
        self._signed_cards = signed if before is None else before.signed_cards | signed

    @property
    def signed_cards(self) -> dict[EnterpriseId, Envelope]:
        """The signed card of everyone, by name."""
        return dict(self._signed_cards)

    def has(self, enterprise: EnterpriseId) -> bool:
        """Tell whether an enterprise is a member in this version."""
        return enterprise in self._by_name

    def member(self, enterprise: EnterpriseId) -> Member:
        """Return the card of a member.

        Raises:
            PeerError: No such member in this version of the trust file.
        """
        return self._find(self._by_name, enterprise)

    def card(self, enterprise: EnterpriseId) -> Member:
        """Return the card of a member of this or an earlier version.

        Raises:
            PeerError: No version up to this one has such a member.
        """
        return self._find(self._ever, enterprise)

    def _find(self, cards: dict[EnterpriseId, Member], enterprise: EnterpriseId) -> Member:
        found = cards.get(enterprise)
        if found is None:
            sentence = f"'{enterprise}' is not a member of consortium '{self.trust.consortium}'."
            raise PeerError("identity.member.unknown", sentence)
        return found

    @property
    def accounts(self) -> dict[EnterpriseId, str]:
        """Account on the bus of the hub and of each member."""
        return {HUB: self.trust.hub_account} | {m.enterprise: m.account for m in self.members}

    def log_origin(self, enterprise: EnterpriseId) -> str:
        """Return the checkpoint origin (note name) of a member's usage log."""
        return f"{self.trust.consortium}.mutualedge/{enterprise}/log"

    def witness_name(self, enterprise: EnterpriseId) -> str:
        """Return the note name under which a member cosigns."""
        return f"{self.trust.consortium}.mutualedge/{enterprise}/witness"


def supermajority(member_count: int) -> int:
    """Return the smallest number of members that is more than two thirds of them."""
    return 2 * member_count // 3 + 1


def verify_trust(envelope: Envelope) -> Consortium:
    """Return the consortium of a founding trust file that more than two thirds of it signed.

    Raises:
        PeerError: Not the first version, a card is unsigned or misplaced, a key or platform
            serves two members, or too few signed.
    """
    consortium = parse_trust(envelope)
    trust, members = consortium.trust, consortium.members
    if (trust.version, trust.previous) != (1, ZERO_DIGEST):
        sentence = f"This is version {trust.version} of a trust file; start from the founding one."
        raise PeerError("identity.trust.founding", sentence)
    keys: dict[KeyId, bytes] = {key_id_of(m.enterprise_key): m.enterprise_key for m in members}
    signed, needed = len(set(valid_signers(envelope, keys))), supermajority(len(members))
    if signed < needed:
        sentence = f"The trust file has {signed} members' signatures and needs {needed}."
        raise PeerError("identity.trust.quorum", sentence)
    return consortium


def parse_trust(envelope: Envelope) -> Consortium:
    """Return the consortium of any version whose cards are in order, whoever signed the file.

    For the runner, whose evidence names the file's digest: its peers know what they adopted, and
    talk to no runner that holds another.

    Raises:
        PeerError: A card is unsigned or misplaced, or a key or platform serves two members.
    """
    trust = parse_canonical(envelope.payload, TrustFile)
    members = tuple(_verify_card(card) for card in trust.members)
    names = [member.enterprise for member in members]
    if names != sorted(set(names)):
        sentence = "The trust file must list each member once, sorted by name."
        raise PeerError("identity.trust.members", sentence)
    if HUB in names:
        sentence = f"A member is called '{HUB}', as the hub is; it must have another name."
        raise PeerError("identity.trust.reserved", sentence)
    _refuse_shared(members)
    return Consortium(trust, envelope, members)


def belongings(member: Member) -> tuple[bytes | str, ...]:
    """Return what is this member's alone: its keys and its platform."""
    return (
        member.enterprise_key,
        member.node_key,
        member.settlement_key,
        member.log_key,
        member.witness_key,
        member.account,
        member.platform,
    )


def _refuse_shared(members: tuple[Member, ...]) -> None:
    owners: dict[bytes | str, EnterpriseId] = {}
    for member in members:
        for each in belongings(member):
            if each in owners:
                sentence = (
                    f"A key or the platform of '{member.enterprise}' is one of "
                    f"'{owners[each]}' already; each needs its own."
                )
                raise PeerError("identity.trust.shared", sentence)
            owners[each] = member.enterprise


def _verify_card(card: Envelope) -> Member:
    claimed = parse_canonical(card.payload, Member)
    return verify_record(card, Member, claimed.enterprise_key)
