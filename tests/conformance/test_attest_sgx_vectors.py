"""Genuine SGX evidence: the manifest's outcome, and no mixing with the simulator's root."""

from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from mutualedge.attest import (
    INTEL_ROOT_FINGERPRINT,
    appraise,
    is_intel_root,
    policy_for,
    root_assurance,
    verify_sgx_quote,
)
from mutualedge.errors import AttestationFailed
from mutualedge.model import NS_PER_S, AssuranceLevel
from tests.conformance import sgx_oracle
from tests.unit.attest_world import (
    GOOD,
    LEASE,
    NOW_S,
    PLATFORM,
    ROOT,
    agreement,
    codes,
    consortium,
)

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "attestation"

needs_vectors = pytest.mark.skipif(
    not (VECTORS / "MANIFEST.json").exists(), reason="no genuine evidence beside the repository"
)


class Expected(msgspec.Struct):
    outcome: str
    tcb_status: str | None = None
    advisories: tuple[str, ...] = ()


class Fields(msgspec.Struct):
    mr_enclave: str = ""
    mr_signer: str = ""
    attributes: str = ""
    report_data: str = ""
    ppid: str = ""


class Entry(msgspec.Struct):
    id: str
    kind: str
    expected: Expected
    tee: str = ""
    verify_at: int = 0
    fields: Fields = msgspec.field(default_factory=Fields)

    @property
    def quote(self) -> bytes:
        return (VECTORS / "intel" / f"{self.id}.quote").read_bytes()

    @property
    def collateral(self) -> bytes:
        return (VECTORS / "intel" / f"{self.id}.collateral.json").read_bytes()


class Manifest(msgspec.Struct):
    vectors: tuple[Entry, ...]


def intel_entries() -> tuple[Entry, ...]:
    path = VECTORS / "MANIFEST.json"
    if not path.exists():
        return ()
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    return tuple(entry for entry in manifest.vectors if entry.kind == "intel-dcap")


ENTRIES = intel_entries()
SGX = [entry for entry in ENTRIES if entry.tee == "sgx"]
each_sgx = pytest.mark.parametrize("entry", SGX, ids=lambda entry: entry.id)


def intel_root() -> bytes:
    """Return the root at the end of the genuine collateral's chain."""
    chain = msgspec.json.decode(SGX[0].collateral, type=dict[str, str])["tcb_info_issuer_chain"]
    return x509.load_pem_x509_certificates(chain.encode())[-1].public_bytes(Encoding.DER)


@each_sgx
def test_manifest_outcome(entry: Entry) -> None:
    """Status, advisories and every field come out as the manifest says."""
    assert entry.expected.outcome == "parsed-ok"
    claims = verify_sgx_quote(entry.quote, entry.collateral, intel_root(), entry.verify_at)
    assert claims.tcb_status == entry.expected.tcb_status
    assert claims.advisory_ids == entry.expected.advisories
    assert (claims.mr_enclave, claims.mr_signer) == (
        entry.fields.mr_enclave,
        entry.fields.mr_signer,
    )
    assert claims.report_data.hex() == entry.fields.report_data
    assert claims.platform == entry.fields.ppid


@each_sgx
def test_second_reader_agrees(entry: Entry) -> None:
    """An independent reader on another library finds the same in genuine evidence."""
    reading = sgx_oracle.read(entry.quote, intel_root())
    claims = verify_sgx_quote(entry.quote, entry.collateral, intel_root(), entry.verify_at)
    assert (reading.mr_enclave, reading.mr_signer) == (claims.mr_enclave, claims.mr_signer)
    assert (reading.report_data, reading.ppid) == (claims.report_data.hex(), claims.platform)
    assert reading.attributes == entry.fields.attributes


def test_second_reader_agrees_on_the_simulator() -> None:
    """The simulator's quote passes the independent reader too, and only under its own root."""
    quote = PLATFORM.collect(bytes(range(64)))
    reading = sgx_oracle.read(quote, ROOT.certificate)
    claims = verify_sgx_quote(quote, PLATFORM.collateral, ROOT.certificate, NOW_S)
    assert (reading.mr_enclave, reading.mr_signer) == (claims.mr_enclave, claims.mr_signer)
    assert (reading.report_data, reading.ppid) == (claims.report_data.hex(), claims.platform)
    altered = quote[:400] + bytes([quote[400] ^ 1]) + quote[401:]
    with pytest.raises(InvalidSignature):
        sgx_oracle.read(altered, ROOT.certificate)


@each_sgx
def test_genuine_evidence_under_a_test_root(entry: Entry) -> None:
    """A test root vouches for no genuine machine."""
    with pytest.raises(AttestationFailed) as caught:
        verify_sgx_quote(entry.quote, entry.collateral, ROOT.certificate, entry.verify_at)
    assert caught.value.code == "attest.evidence.signature"


@each_sgx
def test_genuine_evidence_at_other_times(entry: Entry) -> None:
    """Genuine collateral counts only within its own month."""
    month_s = 31 * 86_400
    for at, code in ((-month_s, "not-yet-valid"), (month_s, "expired")):
        with pytest.raises(AttestationFailed) as caught:
            verify_sgx_quote(entry.quote, entry.collateral, intel_root(), entry.verify_at + at)
        assert caught.value.code == f"attest.collateral.{code}"


@each_sgx
def test_genuine_evidence_of_a_misconfigured_machine(entry: Entry) -> None:
    """The policy refuses what the library lets pass: the machine's status and its advisories."""
    attestation = msgspec.structs.replace(GOOD, evidence=entry.quote, collateral=entry.collateral)
    members = consortium(intel_root(), AssuranceLevel.ENCLAVE)
    with pytest.raises(AttestationFailed) as caught:
        appraise(
            attestation,
            members,
            agreement(AssuranceLevel.ENCLAVE),
            LEASE,
            entry.verify_at * NS_PER_S,
        )
    for code in ("tcb.status", "tcb.advisory", "evidence.measurement", "evidence.binding"):
        assert f"[attest.{code}]" in caught.value.sentence
    assert "attest.root" not in caught.value.sentence


@pytest.mark.parametrize(
    "entry", [entry for entry in ENTRIES if entry.tee != "sgx"], ids=lambda entry: entry.id
)
def test_other_intel_evidence_is_no_sgx_quote(entry: Entry) -> None:
    """TDX evidence never passes where an SGX quote is expected."""
    with pytest.raises(AttestationFailed) as caught:
        verify_sgx_quote(entry.quote, entry.collateral, intel_root(), entry.verify_at)
    assert caught.value.code == "attest.evidence.malformed"


@needs_vectors
def test_production_root_is_pinned() -> None:
    """Intel's root, and only it, makes evidence count as an enclave's."""
    root = intel_root()
    assert is_intel_root(root)
    assert root_assurance(root) is AssuranceLevel.ENCLAVE
    assert root_assurance(ROOT.certificate) is AssuranceLevel.SIMULATED
    assert root_assurance(root + b"\x00") is AssuranceLevel.SIMULATED
    assert len(bytes.fromhex(INTEL_ROOT_FINGERPRINT)) == 32


@needs_vectors
def test_simulated_evidence_under_the_production_root() -> None:
    """A production consortium refuses the simulator, by signature, before any policy."""
    policy = policy_for(consortium(intel_root(), AssuranceLevel.ENCLAVE), agreement())
    assert codes(GOOD, policy) == ("attest.evidence.signature",)


@needs_vectors
def test_simulated_consortium_with_the_production_root() -> None:
    """A simulated consortium that names Intel's root accepts nothing, genuine or not."""
    policy = policy_for(consortium(intel_root()), agreement())
    assert codes(GOOD, policy) == ("attest.root.genuine", "attest.evidence.signature")
