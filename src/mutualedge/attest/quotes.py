"""The bytes of an SGX quote, version 3, taken apart with every length accounted for.

Source: Intel SGX ECDSA QuoteGenReference API, appendix A; Intel SDM volume 3D, section 37.16.
"""

import struct
from dataclasses import dataclass

from mutualedge.errors import AttestationFailed
from mutualedge.model import Digest

_HEADER = struct.Struct("<HHI 4x 16s 20x")
_BODY = struct.Struct("<48x 16s 32s 32x 32s 96x H H 60x 64s")
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_CERTIFICATION = struct.Struct("<HI")

BODY_AT = _HEADER.size
LENGTH_AT = BODY_AT + _BODY.size
SIGNATURE_AT = LENGTH_AT + _U32.size
"""Everything before the length is what the attestation key signs: 432 bytes."""

_FIXED_BYTES = 64 + 64 + _BODY.size + 64
"""Quote signature, attestation key, the quoting enclave's report and the signature over it."""

QUOTE_VERSION = 3
KEY_TYPE_ECDSA_P256 = 2
TEE_TYPE_SGX = 0
CERTIFICATES_IN_PEM = 5
"""The one certification data type that brings the certificate chain along, so needs no lookup."""

INTEL_QE_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_DEBUG_BIT = 0x02


@dataclass(frozen=True, slots=True, kw_only=True)
class SgxQuote:
    """What the quote's body says; nothing here is verified yet."""

    mr_enclave: Digest
    mr_signer: Digest
    isv_prod_id: int
    isv_svn: int
    debug: bool
    report_data: bytes


def parse_sgx_quote(raw: bytes) -> SgxQuote:
    """Return the body of a version 3 quote whose every byte is accounted for.

    Trailing bytes are refused: no signature covers them, so they could carry anything.

    Raises:
        AttestationFailed: Another version, key type or TEE, or lengths that do not add up.
    """
    if len(raw) < SIGNATURE_AT:
        raise _malformed(f"it has {len(raw)} bytes, its fixed part alone has {SIGNATURE_AT}")
    version, key_type, tee_type, vendor = _HEADER.unpack_from(raw)
    if (version, key_type, tee_type) != (QUOTE_VERSION, KEY_TYPE_ECDSA_P256, TEE_TYPE_SGX):
        raise _malformed(f"version {version}, key type {key_type}, TEE type {tee_type:#x}")
    if vendor != INTEL_QE_VENDOR:
        raise _malformed(f"unknown quoting enclave vendor {vendor.hex()}")
    _verify_lengths(raw)
    attributes, mr_enclave, mr_signer, product, svn, bound = _BODY.unpack_from(raw, BODY_AT)
    return SgxQuote(
        mr_enclave=Digest(mr_enclave.hex()),
        mr_signer=Digest(mr_signer.hex()),
        isv_prod_id=product,
        isv_svn=svn,
        debug=bool(attributes[0] & _DEBUG_BIT),
        report_data=bound,
    )


def _verify_lengths(raw: bytes) -> None:
    """Walk fixed part, authentication data and certificates; they must end where the quote does."""
    (declared,) = _U32.unpack_from(raw, LENGTH_AT)
    at = SIGNATURE_AT + _FIXED_BYTES
    if declared != len(raw) - SIGNATURE_AT or len(raw) < at + _U16.size:
        raise _malformed(f"it declares {declared} bytes of signature data and has other")
    at += _U16.size + _U16.unpack_from(raw, at)[0]
    if len(raw) < at + _CERTIFICATION.size:
        raise _malformed("its authentication data reaches beyond its end")
    kind, count = _CERTIFICATION.unpack_from(raw, at)
    if kind != CERTIFICATES_IN_PEM:
        raise _malformed(f"certification data of type {kind}; the chain itself (5) is needed")
    if at + _CERTIFICATION.size + count != len(raw):
        raise _malformed("its certificates do not end where it ends")


def _malformed(why: str) -> AttestationFailed:
    sentence = (
        f"The evidence is not an SGX quote of version 3: {why}. Ask the provider to re-attest."
    )
    return AttestationFailed("attest.evidence.malformed", sentence)
