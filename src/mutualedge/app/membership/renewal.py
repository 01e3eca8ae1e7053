"""How a member renews what expires: its certificate, its evidence, its leave to be called."""

from pathlib import Path

import msgspec

from mutualedge.app.files import TlsText, write_process_file
from mutualedge.app.membership.orders import renew_order
from mutualedge.app.membership.site import MemberSite, member_site
from mutualedge.identity import public_key_of
from mutualedge.protocol import Credentials, Renew, Renewed


async def renew_credentials(own: Path) -> None:
    """Write new credentials into a node's folder; its next start uses them.

    Raises:
        UsageError: The folder is no member's.
        MutualEdgeError: The office refuses or cannot be reached.
    """
    member = member_site(own)
    seeds = (member.told.settlement_seed, member.told.account_seed)
    key = public_key_of(member.told.tls.private_key_pem.encode()).decode()
    order = renew_order(member.name, seeds, key, member.consortium)
    renewed = await member.desk.ask_patiently(Renew(order=order), Renewed)
    _write(member, renewed.credentials)


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
