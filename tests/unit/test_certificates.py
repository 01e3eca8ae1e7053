from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from mutualedge.errors import UsageError
from mutualedge.identity.certificates import (
    LEAF_LIFETIME_NS,
    Authority,
    SpiffeIdentity,
    create_authority,
    generate_private_key,
    issue_certificate,
    public_key_of,
)
from mutualedge.model import NS_PER_S
from mutualedge.signing import Entropy

NOW_NS = 1_800_000_000 * NS_PER_S
DAY_NS = 86_400 * NS_PER_S
BAKERY = SpiffeIdentity(consortium="valley", enterprise="bakery", role="leaf")
KEY = generate_private_key(Entropy(b"k" * 32))


def authority(consortium: str = "valley", seed: bytes = b"a" * 32) -> Authority:
    return create_authority(consortium, entropy=Entropy(seed), now_ns=NOW_NS)


def issue(root: Authority, identity: SpiffeIdentity = BAKERY, *, now_ns: int = NOW_NS) -> bytes:
    return issue_certificate(
        root, public_key_pem=public_key_of(KEY), identity=identity, now_ns=now_ns
    )


def verify(root: Authority, leaf: bytes, at_ns: int = NOW_NS) -> list[x509.GeneralName]:
    store = Store([x509.load_pem_x509_certificate(root.certificate_pem)])
    moment = datetime.fromtimestamp(at_ns // NS_PER_S, UTC)
    verifier = PolicyBuilder().store(store).time(moment).build_client_verifier()
    return verifier.verify(x509.load_pem_x509_certificate(leaf), []).subjects or []


def test_an_issued_certificate_names_its_holder_and_chains_to_the_root() -> None:
    """An independent verifier accepts it and reads the SPIFFE id and the loopback names."""
    uri, *hosts = verify(authority(), issue(authority()))
    assert uri.value == "spiffe://valley/bakery/leaf"
    assert [str(host.value) for host in hosts] == ["localhost", "127.0.0.1"]


@pytest.mark.parametrize("at_ns", [NOW_NS - 3600 * NS_PER_S, NOW_NS + LEAF_LIFETIME_NS + NS_PER_S])
def test_a_certificate_is_good_for_a_week_only(at_ns: int) -> None:
    """Before its issue and after its end it does not verify."""
    with pytest.raises(VerificationError):
        verify(authority(), issue(authority()), at_ns)


def test_a_certificate_of_another_root_does_not_verify() -> None:
    """The same name over another key is another consortium."""
    with pytest.raises(VerificationError):
        verify(authority(), issue(authority(seed=b"b" * 32)))


def test_a_certificate_cannot_issue() -> None:
    """A holder cannot sign for others: what it issues does not chain to the root."""
    held = Authority(certificate_pem=issue(authority()), private_key_pem=KEY)
    leaf = x509.load_pem_x509_certificate(held.certificate_pem)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    with pytest.raises(UsageError) as caught:
        issue(held)
    assert caught.value.code == "identity.certificate.consortium"


def test_the_same_arguments_give_the_same_bytes() -> None:
    """Keys, serial numbers and signatures draw nothing from the machine."""
    assert authority() == authority()
    assert issue(authority()) == issue(authority())


def test_keys_and_serial_numbers_differ_from_draw_to_draw() -> None:
    """One entropy gives a new key each time; one key gets a new serial number each second."""
    entropy = Entropy(b"k" * 32)
    assert generate_private_key(entropy) != generate_private_key(entropy)
    serials = {
        x509.load_pem_x509_certificate(issue(authority(), now_ns=now_ns)).serial_number
        for now_ns in (NOW_NS, NOW_NS + NS_PER_S)
    }
    assert len(serials) == 2
    assert all(0 < serial < 1 << 159 for serial in serials)


def test_a_certificate_never_outlives_its_root() -> None:
    """Asked for longer, it ends with the root; after the root's end none is issued."""
    root = create_authority("valley", entropy=Entropy(b"a" * 32), now_ns=NOW_NS, lifetime_ns=DAY_NS)
    leaf = x509.load_pem_x509_certificate(issue(root))
    end = x509.load_pem_x509_certificate(root.certificate_pem).not_valid_after_utc
    assert leaf.not_valid_after_utc == end
    with pytest.raises(UsageError) as caught:
        issue(root, now_ns=NOW_NS + DAY_NS)
    assert caught.value.code == "identity.certificate.lifetime"


@pytest.mark.parametrize(
    ("identity", "code"),
    [
        (replace(BAKERY, consortium="alps"), "identity.certificate.consortium"),
        (replace(BAKERY, enterprise="Bakery"), "identity.spiffe.malformed"),
        (replace(BAKERY, enterprise="bakery/node"), "identity.spiffe.malformed"),
        (replace(BAKERY, role=""), "identity.spiffe.malformed"),
    ],
)
def test_an_authority_issues_only_for_its_own_consortium(
    identity: SpiffeIdentity, code: str
) -> None:
    """Foreign and malformed identities are refused before anything is signed."""
    with pytest.raises(UsageError) as caught:
        issue(authority(), identity)
    assert caught.value.code == code


def test_only_p256_keys_are_certified() -> None:
    """Another curve, another algorithm and garbage are refused with their reason."""
    keys = (ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate())
    codes = {b"garbage": "identity.key.malformed"}
    for key in keys:
        pem = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        codes[pem] = "identity.key.curve"
    for pem, code in codes.items():
        with pytest.raises(UsageError) as caught:
            issue_certificate(authority(), public_key_pem=pem, identity=BAKERY, now_ns=NOW_NS)
        assert caught.value.code == code
