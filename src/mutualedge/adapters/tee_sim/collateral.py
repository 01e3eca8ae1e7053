"""Collateral as Intel's service would publish it, signed under the test root instead."""

from datetime import datetime, timedelta

import msgspec

from mutualedge.adapters.tee_sim.certificates import (
    BACKDATED_S,
    CPU_SVNS,
    FMSPC,
    PCE_ID,
    PCE_SVN,
    SimulatedRoot,
    certify_platform,
    instant,
    platform_authority,
    revocation_list,
    root_authority,
    tcb_authority,
)
from mutualedge.adapters.tee_sim.signatures import raw_signature

COLLATERAL_LIFE_DAYS = 90
"""As long as the credentials that come with it; Intel's own lasts 30 days."""

QE_SIGNER = bytes.fromhex("53" * 32)
"""Signer of the simulated quoting enclave; not the digest of any key."""

QE_PRODUCT = 1
QE_SVN = 8
QE_ATTRIBUTES = bytes.fromhex("15" + "00" * 7 + "e7" + "00" * 7)
"""INIT, 64-bit and provisioning key, no DEBUG, as a real quoting enclave has them."""


def make_collateral(
    root: SimulatedRoot,
    now_ns: int,
    *,
    tcb_status: str = "UpToDate",
    advisories: tuple[str, ...] = (),
    evaluation_number: int = 1,
    revoked_platforms: tuple[str, ...] = (),
) -> bytes:
    """Return what a verifier needs beside a quote: CRLs, TCB information, enclave identity.

    Args:
        root: The test root.
        now_ns: Time of issue; valid for ``COLLATERAL_LIFE_DAYS`` from it.
        tcb_status: What to say of every simulated machine, in Intel's words.
        advisories: Security advisories that go with the status.
        evaluation_number: ``tcbEvaluationDataNumber``; grows with each re-evaluation.
        revoked_platforms: PPIDs (hexadecimal) whose certificates are revoked.
    """
    since = instant(now_ns) - timedelta(seconds=BACKDATED_S)
    until = instant(now_ns) + timedelta(days=COLLATERAL_LIFE_DAYS)
    processor, signer = platform_authority(root), tcb_authority(root)
    serials = tuple(
        certify_platform(root, bytes.fromhex(ppid)).certificate.serial_number
        for ppid in revoked_platforms
    )
    info = _tcb_info(since, until, tcb_status, advisories, evaluation_number)
    identity = _qe_identity(since, until, evaluation_number)
    fields = {
        "pck_crl_issuer_chain": processor.chain_pem,
        "root_ca_crl": revocation_list(root_authority(root), (), since, until).hex(),
        "pck_crl": revocation_list(processor, serials, since, until).hex(),
        "tcb_info_issuer_chain": signer.chain_pem,
        "tcb_info": info,
        "tcb_info_signature": raw_signature(signer.key, info.encode()).hex(),
        "qe_identity_issuer_chain": signer.chain_pem,
        "qe_identity": identity,
        "qe_identity_signature": raw_signature(signer.key, identity.encode()).hex(),
    }
    return msgspec.json.encode(fields)


def _tcb_info(
    since: datetime, until: datetime, status: str, advisories: tuple[str, ...], number: int
) -> str:
    """Return TCB information, version 3. Source: Intel PCS API 4.0, "TCB Info V3"."""
    level = {
        "tcb": {"sgxtcbcomponents": [{"svn": svn} for svn in CPU_SVNS], "pcesvn": PCE_SVN},
        "tcbDate": _text(since),
        "tcbStatus": status,
        "advisoryIDs": advisories,
    }
    fields = {
        "id": "SGX",
        "version": 3,
        "issueDate": _text(since),
        "nextUpdate": _text(until),
        "fmspc": FMSPC.hex().upper(),
        "pceId": PCE_ID.hex().upper(),
        "tcbType": 0,
        "tcbEvaluationDataNumber": number,
        "tcbLevels": [level],
    }
    return msgspec.json.encode(fields).decode()


def _qe_identity(since: datetime, until: datetime, number: int) -> str:
    """Return the enclave identity, version 2. Source: Intel PCS API 4.0, "Enclave Identity V2"."""
    level = {"tcb": {"isvsvn": QE_SVN}, "tcbDate": _text(since), "tcbStatus": "UpToDate"}
    fields = {
        "id": "QE",
        "version": 2,
        "issueDate": _text(since),
        "nextUpdate": _text(until),
        "tcbEvaluationDataNumber": number,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11" + "00" * 15,
        "attributesMask": "FB" + "FF" * 7 + "00" * 8,
        "mrsigner": QE_SIGNER.hex().upper(),
        "isvprodid": QE_PRODUCT,
        "tcbLevels": [level],
    }
    return msgspec.json.encode(fields).decode()


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
