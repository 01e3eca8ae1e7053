"""From version to version of the trust file: what may change, and who must have agreed."""

import msgspec
import pytest

from mutualedge.errors import PeerError, UsageError
from mutualedge.identity import (
    MEASUREMENTS_MAX,
    Consortium,
    leavers,
    parse_trust,
    verify_successor,
    with_measurement,
)
from mutualedge.model import ZERO_DIGEST, AssuranceLevel, Digest, EnterpriseId
from mutualedge.signing import Envelope, countersign, sign_record
from tests.unit.ledger_world import (
    ACME,
    BOLT,
    CORD,
    DUNE,
    ERGO,
    NAMES,
    card,
    consortium,
    enterprise_key,
    key,
    member,
    successor,
)


def refusal_of(envelope: Envelope, before: Consortium) -> PeerError:
    with pytest.raises(PeerError) as refused:
        verify_successor(envelope, before)
    return refused.value


def card_like(name: EnterpriseId, **changes: object) -> Envelope:
    return sign_record(msgspec.structs.replace(member(name), **changes), enterprise_key(name))


def with_card(changed: Envelope, *names: EnterpriseId) -> Envelope:
    """Return a successor whose last member, in order, has this card."""
    cards = (*(card(name) for name in sorted(names)), changed)
    return successor(consortium(), changes={"members": cards})


def test_members_come_and_go_and_are_remembered() -> None:
    """Three of four sign in a fifth and let one of themselves go; its card is still known."""
    envelope = successor(consortium(), ACME, BOLT, CORD, ERGO, signers=(ACME, BOLT, DUNE))
    adopted = verify_successor(envelope, consortium())
    assert [each.enterprise for each in adopted.members] == [ACME, BOLT, CORD, ERGO]
    assert leavers(consortium(), adopted) == (DUNE,)
    assert adopted.has(ERGO)
    assert not adopted.has(DUNE)
    assert adopted.card(DUNE) == member(DUNE)
    assert [each.enterprise for each in adopted.everyone] == [*NAMES, ERGO]
    with pytest.raises(PeerError, match=r"identity\.member\.unknown"):
        adopted.member(DUNE)
    assert adopted.digest == envelope.payload_digest
    assert adopted.envelope == envelope


def test_measurements_change_alone() -> None:
    """A new release of the runner needs no other change, and the votes all the same."""
    measured = (Digest("ab" * 32), Digest("cd" * 32))
    adopted = verify_successor(
        successor(consortium(), *NAMES, changes={"runner_measurements": measured}), consortium()
    )
    assert adopted.trust.runner_measurements == measured
    assert adopted.members == consortium().members


@pytest.mark.parametrize("version", [1, 3])
def test_versions_follow_one_by_one(version: int) -> None:
    """Neither the same version again nor one further."""
    refused = refusal_of(
        successor(consortium(), *NAMES, changes={"version": version}), consortium()
    )
    assert refused.code == "identity.trust.version"
    assert "after 1 comes 2" in refused.sentence


def test_a_version_names_the_one_before() -> None:
    """A successor of another file is none of this one."""
    for previous in (ZERO_DIGEST, Digest("ab" * 32)):
        refused = refusal_of(
            successor(consortium(), *NAMES, changes={"previous": previous}), consortium()
        )
        assert refused.code == "identity.trust.previous"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("consortium", EnterpriseId("other")),
        ("assurance", AssuranceLevel.ENCLAVE),
        ("writer_key", bytes(32)),
        ("witness_name", "another"),
        ("witness_key", bytes(32)),
        ("attestation_root", b"another root"),
    ],
)
def test_what_everything_stands_on_stays(field: str, value: object) -> None:
    """The refusal names the field that differs."""
    refused = refusal_of(successor(consortium(), *NAMES, changes={field: value}), consortium())
    assert refused.code == "identity.trust.fixed"
    assert field in refused.sentence


@pytest.mark.parametrize("signers", [(ACME, BOLT), (ACME, BOLT, BOLT), ()])
def test_more_than_two_thirds_of_those_before_sign(signers: tuple[EnterpriseId, ...]) -> None:
    """Two of four are too few, whoever is asked twice."""
    refused = refusal_of(successor(consortium(), *NAMES, signers=signers), consortium())
    assert refused.code == "identity.trust.quorum"


def test_nobody_can_be_kept() -> None:
    """To leave takes one's own signature alone, as long as nothing else changes."""
    alone = successor(consortium(), ACME, BOLT, CORD, signers=(DUNE,))
    assert leavers(consortium(), verify_successor(alone, consortium())) == (DUNE,)
    two = successor(consortium(), ACME, BOLT, signers=(CORD, DUNE))
    assert leavers(consortium(), verify_successor(two, consortium())) == (CORD, DUNE)


@pytest.mark.parametrize(
    ("names", "signers", "changes"),
    [
        ((ACME, BOLT, CORD), (CORD,), {}),
        ((ACME, BOLT), (DUNE,), {}),
        ((ACME, BOLT, CORD, ERGO), (DUNE,), {}),
        ((ACME, BOLT, CORD), (DUNE,), {"runner_measurements": (Digest("cd" * 32),)}),
    ],
    ids=["another leaves", "one more leaves", "one comes", "measurements change"],
)
def test_who_leaves_changes_nothing_else(
    names: tuple[EnterpriseId, ...],
    signers: tuple[EnterpriseId, ...],
    changes: dict[str, object],
) -> None:
    """Under the leaver's signature alone nobody else goes, comes or trusts another runner."""
    envelope = successor(consortium(), *names, signers=signers, changes=changes)
    assert refusal_of(envelope, consortium()).code == "identity.trust.quorum"


def test_joiners_do_not_vote() -> None:
    """Whoever comes consents by its card; its signature on the file is nobody's."""
    refused = refusal_of(
        successor(consortium(), *NAMES, ERGO, signers=(ACME, BOLT, ERGO)), consortium()
    )
    assert refused.code == "identity.trust.signature"


def test_a_copied_signature_is_refused() -> None:
    """What stands twice was put there by somebody."""
    envelope = successor(consortium(), *NAMES)
    twice = (*envelope.signatures, envelope.signatures[0])
    copied = msgspec.structs.replace(envelope, signatures=twice)
    assert refusal_of(copied, consortium()).code == "identity.trust.signature"


def test_a_card_in_anothers_name_is_refused() -> None:
    """A joiner has consented only if its own enterprise key signed."""
    forged = sign_record(member(ERGO), *map(enterprise_key, NAMES))
    refused = refusal_of(with_card(forged, *NAMES), consortium())
    assert refused.code == "signing.envelope.unsigned"


@pytest.mark.parametrize(
    "changes",
    [{"settlement_key": key("new").public_bytes}, {"platform": "ab" * 16}, {"node": "dune-2"}],
)
def test_who_stays_keeps_its_card(changes: dict[str, object]) -> None:
    """No vote gives a member other keys: what was signed with the old ones must stay provable."""
    refused = refusal_of(with_card(card_like(DUNE, **changes), ACME, BOLT, CORD), consortium())
    assert refused.code == "identity.trust.card"
    assert "'dune'" in refused.sentence


def test_a_card_signed_again_is_another_card() -> None:
    """To the byte: a signature added to a card is a change too."""
    signed_twice = countersign(card(DUNE), key("stranger"))
    refused = refusal_of(with_card(signed_twice, ACME, BOLT, CORD), consortium())
    assert refused.code == "identity.trust.card"


@pytest.mark.parametrize("shared", ["node_key", "settlement_key", "log_key", "witness_key"])
def test_no_key_serves_two(shared: str) -> None:
    """Neither two members of one file nor one who left and one who comes."""
    lent = key("settlement of dune").public_bytes
    borrowed = card_like(ERGO, **{shared: lent})
    assert refusal_of(with_card(borrowed, *NAMES), consortium()).code == "identity.trust.shared"
    refused = refusal_of(with_card(borrowed, ACME, BOLT, CORD), consortium())
    assert refused.code == "identity.trust.reused"


def test_no_platform_serves_two() -> None:
    """One machine under two names could lend the same hour twice."""
    refused = refusal_of(
        with_card(card_like(ERGO, platform=member(DUNE).platform), *NAMES), consortium()
    )
    assert refused.code == "identity.trust.shared"


def test_somebody_stays() -> None:
    """A consortium handed over to strangers as a whole is another one."""
    refused = refusal_of(successor(consortium(), ERGO), consortium())
    assert refused.code == "identity.trust.nobody-stays"


def test_a_name_has_one_card_for_ever() -> None:
    """Who left comes back as itself; nobody else gets its name, its account and its log."""
    without = verify_successor(successor(consortium(), ACME, BOLT, CORD), consortium())
    back = verify_successor(successor(without, *NAMES), without)
    assert back.members == consortium().members
    other = card_like(DUNE, log_key=key("another log").public_bytes)
    cards = (*(card(name) for name in (ACME, BOLT, CORD)), other)
    assert (
        refusal_of(successor(without, changes={"members": cards}), without).code
        == "identity.trust.card"
    )


def test_a_runner_reads_a_file_without_knowing_who_adopted_it() -> None:
    """Cards are checked, votes are not; the digest is what its peers compare."""
    envelope = successor(consortium(), ACME, ERGO, signers=())
    assert parse_trust(envelope).digest == envelope.payload_digest
    forged = sign_record(member(ERGO), enterprise_key(ACME))
    with pytest.raises(PeerError, match=r"signing\.envelope\.unsigned"):
        parse_trust(with_card(forged, *NAMES))


def test_so_many_releases_are_accepted_and_no_more() -> None:
    """The trust file stays within its bound; the refusal says what to do."""
    measurement = Digest("cd" * 32)
    assert measurement in with_measurement(consortium(), measurement).runner_measurements
    many = tuple(Digest(f"{number:064x}") for number in range(MEASUREMENTS_MAX))
    full = parse_trust(successor(consortium(), *NAMES, changes={"runner_measurements": many}))
    with pytest.raises(UsageError) as refused:
        with_measurement(full, measurement)
    assert refused.value.code == "identity.measurement.full"
