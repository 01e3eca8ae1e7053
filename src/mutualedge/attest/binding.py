"""What evidence speaks about: the 64 bytes a TEE signs for us, computed alike on both sides."""

import hashlib

from mutualedge.model import Digest

_TAG = b"mutualedge/ra/1"
_LENGTH_BYTES = 2
"""Every field fits 64 KiB; the length before each keeps two field lists from one byte string."""


def report_data(backend: str, handshake: bytes, bundle_digest: Digest, meter_key: bytes) -> bytes:
    """Return the 64 bytes that tie evidence to one handshake, one function and one meter key.

    The meter key is among them so that an auditor can follow each usage record to the enclave
    that wrote it, long after the session is gone.

    Args:
        backend: Evidence format (``sgx``), so that one format's evidence never serves another.
        handshake: Handshake hash just before the message that carries the evidence.
        bundle_digest: Digest of the function bundle the runner loaded.
        meter_key: Raw Ed25519 public key that signs the runner's batches.
    """
    hasher = hashlib.sha512(_TAG)
    for field in (backend.encode(), handshake, bytes.fromhex(bundle_digest), meter_key):
        hasher.update(len(field).to_bytes(_LENGTH_BYTES, "big"))
        hasher.update(field)
    return hasher.digest()
