"""Approvals of a change to the trust file, kept until enough members signed the same file."""

import msgspec

from mutualedge.identity import Consortium, TrustFile, supermajority
from mutualedge.model import EnterpriseId
from mutualedge.protocol import ApprovalOrder, Approved, StoreView, Write
from mutualedge.signing import Envelope, canonical_bytes, parse_canonical, signed_only_by

APPROVAL_BUCKET = "approval"


class Approvals:
    """The last approval of each member, for each subject of a change."""

    def __init__(self, store: StoreView) -> None:
        """Restore what was kept."""
        self._rows = dict(store.scan(APPROVAL_BUCKET))

    def put(self, subject: str, enterprise: EnterpriseId, order: Envelope) -> Write:
        """Keep a verified order in place of this member's last one; return its row."""
        key, raw = f"{subject}/{enterprise}", canonical_bytes(order)
        self._rows[key] = raw
        return Write(bucket=APPROVAL_BUCKET, key=key, value=raw)

    def forget(self, subject: str) -> list[Write]:
        """Drop what was approved of a subject that came to an end; return the rows."""
        gone = [key for key in self._rows if key.startswith(f"{subject}/")]
        for key in gone:
            del self._rows[key]
        return [Write(bucket=APPROVAL_BUCKET, key=key, value=None) for key in gone]

    def orders(self, subject: str, consortium: Consortium) -> dict[EnterpriseId, ApprovalOrder]:
        """Return what present members approved last, in the trust file's order."""
        found = {
            member.enterprise: self._rows.get(f"{subject}/{member.enterprise}")
            for member in consortium.members
        }
        return {name: _order(raw) for name, raw in found.items() if raw is not None}

    def approvers(
        self, subject: str, wanted: TrustFile, consortium: Consortium
    ) -> tuple[EnterpriseId, ...]:
        """Return who approved exactly this next trust file."""
        payload = canonical_bytes(wanted)
        orders = self.orders(subject, consortium)
        return tuple(name for name, order in orders.items() if order.trust.payload == payload)

    def counted(self, subject: str, wanted: TrustFile, consortium: Consortium) -> Approved:
        """Return who approved, and once enough did the trust file that all of them signed."""
        approvers = self.approvers(subject, wanted, consortium)
        needed = supermajority(len(consortium.members))
        signed = None
        if len(approvers) >= needed:
            orders = self.orders(subject, consortium)
            files = [orders[name].trust for name in approvers]
            every = tuple(each for file in files for each in file.signatures)
            keys = [consortium.member(name).enterprise_key for name in approvers]
            loose = msgspec.structs.replace(files[0], signatures=every)
            signed = signed_only_by(loose, *keys)
        return Approved(approved=approvers, needed=needed, trust=signed)


def _order(raw: bytes) -> ApprovalOrder:
    return parse_canonical(parse_canonical(raw, Envelope).payload, ApprovalOrder)
