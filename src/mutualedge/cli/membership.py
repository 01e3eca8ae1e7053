"""``mutualedge init``, ``invite``, ``join``, ``approve``, ``leave``: who is in a consortium."""

from pathlib import Path
from typing import Annotated

import typer

from mutualedge.app.terminal import tell

Own = Annotated[Path, typer.Argument(help="Folder of the member's own node.")]
FINGERPRINT = "Is this the newcomer's fingerprint?"
Name = Annotated[str, typer.Argument(help="Name of the enterprise: a-z, 0-9 and '-'.")]


def init(
    folder: Annotated[Path, typer.Argument(help="New folder for hub and first member.")],
    enterprise: Name,
    *,
    consortium: Annotated[str, typer.Option(help="Name of the consortium.")] = "consortium",
    host: Annotated[str, typer.Option(help="Address others reach the hub at.")] = "127.0.0.1",
    leaf_port: Annotated[int, typer.Option(help="Port for the members' links.")] = 7422,
    office_port: Annotated[int, typer.Option(help="Port for who joins.")] = 7423,
) -> int:
    """Found a consortium of one, which others can join."""
    from mutualedge.app.founding import Place
    from mutualedge.app.membership.initial import found_alone

    place = Place(host=host, leaf_port=leaf_port, office_port=office_port)
    tell(found_alone(folder, enterprise, consortium, place))
    return 0


def invite(own: Own, newcomer: Name) -> int:
    """Print an invitation for a newcomer. It is one word, good for a day."""
    import asyncio

    from mutualedge.app.membership import approval
    from mutualedge.app.names import parse_enterprise

    tell(asyncio.run(approval.invite(own, parse_enterprise(newcomer))))
    return 0


def join(
    folder: Annotated[Path, typer.Argument(help="Folder to make the node's own folder in.")],
    invitation: Annotated[
        str,
        typer.Argument(help="What 'invite' printed; '-' reads it where no 'ps' shows it, stdin."),
    ],
    wait_s: Annotated[float, typer.Option(help="Seconds to wait for approval.")] = 3600.0,
) -> int:
    """Join a consortium with an invitation. Ends once the members approved."""
    import asyncio
    import sys

    from mutualedge.app.membership.joining import join_consortium

    text = sys.stdin.readline() if invitation == "-" else invitation
    asyncio.run(join_consortium(text, folder, tell, wait_s))
    return 0


def approve(
    own: Own,
    newcomer: Annotated[
        str | None, typer.Argument(help="Name of the newcomer; without it, list who waits.")
    ] = None,
    *,
    release: Annotated[
        bool, typer.Option("--release", help="Approve the release installed here instead.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask; fingerprint was compared.")
    ] = False,
) -> int:
    """Approve who wants to join or a release, or list what waits. Needs the enterprise key."""
    import asyncio

    from mutualedge.app.membership import approval
    from mutualedge.app.names import parse_enterprise

    def confirm(who: str) -> bool:
        question = "Is this the release to be believed?" if release else FINGERPRINT
        return yes or typer.confirm(f"{who}.\n{question}")

    if release:
        return 0 if asyncio.run(approval.approve_release(own, confirm, tell)) else 1
    if newcomer is None:
        tell("\n".join(asyncio.run(approval.waiting(own))) or "Nobody waits.")
        return 0

    name = parse_enterprise(newcomer)
    return 0 if asyncio.run(approval.approve(own, name, confirm, tell)) else 1


def renew(own: Own) -> int:
    """Renew a member's credentials. They last 90 days; then start its node again."""
    import asyncio

    from mutualedge.app.membership.renewal import renew_credentials

    tell("Asking the hub for new credentials; it has 30 s to answer.")
    asyncio.run(renew_credentials(own))
    tell("Renewed for 90 days. Start the node again, so that it uses them.")
    return 0


def leave(
    own: Own,
    wait_s: Annotated[float, typer.Option(help="Seconds to wait for leases to end.")] = 86400.0,
) -> int:
    """Settle what is open, then leave the consortium. Stop the node first."""
    import asyncio

    from mutualedge.app.membership.leaving import leave_consortium

    asyncio.run(leave_consortium(own, tell, wait_s))
    return 0
