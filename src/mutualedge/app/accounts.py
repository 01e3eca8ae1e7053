"""Accounts on the consortium's bus: whose tokens the hub's server takes, and who may call whom."""

from collections.abc import Mapping

from mutualedge.adapters.nats import (
    Nkey,
    Partner,
    Role,
    account_token,
    activation_token,
    client_user_token,
    credentials_text,
    leaf_user_token,
    verify_activation,
)
from mutualedge.errors import PeerError
from mutualedge.identity import HUB, Consortium
from mutualedge.model import NS_PER_S, EnterpriseId

CREDENTIALS_LIFE_NS = 90 * 24 * 3600 * NS_PER_S
"""Bus credentials last 90 days, as long as the certificates beside them."""

Way = tuple[EnterpriseId, EnterpriseId]
"""To be called, and to call."""

Activations = Mapping[Way, str]
"""Leave of the first to be called by the second."""


def account_tokens(
    operator: Nkey, consortium: Consortium, activations: Activations, now_ns: int
) -> dict[str, str]:
    """Return the token of every account, by its key: who has none is not let in."""
    return {
        account: account_token(
            operator,
            account=account,
            name=name,
            partners=_partners(name, consortium, activations),
            now_ns=now_ns,
        )
        for name, account in consortium.accounts.items()
    }


def _partners(
    importer: EnterpriseId, consortium: Consortium, activations: Activations
) -> list[Partner]:
    return [
        Partner(name=exporter, account=account, activation=activations[exporter, importer])
        for exporter, account in consortium.accounts.items()
        if (exporter, importer) in activations
    ]


def valid_doors(given: Activations, consortium: Consortium, now_ns: int) -> dict[Way, str]:
    """Return the leaves that count now; the others cost their two ends, not the hub's start.

    Some expired, some are of an account that its enterprise applied with and was not adopted with.
    """
    accounts = consortium.accounts
    return {
        (exporter, importer): token
        for (exporter, importer), token in given.items()
        if exporter in accounts
        and importer in accounts
        and _is_open(token, accounts[exporter], accounts[importer], now_ns)
    }


def _is_open(token: str, exporter: str, importer: str, now_ns: int) -> bool:
    try:
        verify_activation(token, exporter, importer, now_ns)
    except PeerError:
        return False
    return True


def callers(consortium: Consortium) -> dict[str, EnterpriseId]:
    """Return who calls under which account."""
    return {account: name for name, account in consortium.accounts.items()}


def open_door(exporter: Nkey, importer: str, now_ns: int) -> str:
    """Return an account's leave for another one to call it, for as long as credentials last."""
    return activation_token(
        exporter, importer=importer, now_ns=now_ns, lifetime_ns=CREDENTIALS_LIFE_NS
    )


def leaf_credentials(account: Nkey, name: EnterpriseId, user: Nkey, now_ns: int) -> str:
    """Return with what an enterprise's server links to the hub from now on."""
    token = leaf_user_token(
        account, user=user.public, name=name, now_ns=now_ns, lifetime_ns=CREDENTIALS_LIFE_NS
    )
    return credentials_text(token, user)


def hub_client_token(account: Nkey, user: Nkey, now_ns: int) -> str:
    """Return with what the hub process logs in at its own server."""
    return client_user_token(
        account, user=user.public, name=HUB, now_ns=now_ns, lifetime_ns=CREDENTIALS_LIFE_NS
    )


def account_key(seed: bytes) -> Nkey:
    """Return an account's key."""
    return Nkey(Role.ACCOUNT, seed)
