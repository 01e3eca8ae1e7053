"""Step 5, the vendor's collateral: one spelling, every certificate and list held to its issuer."""

from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mutualedge.attest import is_intel_root
from mutualedge.audit import AttestationItem, verify_bundle
from mutualedge.audit.endorsements import check_certification, check_collateral
from mutualedge.signing import canonical_bytes
from tests.unit.audit_evidence import attestation_root, collateral, quote
from tests.unit.audit_scenarios import honest, only, tampered

GENUINE = Path(__file__).parents[3] / "shared" / "vectors" / "attestation" / "intel"


def changed(field: str, old: str, new: str) -> bytes:
    """Return the collateral with one text replaced in one field."""
    fields = msgspec.json.decode(collateral(), type=dict[str, str])
    assert old in fields[field]
    return msgspec.json.encode(fields | {field: fields[field].replace(old, new, 1)})


def test_collateral_as_the_vendor_signs_it_is_accepted() -> None:
    """Compact JSON, lower-case hexadecimal, plain PEM, all under the root."""
    assert check_collateral(collateral(), attestation_root()) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"[1]",
        b"\xff",
        collateral() + b" ",
        collateral().replace(b'",', b'", ', 1),
        changed("pck_crl", "30", "3O"),
        changed("pck_crl", "a", "A"),
        changed("root_ca_crl", "30", "31"),
        changed("pck_crl_issuer_chain", "-----BEGIN", "----BEGIN"),
        changed("tcb_info_issuer_chain", "\n", "\r\n"),
        changed("qe_identity_issuer_chain", "-----END CERTIFICATE-----\n", ""),
    ],
    ids=range(11),
)
def test_collateral_in_another_spelling_is_refused(raw: bytes) -> None:
    """Each of these could mean the same to somebody, and none is what was archived."""
    assert check_collateral(raw, attestation_root()) is not None


def test_collateral_under_another_root_is_refused() -> None:
    """The chain ends, and it ends elsewhere."""
    flaw = check_collateral(collateral(), attestation_root() + b"!")
    assert flaw is not None
    assert "attestation root" in flaw


def test_altered_collateral_is_found_on_its_line() -> None:
    """Appraisal would not miss the intermediate certificate; the auditor does."""

    def change(item: AttestationItem) -> AttestationItem:
        fields = msgspec.json.decode(item.attestation)
        attestation = fields | {"collateral": _base64(changed("pck_crl", "a", "A"))}
        return AttestationItem(attestation=canonical_bytes(attestation))

    lines, line = tampered(honest(), AttestationItem, change)
    found = only(verify_bundle(lines), "attestation.endorsements")
    assert (found.line, found.step, found.culprit) == (line, 5, "unknown")


def test_a_roots_copy_altered_inside_the_quote_is_found() -> None:
    """Verification stops at its own root; the copy that the quote carries is looked at too."""
    root, last = attestation_root(), quote().rindex(b"-----END")
    assert check_certification(quote(), root) is None
    assert check_certification(quote() + b"\x00", root) is None
    for altered in (quote()[: last - 9] + b"A" + quote()[last - 8 :], quote() + b"\n", b"none"):
        assert check_certification(altered, root) is not None


@pytest.mark.skipif(not GENUINE.is_dir(), reason="Intel's samples are not beside this checkout")
def test_genuine_papers_pass_in_the_archived_form() -> None:
    """Intel's own quote and collateral, respelled as compact JSON, stand under Intel's root."""
    papers = (GENUINE / "sgx_v3_swhardening.collateral.json").read_bytes()
    fields = msgspec.json.decode(papers, type=dict[str, str])
    chain = x509.load_pem_x509_certificates(fields["tcb_info_issuer_chain"].encode())
    intel = chain[-1].public_bytes(Encoding.DER)
    assert is_intel_root(intel)
    assert check_collateral(msgspec.json.encode(fields), intel) is None
    assert check_certification((GENUINE / "sgx_v3_swhardening.quote").read_bytes(), intel) is None


def _base64(raw: bytes) -> str:
    return msgspec.json.decode(msgspec.json.encode(raw), type=str)
