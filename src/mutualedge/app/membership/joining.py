"""How an enterprise joins: it makes its keys, applies, waits, and checks the whole ledger."""

import asyncio
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.accounts import account_key, open_door
from mutualedge.app.enterprise import EnterpriseSecrets
from mutualedge.app.files import (
    PROCESS_FILE,
    STORE_FILE,
    read_secret_record,
    write_process_file,
    write_secret_record,
)
from mutualedge.app.founding import LOOPBACK, OFFLINE_KEY_FILE, free_ports, write_offline_key
from mutualedge.app.measurement import runner_measurement
from mutualedge.app.membership.desk import PATIENCE_S, Desk
from mutualedge.app.membership.invitation import Invitation, parse_invitation
from mutualedge.app.membership.orders import list_order, renew_order
from mutualedge.app.options import (
    BorrowingSettings,
    LendingSettings,
    NodeNetwork,
    NodeOptions,
    write_settings,
)
from mutualedge.consortium.rows import LEDGER_BUCKET, replayed_rows
from mutualedge.errors import PeerError, Unreachable, UsageError
from mutualedge.identity import Consortium, parse_trust, verify_trust
from mutualedge.ledger import Ledger
from mutualedge.model import EnterpriseId
from mutualedge.protocol import (
    Application,
    Apply,
    AskConsortium,
    AskLedger,
    AskProgress,
    Blocks,
    ConsortiumShown,
    Credentials,
    Progress,
    Renew,
    Renewed,
    SignedBlock,
)
from mutualedge.signing import Entropy, Envelope, SigningKey, sign_record

JOINING_FILE = "joining.json"
"""Keys of an enterprise that applied and waits; gone once its process file is written."""

POLL_S = 1.0
SAY_EVERY_S = 30.0
STILL_WAITING = "Still waiting for approval. Ctrl-C stops; the same command goes on."
FINGERPRINT_CHARACTERS = 24
FINGERPRINT_GROUP = 4

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Joining:
    """One attempt to join."""

    invitation: Invitation
    desk: Desk
    own: Path
    secrets: EnterpriseSecrets
    say: Say
    timeout_s: float


def fingerprint(card: Envelope) -> str:
    """Return what two people read to each other to know that they mean the same newcomer."""
    digest = card.payload_digest[:FINGERPRINT_CHARACTERS]
    groups = range(0, FINGERPRINT_CHARACTERS, FINGERPRINT_GROUP)
    return " ".join(digest[start : start + FINGERPRINT_GROUP] for start in groups)


async def join_consortium(text: str, folder: Path, say: Say, timeout_s: float) -> Path:
    """Join with an invitation; return the new process's folder.

    Interrupted at any point it is called again with the same invitation and goes on.

    Args:
        text: The invitation.
        folder: Where the enterprise's folder is made.
        say: Told what happens.
        timeout_s: How long to wait for the members' approval.

    Raises:
        UsageError: The invitation is broken, or a process has this folder already.
        MutualEdgeError: The office refuses, or somebody lies about consortium or ledger.
        Unreachable: The hub cannot be reached, or nobody approved in time.
    """
    joining = _begin(parse_invitation(text), folder, say, timeout_s)
    founding, opened = await _apply(joining)
    await _wait_admitted(joining)
    blocks = await _history(joining)
    _remove_store(joining.own)
    with SqliteStore(joining.own / STORE_FILE) as store:
        store.commit(replayed_rows(founding, blocks, time.time_ns()))
        consortium = Ledger(founding, store.scan(LEDGER_BUCKET)).consortium
    _verify_admitted(joining, consortium)
    say(f"Checked {len(blocks)} blocks of the ledger, from the first one on: they are in order.")
    granted = await _credentials(joining, consortium, opened)
    _write_files(joining, founding, granted)
    key = joining.own / OFFLINE_KEY_FILE
    say(f"Joined. Keep {key} offline, except to approve, renew or leave.")
    say(f"Start the node: mutualedge up {folder}")
    return joining.own


def _remove_store(own: Path) -> None:
    """Remove what an interrupted attempt wrote: rows that a later block took away would stay."""
    for suffix in ("-wal", "-shm", ""):
        (own / f"{STORE_FILE}{suffix}").unlink(missing_ok=True)


def _begin(invitation: Invitation, folder: Path, say: Say, timeout_s: float) -> _Joining:
    own = folder / invitation.enterprise
    secrets = _secrets(own, invitation.enterprise)
    desk = Desk(host=invitation.host, port=invitation.office_port, root_pem=invitation.root_pem)
    return _Joining(
        invitation=invitation, desk=desk, own=own, secrets=secrets, say=say, timeout_s=timeout_s
    )


def _secrets(own: Path, name: EnterpriseId) -> EnterpriseSecrets:
    """Return the keys we applied with before, or new ones, which are kept before they are used."""
    path = own / JOINING_FILE
    is_started = (own / PROCESS_FILE).exists()
    if path.exists() and not is_started:
        return read_secret_record(path, EnterpriseSecrets)
    if is_started or (own.exists() and any(own.iterdir())):
        sentence = f"{own} is not empty; name another folder, or start what is there."
        raise UsageError("membership.folder.used", sentence)
    secrets = EnterpriseSecrets.draw(name, Entropy(os.urandom(32)))
    write_secret_record(path, secrets)
    return secrets


async def _apply(joining: _Joining) -> tuple[Consortium, frozenset[EnterpriseId]]:
    """Apply for membership; return the consortium as it was founded, and who may call us by that.

    Who was admitted meanwhile, after an application of before, cannot tell whom that let in.
    """
    invitation, secret = joining.invitation, joining.invitation.secret
    question = AskConsortium(secret=secret)
    shown = await joining.desk.ask_patiently(
        question, ConsortiumShown, patience_s=min(PATIENCE_S, joining.timeout_s), say=joining.say
    )
    founding = verify_trust(shown.founding)
    if founding.digest != invitation.founding:
        sentence = "The hub shows another founding trust file than the invitation names; beware."
        raise PeerError("membership.founding.other", sentence)
    current = parse_trust(shown.trust)
    _verify_new(joining, current)
    names = ", ".join(each.enterprise for each in current.members)
    joining.say(f"'{invitation.consortium}' at {invitation.host} answers; members: {names}.")
    application = _application(joining.secrets, current)
    request = Apply(secret=secret, application=application)
    progress = await joining.desk.ask_patiently(request, Progress)
    mark = fingerprint(joining.secrets.card())
    joining.say(f"Applied as '{invitation.enterprise}'. Fingerprint: {mark}")
    return founding, frozenset(() if progress.is_admitted else current.accounts)


def _verify_new(joining: _Joining, current: Consortium) -> None:
    """Return if no other keys are a member under our name.

    Raises:
        UsageError: Some are; ours are of no use and are dropped.
    """
    name, card = joining.secrets.name, joining.secrets.card()
    if current.signed_cards.get(name, card) != card:
        (joining.own / JOINING_FILE).unlink()
        sentence = f"'{name}' is a member already, with other keys; ask to be invited as another."
        raise UsageError("membership.newcomer.member", sentence)


def _application(secrets: EnterpriseSecrets, current: Consortium) -> Envelope:
    account, now_ns = account_key(secrets.account), time.time_ns()
    application = Application(
        card=secrets.card(),
        release=version("mutualedge"),
        measurement=runner_measurement(),
        tls_public_key_pem=secrets.tls_public_key_pem,
        activations={
            name: open_door(account, other, now_ns) for name, other in current.accounts.items()
        },
    )
    return sign_record(application, SigningKey(secrets.enterprise))


async def _wait_admitted(joining: _Joining) -> None:
    """Return once enough members approved and the ledger adopted it."""
    joining.say(
        "Now a member must approve, who should ask you for the fingerprint:\n"
        f"  mutualedge approve FOLDER {joining.invitation.enterprise}"
    )
    told: tuple[EnterpriseId, ...] | None = None
    told_s = time.monotonic()
    try:
        async with asyncio.timeout(joining.timeout_s):
            while True:
                progress = await _progress(joining)
                if progress is not None and progress.is_admitted:
                    return
                if progress is not None and progress.approved != told:
                    told = progress.approved
                    joining.say(f"Approved by {len(told)} of the {progress.needed} it needs.")
                if time.monotonic() > told_s + SAY_EVERY_S:
                    joining.say(STILL_WAITING)
                    told_s = time.monotonic()
                await asyncio.sleep(POLL_S)
    except TimeoutError as error:
        sentence = (
            f"Nobody approved within {joining.timeout_s:.0f} s; run the same command to go on."
        )
        raise Unreachable("membership.approval.missing", sentence) from error


async def _progress(joining: _Joining) -> Progress | None:
    """Return how far we are; nothing while the hub starts again, as it does to let us in."""
    try:
        return await joining.desk.ask(AskProgress(secret=joining.invitation.secret), Progress)
    except Unreachable:
        return None


async def _history(joining: _Joining) -> list[SignedBlock]:
    """Return every block there is."""
    blocks: list[SignedBlock] = []
    while True:
        signed = list_order(joining.secrets.name, joining.secrets.settlement)
        question = AskLedger(order=signed, from_height=len(blocks) + 1)
        some = await joining.desk.ask_patiently(question, Blocks)
        blocks += some.blocks
        if len(blocks) >= some.height or not some.blocks:
            return blocks


async def _credentials(
    joining: _Joining, consortium: Consortium, opened: Collection[EnterpriseId]
) -> Credentials:
    """Return our credentials, and open our door to whom our application did not."""
    secrets = joining.secrets
    seeds, key = (secrets.settlement, secrets.account), secrets.tls_public_key_pem
    signed = renew_order(secrets.name, seeds, key, consortium, opened)
    renewed = await joining.desk.ask_patiently(Renew(order=signed), Renewed)
    return renewed.credentials


def _verify_admitted(joining: _Joining, consortium: Consortium) -> None:
    name, card = joining.secrets.name, joining.secrets.card()
    if consortium.signed_cards.get(name) != card:
        sentence = f"The ledger does not have '{name}' with our keys among its members; beware."
        raise PeerError("membership.ledger.other", sentence)


def _write_files(joining: _Joining, founding: Consortium, granted: Credentials) -> None:
    """Write the rest of what the new process needs; its own file last, so half of it is nothing."""
    own, invitation = joining.own, joining.invitation
    network = NodeNetwork(
        hub_host=invitation.host,
        hub_port=invitation.leaf_port,
        office_port=invitation.office_port,
        client_port=free_ports(LOOPBACK, (0,))[0],
    )
    options = NodeOptions(network=network, lending=LendingSettings(), borrowing=BorrowingSettings())
    write_settings(own, options)
    write_offline_key(own, joining.secrets)
    entropy = Entropy(os.urandom(32))
    told = joining.secrets.node_file(founding.envelope, granted, invitation.root_pem, entropy)
    write_process_file(own, told)
    (own / JOINING_FILE).unlink()
