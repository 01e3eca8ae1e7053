"""With what a node's server links to the hub: made at each start, made anew each day it runs."""

import os
from pathlib import Path

from mutualedge.adapters.nats import Nkey, Role, link_ends_ns, renew_link
from mutualedge.app.accounts import CREDENTIALS_LIFE_NS, account_key, leaf_credentials
from mutualedge.app.expiries import expiry_notes, running_expiries
from mutualedge.app.files import NodeFile
from mutualedge.app.processes import NATS_FOLDER
from mutualedge.app.status import NS_PER_DAY
from mutualedge.errors import MutualEdgeError, UsageError
from mutualedge.protocol import Note

LOOK_EVERY_S = 3600.0
"""How often a node looks; it renews once a day, so that a failure has 89 days to be mended."""


def link_credentials(told: NodeFile, now_ns: int) -> str:
    """Return fresh credentials; the node holds its account's key, so nobody is asked."""
    account, user = account_key(told.account_seed), Nkey(Role.USER, os.urandom(32))
    return leaf_credentials(account, told.enterprise, user, now_ns)


def keep_link(told: NodeFile, own: Path, now_ns: int) -> tuple[Note, ...]:
    """Renew the running server's credentials if they are a day old.

    Args:
        told: The node's file.
        own: Its folder.
        now_ns: Since 1970.

    Returns:
        What an operator should know: that it failed, what expired or soon will. Nothing if the
        credentials are of today.
    """
    folder = own / NATS_FOLDER
    if _ends_ns(folder) > now_ns + CREDENTIALS_LIFE_NS - NS_PER_DAY:
        return ()
    failed: tuple[Note, ...] = ()
    try:
        renew_link(folder, link_credentials(told, now_ns))
    except (MutualEdgeError, OSError) as error:
        advice = "Make the folder writable; the node tries again within the hour."
        failed = (
            Note(name="credentials.not_renewed", fields=(("why", str(error)), ("advice", advice))),
        )
    return (*failed, *expiry_notes(running_expiries(told, own), now_ns))


def _ends_ns(folder: Path) -> int:
    try:
        return link_ends_ns(folder)
    except UsageError:
        return 0  # whatever happened to them, new ones are made
