"""Genuine-format SGX evidence for a meter key, from one simulated machine under a test root."""

from functools import cache
from hashlib import sha256

from mutualedge.adapters.tee_sim import (
    SimulatedPlatform,
    SimulatedRoot,
    make_platform,
    make_test_root,
)
from mutualedge.attest import MeterAttestation, Placement, report_data
from mutualedge.market import Agreement
from mutualedge.model import Digest, LeaseId, format_instant, parse_instant
from mutualedge.signing import SigningKey, sign_record

MADE_NS = parse_instant("2026-11-20T00:00:00.000Z")
PLATFORM = sha256(b"machine of bolt").hexdigest()[:32]


@cache
def _root() -> SimulatedRoot:
    return make_test_root("audit tests", bytes(32), MADE_NS)


@cache
def _machine() -> SimulatedPlatform:
    return make_platform(
        _root(), PLATFORM, MADE_NS, mr_enclave=runner_measurement(), mr_signer="cd" * 32
    )


def attestation_root() -> bytes:
    """Return the DER of the test root that the trust file names."""
    return _root().certificate


def collateral() -> bytes:
    """Return what the machine's vendor published beside its quotes."""
    return _machine().collateral


def quote() -> bytes:
    """Return evidence of the runner over no claim at all."""
    return _machine().collect(bytes(64))


def runner_measurement() -> Digest:
    return Digest(sha256(b"runner").hexdigest())


def attest_meter(
    lease: LeaseId,
    agreed: Agreement,
    meter_key: bytes,
    node_key: SigningKey,
    at_ns: int,
    *,
    trust: Digest,
    session: int = 1,
) -> MeterAttestation:
    """Return what the provider archives when a session opens under this lease."""
    handshake = sha256(meter_key + bytes([session])).digest()
    placement = Placement(
        lease=lease,
        node=agreed.node,
        platform=PLATFORM,
        handshake=handshake,
        at=format_instant(at_ns),
    )
    bound = report_data(
        backend="sgx",
        trust_digest=trust,
        handshake=handshake,
        bundle_digest=agreed.function,
        meter_key=meter_key,
    )
    return MeterAttestation(
        lease=lease,
        meter_key=meter_key,
        function=agreed.function,
        backend="sgx",
        handshake=handshake,
        evidence=_machine().collect(bound),
        collateral=collateral(),
        placement=sign_record(placement, node_key),
    )
