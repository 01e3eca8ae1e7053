"""How much a session's evidence proves, weakest first (RATS tier of our policy)."""

from enum import StrEnum


class AssuranceLevel(StrEnum):
    """What stands between the provider's administrator and the plaintext.

    ``simulated`` proves the code path and protects nothing from the provider's root;
    ``host-integrity`` proves the boot state; the last two keep the administrator out.
    """

    SIMULATED = "simulated"
    HOST_INTEGRITY = "host-integrity"
    CONFIDENTIAL_VM = "confidential-vm"
    ENCLAVE = "enclave"

    @property
    def rank(self) -> int:
        """Position from 0 (weakest), for comparison with a required level."""
        return tuple(AssuranceLevel).index(self)

    def reaches(self, required: "AssuranceLevel") -> bool:
        """Tell whether this level is at least the required one."""
        return self.rank >= required.rank
