"""Everything the steps share once the file is read: who, what was agreed, used, signed, logged."""

from dataclasses import dataclass, field

from mutualedge.audit.chains import Chain, UsageBook
from mutualedge.audit.lineage import Lineage
from mutualedge.audit.logs import LogEvidence
from mutualedge.audit.report import UNKNOWN, Findings
from mutualedge.audit.terms import Attested, LeaseTerms, Position
from mutualedge.identity import Consortium
from mutualedge.model import Digest, EnterpriseId, KeyId, LeaseId


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedStatement:
    """A statement that both sides signed, and where it stands."""

    lease: LeaseId
    digest: Digest
    lines: tuple[Position, ...]
    total_microcredits: int
    line: int


@dataclass(slots=True, kw_only=True)
class Case:
    """The evidence of one bundle, each document already held against its signatures.

    Attributes:
        terms: By lease, from agreements given in the bundle by themselves.
        attested: By (lease, meter); a second session of one runner brings fresh evidence.
        words: What was signed about each (lease, meter), in order of lines.
        meters: Those of each lease about which something was signed.
    """

    lineage: Lineage
    findings: Findings
    usage: UsageBook
    logs: dict[EnterpriseId, LogEvidence]
    terms: dict[LeaseId, LeaseTerms] = field(default_factory=dict)
    attested: dict[tuple[LeaseId, KeyId], list[Attested]] = field(default_factory=dict)
    words: dict[tuple[LeaseId, KeyId], list[Position]] = field(default_factory=dict)
    meters: dict[LeaseId, list[KeyId]] = field(default_factory=dict)
    statements: dict[LeaseId, list[SignedStatement]] = field(default_factory=dict)

    @property
    def consortium(self) -> Consortium:
        """The last version of the trust file; its ``card`` knows members of every version."""
        return self.lineage.latest

    def add_word(self, word: Position) -> None:
        """File one signed position."""
        known = self.words.get((word.lease, word.meter))
        if known is None:
            known = self.words[word.lease, word.meter] = []
            self.meters.setdefault(word.lease, []).append(word.meter)
        known.append(word)

    def is_logged(self, owner: EnterpriseId, index: int) -> bool:
        """Tell whether an entry is under a checkpoint that its log signed."""
        log = self.logs.get(owner)
        return log is not None and index < log.proved_size

    def logger(self, owner: EnterpriseId, *indexes: int) -> str:
        """Return who answers for these entries: the log's owner, if it provably logged them."""
        return owner if all(self.is_logged(owner, each) for each in indexes) else UNKNOWN

    def chain_of(self, lease: LeaseId, meter: KeyId) -> Chain | None:
        """Return the records that the lease's provider logged for a meter."""
        terms = self.terms.get(lease)
        if terms is None:
            return None
        return self.usage.chains.get((lease, meter, terms.agreement.provider))
