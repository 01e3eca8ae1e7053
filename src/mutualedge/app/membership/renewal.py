"""How a member renews what expires: its certificate, its evidence, its leave to be called."""

import time
from pathlib import Path

import msgspec

from mutualedge.app.accounts import account_key, open_door
from mutualedge.app.files import TlsText, write_process_file
from mutualedge.app.measurement import runner_measurement
from mutualedge.app.membership.site import MemberSite, member_site
from mutualedge.identity import public_key_of
from mutualedge.model import format_instant
from mutualedge.protocol import Credentials, Renew, Renewed, RenewOrder
from mutualedge.signing import sign_record


async def renew_credentials(own: Path) -> None:
    """Write new credentials into a node's folder; its next start uses them.

    Raises:
        UsageError: The folder is no member's.
        MutualEdgeError: The office refuses or cannot be reached.
    """
    member = member_site(own)
    order = sign_record(_order(member), member.settlement_key)
    renewed = await member.desk.ask_patiently(Renew(order=order), Renewed)
    _write(member, renewed.credentials)


def _order(member: MemberSite) -> RenewOrder:
    now_ns, account = time.time_ns(), account_key(member.told.account_seed)
    accounts = member.consortium.accounts
    return RenewOrder(
        enterprise=member.name,
        measurement=runner_measurement(),
        tls_public_key_pem=public_key_of(member.told.tls.private_key_pem.encode()).decode(),
        activations={
            name: open_door(account, other, now_ns)
            for name, other in accounts.items()
            if name != member.name
        },
        at=format_instant(now_ns),
    )


def _write(member: MemberSite, granted: Credentials) -> None:
    tls = TlsText(
        certificate_pem=granted.certificate_pem,
        private_key_pem=member.told.tls.private_key_pem,
        root_pem=member.told.tls.root_pem,
    )
    renewed = msgspec.structs.replace(
        member.told, tls=tls, platform=granted.platform, collateral=granted.collateral
    )
    write_process_file(member.own, renewed)
