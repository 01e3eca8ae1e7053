"""Step 5, the vendor's collateral: one spelling, every certificate and list held to its issuer."""

import msgspec
import pytest

from mutualedge.audit import AttestationItem, verify_bundle
from mutualedge.audit.endorsements import check_collateral
from mutualedge.signing import canonical_bytes
from tests.unit.audit_evidence import attestation_root, collateral
from tests.unit.audit_scenarios import honest, only, tampered


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
    found = only(verify_bundle(lines), "attestation.collateral")
    assert (found.line, found.step, found.culprit) == (line, 5, "unknown")


def _base64(raw: bytes) -> str:
    return msgspec.json.decode(msgspec.json.encode(raw), type=str)
