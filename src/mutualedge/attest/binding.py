"""What evidence speaks about: the 64 bytes a TEE signs for us, computed alike on both sides."""

import hashlib

from mutualedge.model import Digest

_TAG = b"mutualedge/ra/2"
_LENGTH_BYTES = 2
"""Every field fits 64 KiB; the length before each keeps two field lists from one byte string."""


def report_data(
    *,
    backend: str,
    trust_digest: Digest,
    handshake: bytes,
    bundle_digest: Digest,
    meter_key: bytes,
) -> bytes:
    """Return the 64 bytes that tie evidence to one consortium, handshake, function and meter key.

    The meter key is among them so that an auditor can follow each usage record to the enclave
    that wrote it, long after the session is gone; the trust file, so that it knows whose keys
    that enclave took for a requester's.

    Args:
        backend: Evidence format (``sgx``), so that one format's evidence never serves another.
        trust_digest: Digest of the trust file the runner was started with.
        handshake: Handshake hash just before the message that carries the evidence.
        bundle_digest: Digest of the function bundle the runner loaded.
        meter_key: Raw Ed25519 public key that signs the runner's batches.
    """
    hasher = hashlib.sha512(_TAG)
    digests = bytes.fromhex(trust_digest), bytes.fromhex(bundle_digest)
    for field in (backend.encode(), digests[0], handshake, digests[1], meter_key):
        hasher.update(len(field).to_bytes(_LENGTH_BYTES, "big"))
        hasher.update(field)
    return hasher.digest()
