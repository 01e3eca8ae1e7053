"""A second reader of SGX quotes, on ``cryptography`` alone, written against Intel's layout tables.

It shares no line with the product's verifier, and checks what can be checked without collateral.
"""

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

SGX_EXTENSION = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
PPID_ENTRY = bytes.fromhex("060a2a864886f84d010d0101" + "0410")
"""DER of the PPID's object identifier and the head of its 16-byte value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    mr_enclave: str
    mr_signer: str
    attributes: str
    report_data: str
    ppid: str


def read(quote: bytes, root_der: bytes) -> Reading:
    """Return what the quote says if every signature in it leads to the root; raise otherwise."""
    body, signature, key = quote[48:432], quote[436:500], quote[500:564]
    report, report_signature = quote[564:948], quote[948:1012]
    authentication_end = 1014 + int.from_bytes(quote[1012:1014], "little")
    authentication = quote[1014:authentication_end]
    pem = quote[authentication_end + 6 :].rstrip(b"\x00")
    leaf, *issuers = x509.load_pem_x509_certificates(pem)
    leads_to(leaf, [*issuers, x509.load_der_x509_certificate(root_der)])
    machine = leaf.public_key()
    assert isinstance(machine, ec.EllipticCurvePublicKey)
    check(machine, report_signature, report)
    if report[320:352] != hashlib.sha256(key + authentication).digest():
        raise AssertionError("the quoting enclave vouches for another key")
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + key)
    check(point, signature, quote[:432])
    extension = leaf.extensions.get_extension_for_oid(SGX_EXTENSION).value
    assert isinstance(extension, x509.UnrecognizedExtension)
    ppid_at = extension.value.index(PPID_ENTRY) + len(PPID_ENTRY)
    return Reading(
        mr_enclave=body[64:96].hex(),
        mr_signer=body[128:160].hex(),
        attributes=body[48:64].hex(),
        report_data=body[320:384].hex(),
        ppid=extension.value[ppid_at : ppid_at + 16].hex(),
    )


def leads_to(leaf: x509.Certificate, issuers: list[x509.Certificate]) -> None:
    """Return if each certificate is issued by the next; the last is the trusted root itself."""
    subject = leaf
    for issuer in issuers:
        if issuer == subject:
            continue
        subject.verify_directly_issued_by(issuer)
        subject = issuer


def check(key: ec.EllipticCurvePublicKey, raw: bytes, message: bytes) -> None:
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
