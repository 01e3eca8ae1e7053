"""What the consortium's office issues: certificates, and in ``simulated`` assurance machines."""

from collections.abc import Sequence

from mutualedge.adapters.tee_sim import SimulatedRoot, make_platform
from mutualedge.app.accounts import CREDENTIALS_LIFE_NS
from mutualedge.identity import Authority, Member, SpiffeIdentity, issue_certificate
from mutualedge.identity.certificates import LOOPBACK_HOSTS
from mutualedge.model import Digest, EnterpriseId
from mutualedge.protocol import Credentials

NO_SIGNER = "0" * 64
"""Nobody signs runners yet: what counts is their measurement."""


class Office:
    """The consortium's certificate authority, and the maker of its simulated machines."""

    def __init__(self, authority: Authority, root: SimulatedRoot) -> None:
        """Take both roots with their keys."""
        self._authority = authority
        self._root = root

    def credentials(
        self, member: Member, tls_public_key_pem: str, measurement: Digest, now_ns: int
    ) -> Credentials:
        """Return certificate and machine for a member whose runner is measured like this.

        Raises:
            UsageError: The key cannot be certified.
        """
        platform = make_platform(
            self._root,
            member.platform,
            now_ns,
            mr_enclave=measurement,
            mr_signer=NO_SIGNER,
        )
        return Credentials(
            certificate_pem=self.certificate(member.enterprise, "leaf", tls_public_key_pem, now_ns),
            platform=platform.to_bytes(),
            collateral=platform.collateral,
        )

    def certificate(
        self,
        enterprise: EnterpriseId,
        role: str,
        public_key_pem: str,
        now_ns: int,
        hosts: Sequence[str] = LOOPBACK_HOSTS,
    ) -> str:
        """Return a certificate for one end of the link between hub and members, PEM.

        Raises:
            UsageError: The key cannot be certified, or too many hosts.
        """
        identity = SpiffeIdentity(consortium=self._root.name, enterprise=enterprise, role=role)
        certificate = issue_certificate(
            self._authority,
            public_key_pem=public_key_pem.encode(),
            identity=identity,
            now_ns=now_ns,
            hosts=hosts,
            lifetime_ns=CREDENTIALS_LIFE_NS,
        )
        return certificate.decode()


def hosts_of(host: str) -> tuple[str, ...]:
    """Return the names that stand in the hub's certificate: its address, and this machine's."""
    return LOOPBACK_HOSTS if host in LOOPBACK_HOSTS else (host, *LOOPBACK_HOSTS)
