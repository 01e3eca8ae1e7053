"""Step 9, first half: blocks in an unbroken chain, and who countersigned each."""

from collections.abc import Sequence
from dataclasses import dataclass

from mutualedge.audit.bundle import BlockItem
from mutualedge.audit.envelopes import check_signatures, check_signed_by_all, parse_payload
from mutualedge.audit.lineage import Lineage
from mutualedge.audit.report import LEDGER_WRITER, UNKNOWN, Findings
from mutualedge.identity import Consortium
from mutualedge.ledger import Block, Countersignature
from mutualedge.model import ZERO_DIGEST, Digest, EnterpriseId
from mutualedge.signing import Envelope, key_id_of

_LEDGER = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBlock:
    """A block that the writer signed, who countersigned it, and where it stands."""

    line: int
    digest: Digest
    block: Block
    countersignatures: tuple[Envelope, ...]

    @property
    def subject(self) -> str:
        """Name for findings."""
        return f"block {self.block.height}"


class BlockJudge:
    """Makes one chain of the blocks given, and finds the versions of the trust file in it.

    Attributes:
        given_count: Blocks in the bundle.
        chain: Those from height 1 on, as far as they are one chain without a gap.
        lineage: The trust file's versions.
    """

    def __init__(self, founding: Consortium, findings: Findings) -> None:
        """Take the trust file that holds from the first block on."""
        self._findings = findings
        self.given_count = 0
        self.chain: list[SignedBlock] = []
        self.lineage = Lineage(founding)

    def judge(self, items: Sequence[tuple[int, BlockItem]]) -> None:
        """Take all blocks, whatever order they stand in."""
        self.given_count = len(items)
        signed = [each for line, item in items if (each := self._verify(line, item)) is not None]
        signed.sort(key=lambda each: each.block.height)
        self.chain = self._unforked(signed)
        self.lineage.follow((each.digest, each.block) for each in self.chain)
        for each in signed:
            self._count_countersigners(each)

    def _verify(self, line: int, item: BlockItem) -> SignedBlock | None:
        block = parse_payload(item.block, Block)
        if isinstance(block, str):
            self._add("ledger.malformed", block, line, "block")
            return None
        subject = f"block {block.height}"
        writer = self.lineage.latest.trust.writer_key
        if (flaw := check_signed_by_all(item.block, writer)) is not None:
            self._add("ledger.signature", flaw, line, subject)
            return None
        return SignedBlock(
            line=line,
            digest=item.block.payload_digest,
            block=block,
            countersignatures=item.countersignatures,
        )

    def _count_countersigners(self, signed: SignedBlock) -> None:
        """Count by the trust file that holds for this block, and by what its leavers said."""
        members = self.lineage.at(signed.block.height).members
        keys = {key_id_of(each.settlement_key): each.settlement_key for each in members}
        signers: list[str] = []
        for envelope in signed.countersignatures:
            word = parse_payload(envelope, Countersignature)
            if isinstance(word, str):
                self._add("ledger.countersignature", word, signed.line, signed.subject)
            elif (flaw := check_signatures(envelope, keys)) is not None:
                self._add("ledger.countersignature", flaw, signed.line, signed.subject)
            elif (word.height, word.block) != (signed.block.height, signed.digest):
                sentence = f"A member countersigned block {word.height} {word.block}, not this one."
                self._add("ledger.countersignature", sentence, signed.line, signed.subject)
            else:
                signers += [each.keyid for each in envelope.signatures]
        names = [each.enterprise for each in members if key_id_of(each.settlement_key) in signers]
        self._check_quorum(signed, frozenset(names))

    def _check_quorum(self, signed: SignedBlock, signers: frozenset[EnterpriseId]) -> None:
        """More than two thirds vouch; or, if one left that never did, as many of the others."""
        height = signed.block.height
        members = {each.enterprise for each in self.lineage.at(height).members}
        vouching = (signers | self.lineage.vouching(height)) & members
        stayed = members - {self.lineage.excused(height)}
        if all(3 * len(vouching & each) <= 2 * len(each) for each in (members, stayed)):
            needed = 2 * len(members) // 3 + 1
            sentence = f"{len(vouching)} members countersigned the block; {needed} are needed."
            self._add("missing.countersignature", sentence, signed.line, signed.subject)

    def _unforked(self, signed: list[SignedBlock]) -> list[SignedBlock]:
        """Return the blocks from height 1 on, as far as they are one chain without a gap."""
        chain: list[SignedBlock] = []
        for each in signed:
            height = len(chain) + 1
            if each.block.height < height:
                self._report_second(chain[each.block.height - 1], each)
            elif each.block.height > height:
                sentence = f"Block {height} is not in the bundle; nothing after it can be replayed."
                self._add("missing.block", sentence, each.line, f"block {height}")
                break
            else:
                self._check_link(chain[-1] if chain else None, each)
                chain.append(each)
        return chain

    def _report_second(self, first: SignedBlock, second: SignedBlock) -> None:
        differ = first.digest != second.digest
        rule = "ledger.fork" if differ else "ledger.repeated"
        sentence = (
            f"The writer signed two blocks of height {first.block.height}: lines {first.line} and "
            f"{second.line}."
            if differ
            else f"The block stands on line {first.line} already."
        )
        culprit = LEDGER_WRITER if differ else UNKNOWN
        self._add(rule, sentence, second.line, second.subject, culprit)

    def _check_link(self, before: SignedBlock | None, block: SignedBlock) -> None:
        if block.block.previous != (before.digest if before else ZERO_DIGEST):
            sentence = "The block names another predecessor than the writer signed."
            self._add("ledger.chain", sentence, block.line, block.subject, LEDGER_WRITER)
        if before and block.block.time < before.block.time:
            sentence = f"The block's time {block.block.time} is before {before.block.time}."
            self._add("ledger.time", sentence, block.line, block.subject, LEDGER_WRITER)

    def _add(
        self, rule: str, sentence: str, line: int, subject: str, culprit: str = UNKNOWN
    ) -> None:
        self._findings.add(
            rule, sentence, step=_LEDGER, line=line, subject=subject, culprit=culprit
        )
