"""The trust file's versions as the blocks of a bundle bring them, found before anything is judged.

Which of them the rules allowed is judged when the blocks are replayed; here only what is a valid
successor counts, so that whatever was signed under it can be held against its members.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from mutualedge.audit.envelopes import check_signed_by_all, parse_document
from mutualedge.errors import MutualEdgeError
from mutualedge.identity import Consortium, leavers, verify_successor
from mutualedge.ledger import AdoptTrust, Block, Command, Executed
from mutualedge.model import ZERO_DIGEST, Digest, EnterpriseId
from mutualedge.signing import Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """Who left by its own command, with which version, and the last block it had executed."""

    enterprise: EnterpriseId
    version: int
    height: int


class Lineage:
    """Every version and the height from which it holds, the founding one first."""

    def __init__(self, founding: Consortium) -> None:
        """Take the version that holds from the first block on."""
        self._versions = [founding]
        self._from_heights = [0]
        self._digests = [ZERO_DIGEST]
        self._exits: list[Exit] = []

    @property
    def versions(self) -> tuple[Consortium, ...]:
        """All versions, in order."""
        return tuple(self._versions)

    @property
    def latest(self) -> Consortium:
        """The last version, which knows everyone who ever was a member."""
        return self._versions[-1]

    def at(self, height: int) -> Consortium:
        """Return the version that holds for the block of this height."""
        return self._versions[bisect_right(self._from_heights, height) - 1]

    def vouching(self, height: int) -> frozenset[EnterpriseId]:
        """Return who said when it left that it had executed this block or a later one."""
        return frozenset(each.enterprise for each in self._exits if each.height >= height)

    def excused(self, height: int) -> EnterpriseId | None:
        """Return the member of this block that left next and did not say that it executed it."""
        next_version = self.at(height).trust.version + 1
        left = [each for each in self._exits if each.version == next_version]
        return left[0].enterprise if left and left[0].height < height else None

    def follow(self, blocks: Iterable[tuple[Digest, Block]]) -> None:
        """Take over every version that these blocks, in order, say was adopted."""
        for digest, block in blocks:
            for envelope, outcome in zip(block.commands, block.outcomes, strict=False):
                command = parse_document(envelope.payload, Command)
                if isinstance(command, str) or not outcome.is_done:
                    continue
                if isinstance(command.action, AdoptTrust):
                    self._take(command.enterprise, command.action, envelope, block.height)
            self._digests.append(digest)

    def _take(
        self, caller: EnterpriseId, action: AdoptTrust, envelope: Envelope, height: int
    ) -> None:
        before = self.at(height)
        try:
            adopted = verify_successor(action.trust, before)
        except MutualEdgeError:
            return  # the replay names it, with the block that says it was carried out
        if adopted.trust.version != self.latest.trust.version + 1:
            return
        self._versions.append(adopted)
        self._from_heights.append(height + 1)
        said = action.executed
        if said is None or caller not in leavers(before, adopted) or not self._is_known(said):
            return
        if check_signed_by_all(envelope, before.member(caller).settlement_key) is None:
            left = Exit(enterprise=caller, version=adopted.trust.version, height=said.height)
            self._exits.append(left)

    def _is_known(self, said: Executed) -> bool:
        return said.height < len(self._digests) and self._digests[said.height] == said.block
