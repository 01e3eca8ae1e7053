"""The trust file's versions as the blocks of a bundle bring them, found before anything is judged.

Which of them the rules allowed is judged when the blocks are replayed; here only what is a valid
successor counts, so that whatever was signed under it can be held against its members.
"""

from bisect import bisect_right
from collections.abc import Iterable

from mutualedge.audit.envelopes import parse_document
from mutualedge.errors import MutualEdgeError
from mutualedge.identity import Consortium, verify_successor
from mutualedge.ledger import AdoptTrust, Block, Command
from mutualedge.signing import Envelope


class Lineage:
    """Every version and the height from which it holds, the founding one first."""

    def __init__(self, founding: Consortium) -> None:
        """Take the version that holds from the first block on."""
        self._versions = [founding]
        self._from_heights = [0]

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

    def follow(self, blocks: Iterable[Block]) -> None:
        """Take over every version that these blocks, in order, say was adopted."""
        for block in blocks:
            for envelope, outcome in zip(block.commands, block.outcomes, strict=False):
                trust = _adopted(envelope)
                if trust is not None and outcome.is_done:
                    self._take(trust, block.height)

    def _take(self, trust: Envelope, height: int) -> None:
        try:
            adopted = verify_successor(trust, self.at(height))
        except MutualEdgeError:
            return  # the replay names it, with the block that says it was carried out
        if adopted.trust.version == self.latest.trust.version + 1:
            self._versions.append(adopted)
            self._from_heights.append(height + 1)


def _adopted(envelope: Envelope) -> Envelope | None:
    command = parse_document(envelope.payload, Command)
    if isinstance(command, str) or not isinstance(command.action, AdoptTrust):
        return None
    return command.action.trust
