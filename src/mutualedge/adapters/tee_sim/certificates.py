"""The certificate authorities of the simulator: a test root, what hangs below it, revocations."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mutualedge.adapters.tee_sim import der
from mutualedge.model import NS_PER_S, Bytes32
from mutualedge.signing import canonical_bytes, parse_canonical

ROOT_LIFE_DAYS = 3650
"""Ten years: a test root outlives the trust files that name it."""

BACKDATED_S = 3600
"""Everything is valid from an hour before it is made, so that members' clocks may differ."""

CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order of P-256. Source: NIST SP 800-186 section 3.2.1.3."""

FMSPC = b"SIMUL8"
"""Platform family of every simulated machine; no Intel processor has it."""

PCE_ID = b"\x00\x00"
CPU_SVNS = (11, 11, 2, 2, 255, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
"""Security version of each TCB component, as one real Ice Lake server had them in 2025."""

PCE_SVN = 13

_SGX_EXTENSION = "1.2.840.113741.1.13.1"


class SimulatedRoot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A test root for one consortium; its secret makes every key below it.

    Attributes:
        name: Consortium it is for; stands in the subject, so that nobody mistakes it for Intel's.
        seed: The secret, 32 bytes.
        certificate: DER, as ``TrustFile.attestation_root`` takes it.
    """

    name: str
    seed: Bytes32
    certificate: bytes

    def to_bytes(self) -> bytes:
        """Return the secret file that ``from_bytes`` reads."""
        return canonical_bytes(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> "SimulatedRoot":
        """Return the root that ``to_bytes`` wrote.

        Raises:
            PeerError: Altered, or something else.
        """
        return parse_canonical(raw, cls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A key that signs under the test root, and its certificate chain, itself first."""

    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]

    @property
    def certificate(self) -> x509.Certificate:
        """The authority's own certificate."""
        return self.chain[0]

    @property
    def chain_pem(self) -> str:
        """The chain up to and including the root, as collateral carries it."""
        return "".join(each.public_bytes(Encoding.PEM).decode() for each in self.chain)


def make_test_root(name: str, seed: bytes, now_ns: int) -> SimulatedRoot:
    """Return a root certificate for a consortium in ``simulated`` assurance.

    Args:
        name: The consortium.
        seed: 32 secret bytes; the same seed, name and time give the same certificate.
        now_ns: Time of making; the root is valid for ten years from it.
    """
    key, subject = private_key(seed, "root"), _name(f"{name} simulated SGX Root CA")
    unsigned = _builder(
        subject=subject,
        issuer=subject,
        key=key,
        signer=key,
        since=instant(now_ns) - timedelta(seconds=BACKDATED_S),
        until=instant(now_ns) + timedelta(days=ROOT_LIFE_DAYS),
    )
    certificate = _as_authority(unsigned, sub_authorities=1)
    return SimulatedRoot(
        name=name, seed=seed, certificate=_signed(certificate, key).public_bytes(Encoding.DER)
    )


def root_authority(root: SimulatedRoot) -> Authority:
    """Return the root as a signer."""
    certificate = x509.load_der_x509_certificate(root.certificate)
    return Authority(key=private_key(root.seed, "root"), chain=(certificate,))


def platform_authority(root: SimulatedRoot) -> Authority:
    """Return the intermediate that certifies platforms (Intel calls it the PCK Processor CA)."""
    return _below(root, "simulated SGX PCK Processor CA", sub_authorities=0)


def tcb_authority(root: SimulatedRoot) -> Authority:
    """Return the signer of TCB information and quoting-enclave identity."""
    return _below(root, "simulated SGX TCB Signing", sub_authorities=None)


def _below(root: SimulatedRoot, role: str, sub_authorities: int | None) -> Authority:
    top = root_authority(root)
    key = private_key(root.seed, role)
    unsigned = _builder(
        subject=_name(f"{root.name} {role}"),
        issuer=top.certificate.subject,
        key=key,
        signer=top.key,
        since=top.certificate.not_valid_before_utc,
        until=top.certificate.not_valid_after_utc,
    )
    builder = (
        _as_signer(unsigned)
        if sub_authorities is None
        else _as_authority(unsigned, sub_authorities)
    )
    return Authority(key=key, chain=(_signed(builder, top.key), *top.chain))


def certify_platform(root: SimulatedRoot, ppid: bytes) -> Authority:
    """Return the key and certificate chain of one machine (Intel calls it the PCK)."""
    issuer = platform_authority(root)
    key = private_key(root.seed, f"platform {ppid.hex()}")
    unsigned = _builder(
        subject=_name(f"{root.name} simulated SGX PCK Certificate"),
        issuer=issuer.certificate.subject,
        key=key,
        signer=issuer.key,
        since=issuer.certificate.not_valid_before_utc,
        until=issuer.certificate.not_valid_after_utc,
    )
    oid = x509.ObjectIdentifier(_SGX_EXTENSION)
    extension = x509.UnrecognizedExtension(oid, sgx_extension(ppid))
    builder = _as_signer(unsigned).add_extension(extension, critical=False)
    return Authority(key=key, chain=(_signed(builder, issuer.key), *issuer.chain))


def sgx_extension(ppid: bytes) -> bytes:
    """Return what Intel's certificate extension says about one machine, as DER."""

    def entry(arc: str, value: bytes) -> bytes:
        return der.sequence(der.object_identifier(f"{_SGX_EXTENSION}.{arc}"), value)

    components = [entry(f"2.{i}", der.integer(svn)) for i, svn in enumerate(CPU_SVNS, start=1)]
    pce_svn = entry("2.17", der.integer(PCE_SVN))
    cpu_svn = entry("2.18", der.octets(bytes(CPU_SVNS)))
    return der.sequence(
        entry("1", der.octets(ppid)),
        entry("2", der.sequence(*components, pce_svn, cpu_svn)),
        entry("3", der.octets(PCE_ID)),
        entry("4", der.octets(FMSPC)),
        entry("5", der.enumerated(0)),
    )


def revocation_list(
    issuer: Authority, revoked: tuple[int, ...], since: datetime, until: datetime
) -> bytes:
    """Return the DER of a CRL over these serial numbers, valid within the window."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(since)
        .next_update(until)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )
    )
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
        builder = builder.add_revoked_certificate(entry.build())
    signed = builder.sign(issuer.key, hashes.SHA256(), ecdsa_deterministic=True)
    return signed.public_bytes(Encoding.DER)


def private_key(seed: bytes, role: str) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key that this secret gives this role."""
    digest = hashlib.sha512(b"mutualedge/tee-sim\x00" + seed + role.encode()).digest()
    scalar = int.from_bytes(digest, "big") % (CURVE_ORDER - 1) + 1
    return ec.derive_private_key(scalar, ec.SECP256R1())


def instant(now_ns: int) -> datetime:
    """Return nanoseconds since 1970 as the whole second in UTC that certificates speak of."""
    return datetime.fromtimestamp(now_ns // NS_PER_S, UTC)


def _name(common: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Mutual Edge simulator")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64]), organisation])


def _builder(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    since: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        # 19 bytes stay positive in DER and within the 20 that RFC 5280 section 4.1.2.2 allows.
        .serial_number(int.from_bytes(identifier.digest[:19], "big") | 1)
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
    )


def _as_authority(
    builder: x509.CertificateBuilder, sub_authorities: int
) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=True, path_length=sub_authorities)
    return builder.add_extension(constraints, critical=True).add_extension(
        _usage(certifies=True), critical=True
    )


def _as_signer(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=False, path_length=None)
    return builder.add_extension(constraints, critical=True).add_extension(
        _usage(certifies=False), critical=True
    )


def _usage(*, certifies: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certifies,
        content_commitment=not certifies,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certifies,
        crl_sign=certifies,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)
