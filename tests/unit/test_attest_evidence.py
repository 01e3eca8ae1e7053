"""Quotes and collateral that are not what they should be, and what evidence is bound to."""

import struct
from hashlib import sha512

import msgspec
import pytest

from mutualedge.adapters.tee_sim import (
    SimulatedPlatform,
    SimulatedRoot,
    make_collateral,
    make_test_root,
)
from mutualedge.attest import report_data, verify_sgx_quote
from mutualedge.errors import AttestationFailed, PeerError
from mutualedge.model import Digest
from tests.unit.attest_world import (
    MACHINE,
    NOW_NS,
    NOW_S,
    PLATFORM,
    ROOT,
    RUNNER,
    SIGNER,
)

BOUND = bytes(range(64))
QUOTE = PLATFORM.collect(BOUND)
CERTIFICATES_AT = len(QUOTE) - len(QUOTE[QUOTE.index(b"-----BEGIN") :])


def code_of(evidence: bytes, collateral: bytes = PLATFORM.collateral) -> str:
    with pytest.raises(AttestationFailed) as caught:
        verify_sgx_quote(evidence, collateral, ROOT.certificate, NOW_S)
    return caught.value.code


def test_claims_of_a_simulated_quote() -> None:
    """The verifier reads back what the simulator was asked to say."""
    claims = verify_sgx_quote(QUOTE, PLATFORM.collateral, ROOT.certificate, NOW_S)
    assert (claims.mr_enclave, claims.mr_signer) == (RUNNER, SIGNER)
    assert (claims.report_data, claims.platform) == (BOUND, MACHINE)
    assert (claims.tcb_status, claims.advisory_ids) == ("UpToDate", ())
    assert (claims.isv_prod_id, claims.isv_svn, claims.tcb_evaluation_number) == (0, 0, 1)


def test_every_truncation_is_malformed() -> None:
    """A quote cut anywhere is refused by its lengths, before any library sees it."""
    for kept in [*range(0, 1200, 7), *range(1200, len(QUOTE), 101), len(QUOTE) - 1]:
        assert code_of(QUOTE[:kept]) == "attest.evidence.malformed"


def test_trailing_bytes_are_malformed() -> None:
    """No signature covers what follows a quote, so nothing may."""
    assert code_of(QUOTE + b"\x00") == "attest.evidence.malformed"


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0, struct.pack("<H", 4)),
        (2, struct.pack("<H", 3)),
        (4, struct.pack("<I", 0x81)),
        (12, bytes(16)),
        (432, struct.pack("<I", 0xFFFFFFFF)),
        (1012, struct.pack("<H", 0xFFFF)),
        (1046, struct.pack("<H", 3)),
        (1048, struct.pack("<I", 0xFFFFFFFF)),
    ],
    ids=["version", "key", "tee", "vendor", "signature", "authentication", "kind", "certificates"],
)
def test_structural_fields_are_exact(offset: int, value: bytes) -> None:
    """Other versions, TEEs, vendors and lengths that do not add up are refused as malformed."""
    altered = QUOTE[:offset] + value + QUOTE[offset + len(value) :]
    assert code_of(altered) == "attest.evidence.malformed"


def test_certificates_that_are_none() -> None:
    """A quote whose chain is not PEM is refused by the verifying library."""
    altered = QUOTE[:CERTIFICATES_AT] + b"x" * (len(QUOTE) - CERTIFICATES_AT)
    assert code_of(altered) == "attest.evidence.signature"


def spoiled_collateral(field: str, value: str | None) -> bytes:
    fields = msgspec.json.decode(PLATFORM.collateral, type=dict[str, str | None])
    fields[field] = value
    return msgspec.json.encode(fields)


@pytest.mark.parametrize(
    "collateral",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        spoiled_collateral("pck_crl", "zz"),
        spoiled_collateral("root_ca_crl", "3003020100"),
        spoiled_collateral("tcb_info", "{}"),
        spoiled_collateral("qe_identity", "{"),
        spoiled_collateral("tcb_info", None),
        spoiled_collateral("surplus", "field"),
    ],
)
def test_malformed_collateral(collateral: bytes) -> None:
    """Collateral that cannot be read, or says more than it should, is refused as malformed."""
    assert code_of(QUOTE, collateral) == "attest.collateral.malformed"


@pytest.mark.parametrize(
    "field",
    [
        "tcb_info_issuer_chain",
        "tcb_info_signature",
        "qe_identity_issuer_chain",
        "qe_identity_signature",
    ],
)
def test_collateral_without_its_proof(field: str) -> None:
    """Neither bulletin counts without its chain and its signature."""
    assert code_of(QUOTE, spoiled_collateral(field, "")) == "attest.evidence.signature"


@pytest.mark.parametrize("field", ["root_ca_crl", "pck_crl"])
def test_revocation_list_of_a_stranger(field: str) -> None:
    """A revocation list in date, but signed by another authority, hides no revocation."""
    stranger = make_test_root("hills", b"\x01" * 32, NOW_NS)
    theirs = msgspec.json.decode(make_collateral(stranger, NOW_NS), type=dict[str, str])[field]
    assert code_of(QUOTE, spoiled_collateral(field, theirs)) == "attest.evidence.signature"


def test_collateral_altered_in_content() -> None:
    """A better status than the one that was signed does not verify."""
    info = msgspec.json.decode(PLATFORM.collateral, type=dict[str, str])["tcb_info"]
    altered = spoiled_collateral("tcb_info", info.replace('"svn":11', '"svn":10'))
    assert code_of(QUOTE, altered) == "attest.evidence.signature"


def test_binding_by_another_road() -> None:
    """The 64 bytes are SHA-512 over the tag and each field behind its 16-bit length."""
    fields = (b"sgx", b"t" * 32, b"h" * 32, bytes.fromhex("f0" * 32), b"m" * 32)
    expected = sha512(b"mutualedge/ra/2")
    for field in fields:
        expected.update(struct.pack(">H", len(field)) + field)
    bound = report_data(
        backend="sgx",
        trust_digest=Digest((b"t" * 32).hex()),
        handshake=b"h" * 32,
        bundle_digest=Digest("f0" * 32),
        meter_key=b"m" * 32,
    )
    assert bound == expected.digest()


def test_binding_keeps_fields_apart() -> None:
    """Moving a byte from one field to the next gives other evidence."""

    def bound(trust: str, handshake: bytes) -> bytes:
        return report_data(
            backend="sgx",
            trust_digest=Digest(trust),
            handshake=handshake,
            bundle_digest=Digest("f0"),
            meter_key=b"m",
        )

    assert bound("aabb", b"hh") != bound("aa", b"\xbbhh")


def test_simulator_repeats_itself() -> None:
    """The same seed, name and time give the same root, machine and quote, byte for byte."""
    assert SimulatedPlatform.from_bytes(PLATFORM.to_bytes()) == PLATFORM
    assert SimulatedRoot.from_bytes(ROOT.to_bytes()) == ROOT
    assert SimulatedPlatform.from_bytes(PLATFORM.to_bytes()).collect(BOUND) == QUOTE
    assert PLATFORM.backend == "sgx"


def test_platform_bytes_are_strict() -> None:
    """A platform file with anything added is refused."""
    with pytest.raises(PeerError, match="canonical"):
        SimulatedPlatform.from_bytes(PLATFORM.to_bytes() + b" ")
