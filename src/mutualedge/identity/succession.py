"""From one version of the trust file to the next: who may change what, and with whose consent."""

from collections.abc import Set as AbstractSet

from mutualedge.errors import PeerError
from mutualedge.identity.members import (
    Consortium,
    TrustFile,
    belongings,
    parse_trust,
    supermajority,
)
from mutualedge.model import EnterpriseId, KeyId
from mutualedge.signing import Envelope, key_id_of, parse_canonical, valid_signers

FIXED = (
    "consortium",
    "assurance",
    "writer_key",
    "witness_name",
    "witness_key",
    "hub_account",
    "attestation_root",
)
"""Fields that no version changes: whoever wants others founds another consortium."""


def verify_successor(envelope: Envelope, consortium: Consortium) -> Consortium:
    """Return the next version of a consortium, if its members so far adopted it.

    Members may come and go and the runner's measurements may change. A member that stays keeps its
    card to the byte; one that comes consents by its signed card; one that came back has the card
    it had. To leave takes nobody's consent but one's own.

    Args:
        envelope: The new file, signed by members of the version before, and nobody else.
        consortium: The version before, which knows all those before it.

    Raises:
        PeerError: Not the next version, something else changed, a card is unsigned, nobody stays,
            a name, key or platform was another member's, or too few signed.
    """
    trust = parse_canonical(envelope.payload, TrustFile)
    _refuse_misplaced(trust, consortium)
    _refuse_fixed_changed(trust, consortium.trust)
    _refuse_too_few(envelope, trust, consortium)
    adopted = parse_trust(envelope)
    _refuse_other_cards(adopted, consortium)
    if not any(consortium.has(each.enterprise) for each in adopted.members):
        sentence = "No member of the version before stays; found another consortium instead."
        raise PeerError("identity.trust.nobody-stays", sentence)
    return Consortium(trust, envelope, adopted.members, consortium)


def has_quorum(envelope: Envelope, consortium: Consortium) -> bool:
    """Tell whether more than two thirds of a version's members signed a file."""
    return len(_signers(envelope, consortium)) >= supermajority(len(consortium.members))


def leavers(consortium: Consortium, adopted: Consortium) -> tuple[EnterpriseId, ...]:
    """Return who is a member of the first version and not of the second."""
    return tuple(each.enterprise for each in consortium.members if not adopted.has(each.enterprise))


def _refuse_misplaced(trust: TrustFile, consortium: Consortium) -> None:
    version = consortium.trust.version
    if trust.version != version + 1:
        sentence = f"The file is version {trust.version}; after {version} comes {version + 1}."
        raise PeerError("identity.trust.version", sentence)
    if trust.previous != consortium.digest:
        sentence = (
            f"The file follows {trust.previous[:16]}, but version {version} is "
            f"{consortium.digest[:16]}; make it from that one."
        )
        raise PeerError("identity.trust.previous", sentence)


def _refuse_fixed_changed(trust: TrustFile, before: TrustFile) -> None:
    changed = [name for name in FIXED if getattr(trust, name) != getattr(before, name)]
    if changed:
        sentence = f"A later version cannot change {', '.join(changed)}; found another consortium."
        raise PeerError("identity.trust.fixed", sentence)


def _refuse_other_cards(adopted: Consortium, consortium: Consortium) -> None:
    """Refuse a second card under a name that had one, and what belonged to another name."""
    cards = consortium.signed_cards
    owners = {
        each: member.enterprise for member in consortium.everyone for each in belongings(member)
    }
    for member, card in zip(adopted.members, adopted.trust.members, strict=True):
        name = member.enterprise
        if cards.get(name, card) != card:
            sentence = f"'{name}' has another card already; a name keeps its card to the byte."
            raise PeerError("identity.trust.card", sentence)
        taken = [owners[each] for each in belongings(member) if owners.get(each, name) != name]
        if taken:
            sentence = f"A key or the platform of '{name}' was one of '{taken[0]}'; make new ones."
            raise PeerError("identity.trust.reused", sentence)


def _is_leaving_alone(
    trust: TrustFile, consortium: Consortium, signers: AbstractSet[KeyId]
) -> bool:
    """Tell whether all that changes is that members leave who signed it: nobody can be kept."""
    before = consortium.trust
    gone = [card not in trust.members for card in before.members]
    left = [member for member, is_gone in zip(consortium.members, gone, strict=True) if is_gone]
    stay = tuple(card for card, is_gone in zip(before.members, gone, strict=True) if not is_gone)
    return (
        any(gone)
        and trust.members == stay
        and trust.runner_measurements == before.runner_measurements
        and {key_id_of(member.enterprise_key) for member in left} <= signers
    )


def _signers(envelope: Envelope, consortium: Consortium) -> set[KeyId]:
    members = consortium.members
    keys = {key_id_of(each.enterprise_key): each.enterprise_key for each in members}
    return set(valid_signers(envelope, keys))


def _refuse_too_few(envelope: Envelope, trust: TrustFile, consortium: Consortium) -> None:
    signers, needed = _signers(envelope, consortium), supermajority(len(consortium.members))
    if len(signers) != len(envelope.signatures):
        sentence = "A signature on the file is not a member's, or stands twice; take it off."
        raise PeerError("identity.trust.signature", sentence)
    if len(signers) < needed and not _is_leaving_alone(trust, consortium, signers):
        sentence = (
            f"{len(signers)} members of version {consortium.trust.version} signed its successor; "
            f"{needed} must."
        )
        raise PeerError("identity.trust.quorum", sentence)
