"""What a member signs for the office, from wherever it asks."""

import time
from collections.abc import Collection

from mutualedge.app.accounts import account_key, open_door
from mutualedge.app.measurement import runner_measurement
from mutualedge.identity import Consortium
from mutualedge.model import EnterpriseId, format_instant
from mutualedge.protocol import ListOrder, RenewOrder
from mutualedge.signing import Envelope, SigningKey, sign_record


def list_order(name: EnterpriseId, settlement_seed: bytes) -> Envelope:
    """Return a member's word, as of now, that it is the one who asks."""
    order = ListOrder(enterprise=name, at=format_instant(time.time_ns()))
    return sign_record(order, SigningKey(settlement_seed))


def renew_order(
    name: EnterpriseId,
    seeds: tuple[bytes, bytes],
    tls_public_key_pem: str,
    consortium: Consortium,
    known: Collection[EnterpriseId] = (),
) -> Envelope:
    """Return a member's order for credentials, with its leaves to be called.

    Args:
        name: The member.
        seeds: Of its settlement key, and of its account.
        tls_public_key_pem: To be certified.
        consortium: Whose members and hub may call it from now on.
        known: Who of them has a leave already.
    """
    (settlement_seed, account_seed), now_ns = seeds, time.time_ns()
    account = account_key(account_seed)
    order = RenewOrder(
        enterprise=name,
        measurement=runner_measurement(),
        tls_public_key_pem=tls_public_key_pem,
        activations={
            other: open_door(account, importer, now_ns)
            for other, importer in consortium.accounts.items()
            if other != name and other not in known
        },
        at=format_instant(now_ns),
    )
    return sign_record(order, SigningKey(settlement_seed))
