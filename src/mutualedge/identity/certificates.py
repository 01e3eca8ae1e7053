"""The consortium's own small certificate authority: P-256, SPIFFE identities, short lives.

Keys come from the entropy passed in and ECDSA signs deterministically (RFC 6979), so the same
arguments give the same bytes. Whoever calls it in production passes entropy of the operating
system; enterprises send their public key and keep the private one.
"""

import hashlib
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mutualedge.errors import UsageError
from mutualedge.model import NS_PER_S
from mutualedge.signing import Entropy

ROOT_LIFETIME_NS = 10 * 365 * 86_400 * NS_PER_S
"""A root outlives every lease, dispute window and audit of its consortium: ten years."""

LEAF_LIFETIME_NS = 7 * 86_400 * NS_PER_S
"""A week: a plant cut off over a long weekend still talks; a stolen key dies soon."""

CLOCK_SKEW_NS = 300 * NS_PER_S
"""Certificates are valid from five minutes before their issue, for peers whose clock is late."""

LOOPBACK_HOSTS = ("localhost", "127.0.0.1")

HOSTS_MAX = 16
"""Names of one server; more is a sign that a list of something else was passed."""

SERIAL_BYTES = 20
"""The longest serial number RFC 5280 section 4.1.2.2 allows."""

_SEGMENT = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiffeIdentity:
    """Who holds a certificate: a role (``node``, ``hub``, ``leaf``) of one enterprise."""

    consortium: str
    enterprise: str
    role: str

    @property
    def uri(self) -> str:
        """The SPIFFE id, ``spiffe://CONSORTIUM/ENTERPRISE/ROLE``."""
        return f"spiffe://{self.consortium}/{self.enterprise}/{self.role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """The root of one consortium, able to issue; its private key stays with the hub."""

    certificate_pem: bytes
    private_key_pem: bytes = field(repr=False)


def generate_private_key(entropy: Entropy) -> bytes:
    """Return a new P-256 private key, PKCS #8 PEM; called by the edge, with its entropy.

    Source: FIPS 186-5 appendix A.2.1, key pair generation using extra random bits.
    """
    extra = int.from_bytes(entropy.draw() + entropy.draw())
    private_key = ec.derive_private_key(extra % (_P256_ORDER - 1) + 1, ec.SECP256R1())
    return private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_key_of(private_key_pem: bytes) -> bytes:
    """Return the public half, PEM: what an enterprise sends to have certified.

    Raises:
        UsageError: Not a P-256 private key.
    """
    public_key = _load_private_key(private_key_pem).public_key()
    return public_key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def create_authority(
    consortium: str, *, entropy: Entropy, now_ns: int, lifetime_ns: int = ROOT_LIFETIME_NS
) -> Authority:
    """Return a new self-signed root; called by the edge, once per consortium.

    Args:
        consortium: SPIFFE trust domain, such as ``ruhr-valley``.
        entropy: Where the root's key comes from.
        now_ns: Nanoseconds since 1970.
        lifetime_ns: How long the root is trusted.

    Raises:
        UsageError: The name cannot stand in a SPIFFE id.
    """
    _check_segment(consortium)
    private_key_pem = generate_private_key(entropy)
    private_key = _load_private_key(private_key_pem)
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, consortium)])
    domain = x509.UniformResourceIdentifier(f"spiffe://{consortium}")
    certificate = (
        _lasting(private_key.public_key(), now_ns, lifetime_ns)
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(issuer=True), critical=True)
        .add_extension(x509.SubjectAlternativeName([domain]), critical=False)
        .sign(private_key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    return Authority(certificate_pem=pem, private_key_pem=private_key_pem)


def issue_certificate(
    authority: Authority,
    *,
    public_key_pem: bytes,
    identity: SpiffeIdentity,
    now_ns: int,
    hosts: Sequence[str] = LOOPBACK_HOSTS,
    lifetime_ns: int = LEAF_LIFETIME_NS,
) -> bytes:
    """Return a certificate for both ends of mutual TLS, PEM, signed by the consortium's root.

    Args:
        authority: The root and its key.
        public_key_pem: The holder's P-256 key; its private half never reaches the authority.
        identity: Who the holder is; of the authority's own consortium.
        now_ns: Nanoseconds since 1970.
        hosts: DNS names and IP addresses under which the holder is reached.
        lifetime_ns: How long it is valid; never longer than the root.

    Raises:
        UsageError: The identity is malformed or of another consortium, the key is not P-256,
            or there are more than ``HOSTS_MAX`` hosts.

    Source: SPIFFE X.509-SVID sections 2 and 4: exactly one URI, no CA bit, digitalSignature.
    """
    root = x509.load_pem_x509_certificate(authority.certificate_pem)
    _check_identity(identity, root)
    if len(hosts) > HOSTS_MAX:
        sentence = f"{len(hosts)} host names for one certificate; give at most {HOSTS_MAX}."
        raise UsageError("identity.certificate.hosts", sentence)
    signing_key = _load_private_key(authority.private_key_pem)
    remaining_ns = (root.not_valid_after_utc - _EPOCH) // timedelta(seconds=1) * NS_PER_S - now_ns
    names = [x509.UniformResourceIdentifier(identity.uri), *map(_general_name, hosts)]
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _lasting(_load_public_key(public_key_pem), now_ns, min(lifetime_ns, remaining_ns))
        .subject_name(_subject_name(identity))
        .issuer_name(root.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(issuer=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()),
            critical=False,
        )
        .sign(signing_key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def _lasting(
    public_key: ec.EllipticCurvePublicKey, now_ns: int, lifetime_ns: int
) -> x509.CertificateBuilder:
    if lifetime_ns <= 0:
        sentence = "The certificate would end before it begins; check clock, lifetime and root."
        raise UsageError("identity.certificate.lifetime", sentence)
    return (
        x509.CertificateBuilder()
        .public_key(public_key)
        .serial_number(_serial_number(public_key, now_ns))
        .not_valid_before(_moment(now_ns - CLOCK_SKEW_NS))
        .not_valid_after(_moment(now_ns + lifetime_ns))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _serial_number(public_key: ec.EllipticCurvePublicKey, now_ns: int) -> int:
    point = public_key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    digest = hashlib.sha256(b"mutualedge/certificate/serial" + point + now_ns.to_bytes(16))
    return int.from_bytes(digest.digest()[:SERIAL_BYTES]) >> 1 | 1  # positive, never zero


def _moment(instant_ns: int) -> datetime:
    return _EPOCH + timedelta(seconds=instant_ns // NS_PER_S)


def _key_usage(*, issuer: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not issuer,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=issuer,
        crl_sign=issuer,
        encipher_only=False,
        decipher_only=False,
    )


def _subject_name(identity: SpiffeIdentity) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.enterprise),
            x509.NameAttribute(NameOID.COMMON_NAME, identity.role),
        ]
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _check_segment(text: str) -> None:
    if _SEGMENT.fullmatch(text) is None:
        sentence = f"'{text}' cannot stand in a SPIFFE id; use a-z, 0-9, '.' and '-', at most 63."
        raise UsageError("identity.spiffe.malformed", sentence)


def _check_identity(identity: SpiffeIdentity, root: x509.Certificate) -> None:
    for segment in (identity.consortium, identity.enterprise, identity.role):
        _check_segment(segment)
    names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if names.get_values_for_type(x509.UniformResourceIdentifier) != [
        f"spiffe://{identity.consortium}"
    ]:
        sentence = f"This authority does not issue for '{identity.consortium}'; use its own root."
        raise UsageError("identity.certificate.consortium", sentence)


def _load_private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        sentence = "The private key is not unencrypted PEM; generate it anew."
        raise UsageError("identity.key.malformed", sentence) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _not_p256()
    _check_curve(key.curve)
    return key


def _load_public_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        sentence = "The public key is not PEM; send the output of public_key_of."
        raise UsageError("identity.key.malformed", sentence) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise _not_p256()
    _check_curve(key.curve)
    return key


def _check_curve(curve: ec.EllipticCurve) -> None:
    if not isinstance(curve, ec.SECP256R1):
        raise _not_p256()


def _not_p256() -> UsageError:
    return UsageError("identity.key.curve", "The key is not P-256; generate it anew.")
