"""The next version of a trust file, as everybody who agrees to it writes it."""

import msgspec

from mutualedge.errors import UsageError
from mutualedge.identity.members import Consortium, Member, TrustFile
from mutualedge.model import EnterpriseId
from mutualedge.signing import Envelope, parse_canonical


def with_member(consortium: Consortium, card: Envelope) -> TrustFile:
    """Return the version after this one, with one more member.

    Raises:
        PeerError: The card cannot be read.
        UsageError: It is of a member already.
    """
    newcomer = parse_canonical(card.payload, Member).enterprise
    if consortium.has(newcomer):
        sentence = f"'{newcomer}' is a member already; nothing is to be approved."
        raise UsageError("identity.member.known", sentence)
    cards = _cards(consortium) | {newcomer: card}
    return _next(consortium, tuple(cards[name] for name in sorted(cards)))


def without_member(consortium: Consortium, enterprise: EnterpriseId) -> TrustFile:
    """Return the version after this one, with one member less.

    Raises:
        PeerError: It is no member.
        UsageError: It is the last one.
    """
    consortium.member(enterprise)
    cards = tuple(card for name, card in _cards(consortium).items() if name != enterprise)
    if not cards:
        sentence = f"'{enterprise}' is the last member; stop the processes and keep their folders."
        raise UsageError("identity.member.last", sentence)
    return _next(consortium, cards)


def _cards(consortium: Consortium) -> dict[EnterpriseId, Envelope]:
    names = (member.enterprise for member in consortium.members)
    return dict(zip(names, consortium.trust.members, strict=True))


def _next(consortium: Consortium, cards: tuple[Envelope, ...]) -> TrustFile:
    return msgspec.structs.replace(
        consortium.trust,
        version=consortium.trust.version + 1,
        previous=consortium.digest,
        members=cards,
    )
