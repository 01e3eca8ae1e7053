"""The trust file changes on the ledger: which version holds from which block on, as rows."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping

import msgspec

from mutualedge.errors import CorruptState, PeerError, RefusedByPolicy
from mutualedge.identity import Consortium, Member, TrustFile, leavers, verify_successor
from mutualedge.ledger.commands import AdoptTrust
from mutualedge.ledger.context import Context, decode_row, read_row, write_row
from mutualedge.ledger.events import TrustAdopted
from mutualedge.ledger.evidence import refusing
from mutualedge.ledger.lease_state import UNSIGNED_TABLE
from mutualedge.model import EnterpriseId, PositiveCount
from mutualedge.signing import Envelope, parse_canonical

TRUST_TABLE = "trust/"


class TrustRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version after the founding one, and the first block it holds for."""

    from_height: PositiveCount
    trust: Envelope


def adopt_trust(context: Context, consortium: Consortium, action: AdoptTrust) -> None:
    """Let the next version of the trust file hold from the next block on.

    Raises:
        RefusedByPolicy: Not a valid successor, the second one in this block, or a member that
            leaves has a lease that is not resolved.
    """
    adopted = verify_adoptable(context, consortium, action.trust)
    row = TrustRow(from_height=context.height + 1, trust=action.trust)
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
        self.take(dict(rows))

    @property
    def latest(self) -> Consortium:
        """The version that holds for the next block."""
        return self._versions[-1]

    def at(self, height: int) -> Consortium:
        """Return the version that holds for the block of this height."""
        return self._versions[bisect_right(self._from_heights, height) - 1]

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
