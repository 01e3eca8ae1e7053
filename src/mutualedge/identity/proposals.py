"""The next version of a trust file, as everybody who agrees to it writes it."""

import msgspec

from mutualedge.errors import UsageError
from mutualedge.identity.members import MEASUREMENTS_MAX, Consortium, Member, TrustFile
from mutualedge.model import Digest, EnterpriseId
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


def with_measurement(consortium: Consortium, measurement: Digest) -> TrustFile:
    """Return the version after this one, which accepts runners of one more measurement.

    Raises:
        UsageError: They are accepted already, or too many are.
    """
    known = consortium.trust.runner_measurements
    if measurement in known:
        sentence = f"Runners measured {measurement} are accepted already; run 'mutualedge renew'."
        raise UsageError("identity.measurement.known", sentence)
    if len(known) >= MEASUREMENTS_MAX:
        sentence = f"{MEASUREMENTS_MAX} measurements are accepted already; take old ones out first."
        raise UsageError("identity.measurement.full", sentence)
    accepted = tuple(sorted((*known, measurement)))
    return _next(consortium, consortium.trust.members, accepted)


def _cards(consortium: Consortium) -> dict[EnterpriseId, Envelope]:
    names = (member.enterprise for member in consortium.members)
    return dict(zip(names, consortium.trust.members, strict=True))


def _next(
    consortium: Consortium,
    cards: tuple[Envelope, ...],
    measurements: tuple[Digest, ...] | None = None,
) -> TrustFile:
    return msgspec.structs.replace(
        consortium.trust,
        version=consortium.trust.version + 1,
        previous=consortium.digest,
        members=cards,
        runner_measurements=measurements or consortium.trust.runner_measurements,
    )
