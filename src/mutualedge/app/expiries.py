"""What of a node is valid for a time, and how its owner learns of it."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from mutualedge.adapters.nats import certificate_ends_ns, link_ends_ns
from mutualedge.app.files import NodeFile
from mutualedge.app.processes import NATS_FOLDER
from mutualedge.app.status import DAYS_LOW, NS_PER_DAY
from mutualedge.attest import collateral_ends_ns
from mutualedge.errors import UsageError
from mutualedge.model import format_instant
from mutualedge.protocol import Note


class Expiry(msgspec.Struct, frozen=True, kw_only=True):
    """Something of a process that is valid for a time.

    Attributes:
        of: Whose.
        what: It is.
        then: Who refuses it afterwards.
        ends_ns: Since 1970.
        is_made_at_start: Whether a start makes it anew; otherwise ``renew`` does.
    """

    of: str
    what: str
    then: str
    ends_ns: int
    is_made_at_start: bool = False

    def days_left(self, now_ns: int) -> int:
        """Return how many whole days it is valid still; negative once it is not."""
        return (self.ends_ns - now_ns) // NS_PER_DAY

    @property
    def advice(self) -> str:
        """What mends it."""
        if self.is_made_at_start:
            return f"Start the node of {self.of} again: that makes new ones."
        return f"Run 'mutualedge renew' on the folder of {self.of}'s node, then start that again."


def node_expiries(told: NodeFile) -> tuple[Expiry, ...]:
    """Return what a node shows to others that expires: its certificate, its evidence's collateral.

    Raises:
        MutualEdgeError: One of them cannot be read.
    """
    name = told.enterprise
    return (
        Expiry(
            of=name,
            what="certificate",
            then=f"the bus refuses '{name}'",
            ends_ns=certificate_ends_ns(told.tls.certificate_pem.encode()),
        ),
        Expiry(
            of=name,
            what="collateral",
            then=f"partners refuse the evidence of '{name}'",
            ends_ns=collateral_ends_ns(told.collateral),
        ),
    )


def link_expiry(told: NodeFile, own: Path) -> Expiry:
    """Return until when a running node's server can link to the hub.

    Raises:
        UsageError: Its credentials cannot be read.
    """
    return Expiry(
        of=told.enterprise,
        what="link",
        then=f"the hub cuts '{told.enterprise}' off",
        ends_ns=link_ends_ns(own / NATS_FOLDER),
        is_made_at_start=True,
    )


def running_expiries(told: NodeFile, own: Path) -> tuple[Expiry, ...]:
    """Return what of a running node expires; its link is left out where that cannot be read.

    Raises:
        MutualEdgeError: Something else cannot be read.
    """
    try:
        return (*node_expiries(told), link_expiry(told, own))
    except UsageError as error:
        if error.code != "nats.link.missing":
            raise
        return node_expiries(told)


def expiry_notes(expiries: tuple[Expiry, ...], now_ns: int) -> Iterator[Note]:
    """Yield what an operator should know of: what expired, and what soon will."""
    for each in expiries:
        days = each.days_left(now_ns)
        told = (("what", each.what), ("ends", format_instant(each.ends_ns)), ("days", days))
        fields = (*told, ("then", each.then), ("advice", each.advice))
        if days < 0:
            yield Note(name="credentials.expired", fields=fields)
        elif days < DAYS_LOW:
            yield Note(name="credentials.expiring", fields=fields)
