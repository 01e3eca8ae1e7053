"""Randomness as an argument: a ratchet seeded once by the driver, replayable in simulation."""

import hashlib

SEED_BYTES = 32


class Entropy:
    """A hash ratchet: each draw forgets how to produce the ones before it.

    The driver seeds it from the operating system at process start; the simulator from its seed.
    A process never restores one from disk, so two lives never share a stream.
    """

    def __init__(self, seed: bytes) -> None:
        """Take at least 32 bytes of secret randomness.

        Raises:
            ValueError: The seed is shorter than 32 bytes.
        """
        if len(seed) < SEED_BYTES:
            msg = f"an entropy seed has at least {SEED_BYTES} bytes, got {len(seed)}"
            raise ValueError(msg)
        self._state = hashlib.sha256(b"mutualedge/entropy/seed" + seed).digest()

    def draw(self) -> bytes:
        """Return 32 fresh bytes."""
        out = hashlib.sha256(b"mutualedge/entropy/out" + self._state).digest()
        self._state = hashlib.sha256(b"mutualedge/entropy/next" + self._state).digest()
        return out
