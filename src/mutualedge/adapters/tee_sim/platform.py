"""A simulated machine: quotes in Intel's format that only the test root vouches for.

Source: Intel SGX ECDSA QuoteGenReference API, appendix A (quote version 3); Intel SDM volume 3D,
section 37.16 (report body).
"""

import hashlib
import struct
from functools import lru_cache
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from mutualedge.adapters.tee_sim.certificates import (
    CPU_SVNS,
    PCE_SVN,
    SimulatedRoot,
    certify_platform,
    private_key,
)
from mutualedge.adapters.tee_sim.collateral import (
    QE_ATTRIBUTES,
    QE_PRODUCT,
    QE_SIGNER,
    QE_SVN,
    make_collateral,
)
from mutualedge.adapters.tee_sim.signatures import raw_public_key, raw_signature
from mutualedge.model import Bytes32, Digest, HexDigest
from mutualedge.signing import canonical_bytes, parse_canonical

PPID_BYTES = 16
REPORT_DATA_BYTES = 64
AUTHENTICATION_DATA = bytes(range(32))
"""What a quoting enclave may add to the digest it attests; Intel's adds these 32 bytes too."""

CERTIFICATES_IN_PEM = 5
"""Certification data type: the PCK chain itself, in PEM."""

_QE_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_HEADER = struct.pack("<HHIHH16s20s", 3, 2, 0, QE_SVN, PCE_SVN, _QE_VENDOR, bytes(20))
_ATTRIBUTES = bytes.fromhex("05" + "00" * 7 + "e7" + "00" * 7)
_DEBUG_BIT = 0x02
_BODY = struct.Struct("<16s I 28x 16s 32s 32x 32s 96x H H 60x 64s")

HexPlatform = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


class SimulatedPlatform(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One machine of the simulator, with the enclave it runs; the runner's attester port.

    It proves the code path and protects nothing: whoever holds it can quote anything.

    Attributes:
        ppid: Identity of the machine, as its owner registers it (``Member.platform``).
        mr_enclave: Measurement of the runner.
        mr_signer: Digest of the key that signed the runner.
        attestation_key: Scalar of the key that signs quotes.
        certification: The part of every quote that says who may use that key.
        collateral: What a verifier needs beside the quote; expires after ``COLLATERAL_LIFE_DAYS``.
    """

    ppid: HexPlatform
    mr_enclave: HexDigest
    mr_signer: HexDigest
    attestation_key: Bytes32
    certification: bytes
    collateral: bytes

    @property
    def backend(self) -> str:
        """Evidence format, as in ``MeterAttestation.backend``."""
        return "sgx"

    def collect(self, report_data: bytes) -> bytes:
        """Return a quote of this machine's runner over 64 bytes."""
        return self.quote(report_data, self.mr_enclave, self.mr_signer)

    def quote(
        self, report_data: bytes, mr_enclave: str, mr_signer: str, *, debug: bool = False
    ) -> bytes:
        """Return a quote that says anything one likes, as a hostile simulator's owner could.

        Args:
            report_data: 64 bytes that the enclave says.
            mr_enclave: Measurement, 64 hexadecimal digits.
            mr_signer: Digest of the signer's key, 64 hexadecimal digits.
            debug: Set the DEBUG attribute, which opens a real enclave to its host.
        """
        body = report_body(
            attributes=_debuggable(_ATTRIBUTES) if debug else _ATTRIBUTES,
            mr_enclave=bytes.fromhex(mr_enclave),
            mr_signer=bytes.fromhex(mr_signer),
            product=0,
            svn=0,
            report_data=report_data,
        )
        signature = raw_signature(_attestation_key(self.attestation_key), _HEADER + body)
        rest = signature + self.certification
        return b"".join((_HEADER, body, struct.pack("<I", len(rest)), rest))

    def to_bytes(self) -> bytes:
        """Return what the node hands its runner at start; it contains the attestation key."""
        return canonical_bytes(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> "SimulatedPlatform":
        """Return the platform that ``to_bytes`` wrote.

        Raises:
            PeerError: Altered, or something else.
        """
        return parse_canonical(raw, cls)


def make_platform(
    root: SimulatedRoot, ppid: str, now_ns: int, *, mr_enclave: str, mr_signer: str
) -> SimulatedPlatform:
    """Return a machine that the test root vouches for, with collateral that is good from now on.

    Args:
        root: The consortium's test root.
        ppid: Identity of the machine, 32 hexadecimal digits.
        now_ns: Time of making.
        mr_enclave: Measurement of the runner it will host, 64 hexadecimal digits.
        mr_signer: Digest of the key that signed the runner, 64 hexadecimal digits.
    """
    key = private_key(root.seed, f"attestation {ppid}")
    scalar = key.private_numbers().private_value
    return SimulatedPlatform(
        ppid=ppid,
        mr_enclave=Digest(mr_enclave),
        mr_signer=Digest(mr_signer),
        attestation_key=scalar.to_bytes(32, "big"),
        certification=_certification(root, bytes.fromhex(ppid), raw_public_key(key)),
        collateral=make_collateral(root, now_ns),
    )


def report_body(
    *,
    attributes: bytes,
    mr_enclave: bytes,
    mr_signer: bytes,
    product: int,
    svn: int,
    report_data: bytes,
) -> bytes:
    """Return the 384 bytes a processor reports about an enclave."""
    assert len(report_data) == REPORT_DATA_BYTES
    return _BODY.pack(
        bytes(CPU_SVNS), 0, attributes, mr_enclave, mr_signer, product, svn, report_data
    )


def _certification(root: SimulatedRoot, ppid: bytes, attestation_public: bytes) -> bytes:
    """Return attestation key, quoting enclave's report signed by the machine, and its chain."""
    machine = certify_platform(root, ppid)
    bound = hashlib.sha256(attestation_public + AUTHENTICATION_DATA).digest()
    report = report_body(
        attributes=QE_ATTRIBUTES,
        mr_enclave=hashlib.sha256(b"mutualedge simulated quoting enclave").digest(),
        mr_signer=QE_SIGNER,
        product=QE_PRODUCT,
        svn=QE_SVN,
        report_data=bound + bytes(32),
    )
    chain = machine.chain_pem.encode()
    return b"".join(
        (
            attestation_public,
            report,
            raw_signature(machine.key, report),
            struct.pack("<H", len(AUTHENTICATION_DATA)),
            AUTHENTICATION_DATA,
            struct.pack("<HI", CERTIFICATES_IN_PEM, len(chain)),
            chain,
        )
    )


def _debuggable(attributes: bytes) -> bytes:
    return bytes([attributes[0] | _DEBUG_BIT]) + attributes[1:]


@lru_cache(maxsize=64)
def _attestation_key(scalar: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the key; importing one costs as much as signing with it."""
    return ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
