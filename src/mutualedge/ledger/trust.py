"""The trust file changes on the ledger: which version holds from which block on, as rows."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping

import msgspec

from mutualedge.errors import CorruptState, PeerError, RefusedByPolicy
from mutualedge.identity import (
    Consortium,
    Member,
    TrustFile,
    has_quorum,
    leavers,
    supermajority,
    verify_successor,
)
from mutualedge.ledger.commands import AdoptTrust, Executed
from mutualedge.ledger.context import Context, decode_row, read_row, write_row
from mutualedge.ledger.events import TrustAdopted
from mutualedge.ledger.evidence import refusing
from mutualedge.ledger.lease_state import UNSIGNED_TABLE
from mutualedge.model import Count, EnterpriseId, EnterpriseName, PositiveCount
from mutualedge.signing import Envelope, key_id_of, parse_canonical

TRUST_TABLE = "trust/"


class Exit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who left by its own command, and the last block it says it executed."""

    leaver: EnterpriseName
    height: Count


class TrustRow(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A version after the founding one, the first block it holds for, and who went by itself."""

    from_height: PositiveCount
    trust: Envelope
    exit: Exit | None = None


def adopt_trust(context: Context, consortium: Consortium, action: AdoptTrust) -> None:
    """Let the next version of the trust file hold from the next block on.

    Raises:
        RefusedByPolicy: Not a valid successor, the second one in this block, a member that leaves
            has a lease that is not resolved, or one that leaves by its own signature alone does
            not command that itself and say which block of this ledger it executed last.
    """
    adopted = verify_adoptable(context, consortium, action.trust)
    left = _verify_exit(context, consortium, adopted, action.executed)
    row = TrustRow(from_height=context.height + 1, trust=action.trust, exit=left)
    write_row(context, _trust_key(adopted.trust.version), row)
    event = TrustAdopted(
        version=adopted.trust.version, digest=adopted.digest, from_height=row.from_height
    )
    context.emit(event)


def verify_adoptable(context: Context, consortium: Consortium, trust: Envelope) -> Consortium:
    """Return what the ledger would adopt if it were asked now.

    Raises:
        RefusedByPolicy: As ``adopt_trust``.
    """
    with refusing("trust file"):
        adopted = verify_successor(trust, consortium)
    if context.get(_trust_key(adopted.trust.version)) is not None:
        sentence = f"A version {adopted.trust.version} was adopted earlier in this block."
        raise RefusedByPolicy("ledger.trust.adopted", sentence)
    refuse_unsettled(context, leavers(consortium, adopted))
    return adopted


def _verify_exit(
    context: Context, consortium: Consortium, adopted: Consortium, executed: Executed | None
) -> Exit | None:
    """Return what a caller that leaves says it executed; None if it says nothing and need not."""
    gone, is_signed = leavers(consortium, adopted), has_quorum(adopted.envelope, consortium)
    if executed is None and is_signed:
        return None
    if executed is None or context.caller not in gone or (gone[1:] and not is_signed):
        sentence = (
            "Who leaves by its own signature commands that itself, for nobody else, and says which "
            "block it executed last; run 'mutualedge leave' in its folder."
        )
        raise RefusedByPolicy("ledger.trust.alone", sentence)
    if context.executed(executed.height) != executed.block:
        sentence = (
            f"The block {executed.height} that '{context.caller}' executed last is none of this "
            "ledger's, or long ago; let its node follow the ledger, then leave again."
        )
        raise RefusedByPolicy("ledger.trust.executed", sentence)
    return Exit(leaver=context.caller, height=executed.height)


def refuse_unsettled(context: Context, leaving: tuple[EnterpriseId, ...]) -> None:
    """Let nobody go who owes or is owed what no statement, claim or closing has resolved.

    Raises:
        RefusedByPolicy: One of these is a party to an unresolved lease.
    """
    if not leaving:
        return
    for key, _ in context.scan(UNSIGNED_TABLE):
        _, one, other, _, lease_id = key.split("/")
        for name in leaving:
            if name in {one, other}:
                sentence = f"'{name}' cannot leave: its lease {lease_id} is not resolved."
                raise RefusedByPolicy("ledger.trust.unsettled", sentence)


def refuse_leaving(context: Context, consortium: Consortium, *parties: EnterpriseId) -> None:
    """Open no lease for whom the next block knows no more.

    Raises:
        RefusedByPolicy: An earlier command of this block let one of these go.
    """
    row = read_row(context, _trust_key(consortium.trust.version + 1), TrustRow)
    if row is None:
        return
    cards = parse_canonical(row.trust.payload, TrustFile).members
    staying = [parse_canonical(card.payload, Member).enterprise for card in cards]
    gone = [name for name in parties if name not in staying]
    if gone:
        sentence = f"'{gone[0]}' leaves the consortium with this block; it opens no lease."
        raise RefusedByPolicy("ledger.lease.leaving", sentence)


class TrustVersions:
    """Every version of the trust file and the height from which each holds."""

    def __init__(self, founding: Consortium, rows: Iterable[tuple[str, bytes]]) -> None:
        """Take the founding version and the rows of those after it.

        Raises:
            CorruptState: A row is not the successor of the one before.
        """
        self._versions = [founding]
        self._from_heights = [0]
        self._exits: list[Exit | None] = []
        self.take(dict(rows))

    @property
    def latest(self) -> Consortium:
        """The version that holds for the next block."""
        return self._versions[-1]

    def at(self, height: int) -> Consortium:
        """Return the version that holds for the block of this height."""
        return self._versions[bisect_right(self._from_heights, height) - 1]

    def is_quorum(self, height: int, signers: Collection[str]) -> bool:
        """Tell whether so many vouch for a block that it is final.

        Whoever left vouches for all it executed. For later blocks of its last version more than two
        thirds of those who stayed are enough as well: one member's difference, so that any two
        quorums of a height still share an honest one.

        Args:
            height: The block's.
            signers: Key ids of those who countersigned it.
        """
        members, left = self.at(height).members, self._exit_after(height)
        gone = [each.leaver for each in self._exits if each is not None and each.height >= height]
        vouching = [
            each.enterprise
            for each in members
            if each.enterprise in gone or key_id_of(each.settlement_key) in signers
        ]
        if len(vouching) >= supermajority(len(members)):
            return True
        if left is None or left.height >= height:
            return False
        others = [name for name in vouching if name != left.leaver]
        return len(others) >= supermajority(len(members) - 1)

    def _exit_after(self, height: int) -> Exit | None:
        """Return who left by itself with the version that this block is of."""
        index = bisect_right(self._from_heights, height) - 1
        return self._exits[index] if index < len(self._exits) else None

    def last_height_of(self, enterprise: EnterpriseId, height: int) -> int:
        """Return the last of so many blocks whose members an enterprise is among, 0 if none."""
        ends = (*self._from_heights[1:], height + 1)
        versions = zip(self._versions, ends, strict=True)
        return max((end - 1 for each, end in versions if each.has(enterprise)), default=0)

    def take(self, rows: Mapping[str, bytes | None]) -> None:
        """Take over the versions among rows that were just written.

        Raises:
            CorruptState: A row is not the successor of the one before.
        """
        for key in sorted(key for key in rows if key.startswith(TRUST_TABLE)):
            raw = rows[key]
            assert raw is not None, "a version is never taken back"
            row = decode_row(key, raw, TrustRow)
            self._versions.append(_verified(key, row, self.latest))
            self._from_heights.append(row.from_height)
            self._exits.append(row.exit)


def _verified(key: str, row: TrustRow, before: Consortium) -> Consortium:
    try:
        return verify_successor(row.trust, before)
    except PeerError as error:
        sentence = (
            f"Ledger row '{key}' follows no version of this trust file ({error.code}); start from "
            "the founding trust file, or restore the ledger from its blocks."
        )
        raise CorruptState("ledger.trust.corrupt", sentence) from error


def _trust_key(version: int) -> str:
    return f"{TRUST_TABLE}{version:09d}"
