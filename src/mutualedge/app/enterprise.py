"""What an enterprise makes for itself before it founds or joins: its keys, and its member card."""

from dataclasses import dataclass

from mutualedge.app.accounts import account_key
from mutualedge.app.files import NodeFile, TlsText
from mutualedge.functions import anomaly_bundle
from mutualedge.identity import Member, generate_private_key, public_key_of
from mutualedge.model import EnterpriseId, NodeId
from mutualedge.protocol import Credentials
from mutualedge.signing import Entropy, Envelope, SigningKey, sign_record

PLATFORM_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterpriseSecrets:
    """The secrets of one enterprise before they are spread over its files.

    Attributes:
        platform: Identity of its node's machine; no secret.
    """

    name: EnterpriseId
    enterprise: bytes
    node: bytes
    settlement: bytes
    log: bytes
    witness: bytes
    salt: bytes
    account: bytes
    platform: str
    tls_private_key_pem: bytes

    @classmethod
    def draw(cls, name: EnterpriseId, entropy: Entropy) -> "EnterpriseSecrets":
        """Return new ones."""
        draw = entropy.draw
        return cls(
            name=name,
            enterprise=draw(),
            node=draw(),
            settlement=draw(),
            log=draw(),
            witness=draw(),
            salt=draw(),
            account=draw(),
            platform=draw()[:PLATFORM_BYTES].hex(),
            tls_private_key_pem=generate_private_key(entropy),
        )

    @property
    def tls_public_key_pem(self) -> str:
        """What the office certifies."""
        return public_key_of(self.tls_private_key_pem).decode()

    @property
    def member(self) -> Member:
        """Everything of this that others may know."""
        return Member(
            enterprise=self.name,
            node=NodeId(f"{self.name}-1"),
            enterprise_key=SigningKey(self.enterprise).public_bytes,
            node_key=SigningKey(self.node).public_bytes,
            settlement_key=SigningKey(self.settlement).public_bytes,
            log_key=SigningKey(self.log).public_bytes,
            witness_key=SigningKey(self.witness).public_bytes,
            account=account_key(self.account).public,
            platform=self.platform,
        )

    def card(self) -> Envelope:
        """Return the member card, signed."""
        return sign_record(self.member, SigningKey(self.enterprise))

    def node_file(
        self, founding: Envelope, granted: Credentials, root_pem: str, entropy: Entropy
    ) -> NodeFile:
        """Return what its node process is.

        Args:
            founding: The founding trust file.
            granted: What the consortium's office issued.
            root_pem: The certificate authority behind it.
            entropy: For the passwords of its own server.
        """
        return NodeFile(
            enterprise=self.name,
            trust=founding,
            node_seed=self.node,
            settlement_seed=self.settlement,
            log_seed=self.log,
            witness_seed=self.witness,
            salt_secret=self.salt,
            account_seed=self.account,
            bundle=anomaly_bundle().raw,
            platform=granted.platform,
            collateral=granted.collateral,
            node_password=entropy.draw().hex(),
            intake_password=entropy.draw().hex(),
            device_password=entropy.draw().hex(),
            tls=TlsText(
                certificate_pem=granted.certificate_pem,
                private_key_pem=self.tls_private_key_pem.decode(),
                root_pem=root_pem,
            ),
        )
