"""Step 5, the vendor's papers in and beside a quote: no byte of them that nothing looks at.

Appraisal needs parts of them only, and accepts many spellings. Nobody signs the whole, so an
archive of it is held here to one spelling, and each certificate and list to its issuer.
"""

import warnings
from functools import lru_cache
from itertools import pairwise

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning

from mutualedge.model import UNREADABLE

_HEXADECIMAL = ("root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature")
_FAULTS = (
    *UNREADABLE,
    KeyError,
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    CryptographyDeprecationWarning,
    x509.InvalidVersion,
)
"""All that reading damaged JSON, hexadecimal, certificates and lists raises."""

_CHAINS = ("pck_crl_issuer_chain", "tcb_info_issuer_chain", "qe_identity_issuer_chain")


CHECKED_MAX = 16
"""Chains and collaterals remembered as good; a platform's sessions repeat the same ones."""

_PEM_BEGINS = b"-----BEGIN CERTIFICATE-----"


def check_certification(evidence: bytes, root: bytes) -> str | None:
    """Return why the certificates at the end of an SGX quote are not all under the root.

    Args:
        evidence: The quote; appraisal accounts for everything before its certificates.
        root: DER of the root certificate that the trust file names.
    """
    chain = evidence[evidence.find(_PEM_BEGINS) :].removesuffix(b"\x00")
    try:
        _verified_chain(chain.decode("ascii"), root)
    except _FAULTS as error:
        return f"The quote's certificates are damaged: {type(error).__name__} {error}."
    return None


@lru_cache(maxsize=CHECKED_MAX)
def check_collateral(raw: bytes, root: bytes) -> str | None:
    """Return why archived collateral is not in its one form, or not all under the root.

    Args:
        raw: Compact JSON of Intel's collateral, version 3; hexadecimal in lower case,
            certificates in PEM, leaf first, root last.
        root: DER of the root certificate that the trust file names.
    """
    try:
        fields = msgspec.json.decode(raw, type=dict[str, str])
        if msgspec.json.encode(fields) != raw:
            return "The collateral is not compact JSON; archive it in that form."
        for name in _HEXADECIMAL:
            if bytes.fromhex(fields[name]).hex() != fields[name]:
                return f"The collateral's {name} is not hexadecimal in lower case."
        chains = {name: _verified_chain(fields[name], root) for name in _CHAINS}
        _verify_list(fields["root_ca_crl"], x509.load_der_x509_certificate(root))
        _verify_list(fields["pck_crl"], chains["pck_crl_issuer_chain"][0])
    except _FAULTS as error:
        return f"The collateral is damaged: {type(error).__name__} {error}."
    return None


@lru_cache(maxsize=CHECKED_MAX)
def _verified_chain(pem: str, root: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a chain, leaf first.

    Raises:
        ValueError: No certificates, in another spelling, or not under this root.
        InvalidSignature: One was not signed by the next.
    """
    with warnings.catch_warnings():
        # A certificate in a form that the library is going to refuse is refused today.
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        chain = x509.load_pem_x509_certificates(pem.encode())
    if "".join(each.public_bytes(Encoding.PEM).decode() for each in chain) != pem:
        raise ValueError("a certificate chain is not in plain PEM")
    for certificate in chain:
        _refuse_unused_bits(certificate.public_bytes(Encoding.DER), certificate.signature)
    for certificate, issuer in pairwise(chain):
        certificate.verify_directly_issued_by(issuer)
    if chain[-1].public_bytes(Encoding.DER) != root:
        raise ValueError("a certificate chain does not end in the consortium's attestation root")
    return tuple(chain)


def _verify_list(hexadecimal: str, issuer: x509.Certificate) -> None:
    """Return if the issuer signed this revocation list.

    Raises:
        ValueError: Not a list, or of another issuer.
        InvalidSignature: Altered.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        revoked = x509.load_der_x509_crl(bytes.fromhex(hexadecimal))
    _refuse_unused_bits(revoked.public_bytes(Encoding.DER), revoked.signature)
    key = issuer.public_key()
    if not isinstance(key, EllipticCurvePublicKey) or not revoked.is_signature_valid(key):
        raise InvalidSignature("a revocation list was altered")


def _refuse_unused_bits(der: bytes, signature: bytes) -> None:
    """Return if the signature, last in this DER, is a bit string of whole bytes.

    Its count of unused bits is covered by nothing and ignored by those who verify it.

    Raises:
        ValueError: The count is not zero.
    """
    if not der.endswith(b"\x00" + signature):
        raise ValueError("a signature does not consist of whole bytes")
