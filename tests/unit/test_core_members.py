"""The trust file: who belongs, whose card it is, and how many must have signed."""

from collections.abc import Sequence

import msgspec
import pytest

from mutualedge.errors import PeerError
from mutualedge.identity import Consortium, Member, TrustFile, supermajority, verify_trust
from mutualedge.model import EnterpriseId
from mutualedge.signing import Envelope, SigningKey, parse_canonical, sign_record
from tests.simulation.founding import found, seed_of

NAMES = ("candy", "forge", "mill")


def enterprise_key(name: str) -> SigningKey:
    return SigningKey(seed_of(name, "enterprise"))


def trust_file() -> TrustFile:
    return parse_canonical(found(NAMES).trust.payload, TrustFile)


def signed_by(trust: TrustFile, names: Sequence[str]) -> Envelope:
    return sign_record(trust, *map(enterprise_key, names))


def code_of(envelope: Envelope) -> str:
    with pytest.raises(PeerError) as refused:
        verify_trust(envelope)
    return refused.value.code


def with_cards(cards: Sequence[Envelope]) -> Envelope:
    return signed_by(msgspec.structs.replace(trust_file(), members=tuple(cards)), NAMES)


def test_a_trust_file_that_all_signed_is_the_consortium() -> None:
    """Members are found by name, with the keys their own cards delegate."""
    consortium = verify_trust(signed_by(trust_file(), NAMES))
    assert [member.enterprise for member in consortium.members] == list(NAMES)
    forge = consortium.member(EnterpriseId("forge"))
    assert forge.enterprise_key == enterprise_key("forge").public_bytes
    assert consortium.log_origin(forge.enterprise) == "simulated.mutualedge/forge/log"
    assert consortium.witness_name(forge.enterprise) == "simulated.mutualedge/forge/witness"


@pytest.mark.parametrize(
    ("members", "needed"),
    [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (9, 7), (64, 43)],
)
def test_more_than_two_thirds_is_meant_strictly(members: int, needed: int) -> None:
    """Exactly two thirds is not enough, and one more is."""
    assert supermajority(members) == needed
    assert 3 * needed > 2 * members >= 3 * (needed - 1)


@pytest.mark.parametrize("signers", [(), ("candy",), ("candy", "forge"), ("candy", "candy", "x")])
def test_too_few_signatures_found_nothing(signers: tuple[str, ...]) -> None:
    """Two of three is two thirds, which is not more; strangers and repeats do not count."""
    assert code_of(signed_by(trust_file(), signers)) == "identity.trust.quorum"


def test_a_repeated_signature_counts_once() -> None:
    """The same member's signature, copied, makes no majority."""
    envelope = signed_by(trust_file(), ("candy", "forge"))
    copied = msgspec.structs.replace(envelope, signatures=(*envelope.signatures,) * 2)
    assert code_of(copied) == "identity.trust.quorum"


def test_a_card_needs_its_own_signature() -> None:
    """Nobody delegates keys in another enterprise's name, not even all others together."""
    cards = list(trust_file().members)
    member = parse_canonical(cards[1].payload, Member)
    cards[1] = sign_record(member, enterprise_key("candy"), enterprise_key("mill"))
    assert code_of(with_cards(cards)) == "signing.envelope.unsigned"


def test_an_altered_card_is_refused() -> None:
    """One other settlement key in a card, and its signature is gone."""
    cards = list(trust_file().members)
    member = parse_canonical(cards[1].payload, Member)
    swapped = msgspec.structs.replace(member, settlement_key=bytes(32))
    unsigned = sign_record(swapped)
    cards[1] = msgspec.structs.replace(unsigned, signatures=cards[1].signatures)
    assert code_of(with_cards(cards)) == "signing.envelope.unsigned"


@pytest.mark.parametrize("order", [(0, 0, 1, 2), (1, 0, 2)])
def test_each_member_stands_once_in_order(order: tuple[int, ...]) -> None:
    """A member listed twice would vote twice; another order would be another file."""
    cards = trust_file().members
    assert code_of(with_cards([cards[index] for index in order])) == "identity.trust.members"


def test_one_key_cannot_serve_two_members() -> None:
    """A second name under the same keys is refused: it would be a second vote."""
    cards = list(trust_file().members)
    forge = parse_canonical(cards[1].payload, Member)
    alias = msgspec.structs.replace(forge, enterprise=EnterpriseId("forge-two"))
    cards.insert(2, sign_record(alias, enterprise_key("forge")))
    assert code_of(with_cards(cards)) == "identity.trust.shared"


def test_only_a_first_version_founds() -> None:
    """A later version stands on those before it and cannot be believed by itself."""
    later = msgspec.structs.replace(trust_file(), version=2)
    assert code_of(signed_by(later, NAMES)) == "identity.trust.founding"
    followed = msgspec.structs.replace(trust_file(), previous="ab" * 32)
    assert code_of(signed_by(followed, NAMES)) == "identity.trust.founding"


def test_a_stranger_is_no_member() -> None:
    """Asking for somebody who is not in the file ends in a code, not in a default."""
    consortium: Consortium = found(NAMES).consortium
    with pytest.raises(PeerError) as refused:
        consortium.member(EnterpriseId("quarry"))
    assert refused.value.code == "identity.member.unknown"
